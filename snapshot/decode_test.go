package snapshot

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

var errUndecodable = errors.New("undecodable")

// decodeUpTo returns a function that copies entries with keys before this one, and fails for the others.
func decodeUpTo(key []byte) func(Entry) (Entry, error) {
	return func(e Entry) (Entry, error) {
		if bytes.Compare(e.Key, key) >= 0 {
			return Entry{}, errUndecodable
		}
		return Entry{Key: bytes.Clone(e.Key), Data: bytes.Clone(e.Data)}, nil
	}
}

// TestDecodeYieldsTheValuesBeforeTheFirstError takes random files, damages a block of some, and lets decode fail from some
// entry on. It compares the values only after the last one, so that values in the memory of a reused block would be noticed.
func TestDecodeYieldsTheValuesBeforeTheFirstError(t *testing.T) {
	for range 100 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		o := Options{Compression: compressions[rng.IntN(3)], BlockSize: 1 + rng.IntN(3000)}
		entries := scrambled(rng, 1+rng.IntN(300), o.BlockSize)
		data := encode(t, testHeader(seed), o, entries)
		whole, err := openBytes(t, data)
		require.NoError(t, err)
		want, wantErr := len(entries), error(nil)
		if rng.IntN(2) == 0 {
			blocks := whole.Blocks()
			damaged := rng.IntN(len(blocks))
			data[blocks[damaged].Position+blockHeadSize] ^= 1
			want, wantErr = entryFrom(entries, blocks[damaged].FirstKey), ErrCorrupt
		}
		decode := decodeUpTo([]byte("~"))
		if undecodable := rng.IntN(2 * len(entries)); undecodable < want {
			decode = decodeUpTo(entries[undecodable].Key)
			want, wantErr = undecodable, errUndecodable
		}
		f, err := openBytes(t, data)
		require.NoError(t, err)
		var got []Entry
		for value, e := range Decode(f, rng.IntN(5), decode) {
			require.NoError(t, err, "seed %d: the error is the last thing", seed)
			if err = e; err == nil {
				got = append(got, value)
			}
		}
		require.ErrorIs(t, err, wantErr, "seed %d, %+v: put it in place of rand.Uint64 here", seed, o)
		requireEntries(t, entries[:want], got)
	}
}

func TestDecodeRefusesNonsense(t *testing.T) {
	f, err := openBytes(t, specimen(t, S2))
	require.NoError(t, err)
	_, err = collect(Decode(f, -1, decodeUpTo([]byte("~"))))
	require.ErrorContains(t, err, "Workers")
}

// TestValuesAreDecodedByAllWorkersAtATime lets decode take a second for each block, by a fake clock.
func TestValuesAreDecodedByAllWorkersAtATime(t *testing.T) {
	entries := compressible(8)
	f, err := openBytes(t, encode(t, testHeader(1), Options{BlockSize: 1}, entries))
	require.NoError(t, err)
	require.Len(t, f.Blocks(), 8)
	for workers, want := range map[int]time.Duration{1: 8 * time.Second, 4: 2 * time.Second, 100: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			begin, next := time.Now(), 0
			for key, err := range Decode(f, workers, func(e Entry) (string, error) {
				time.Sleep(time.Second)
				return string(e.Key), nil
			}) {
				require.NoError(t, err)
				require.Equal(t, string(entries[next].Key), key)
				next++
			}
			require.Equal(t, want, time.Since(begin), "%d workers", workers)
		})
	}
}

// TestDecodeReusesItsMemory counts all bytes allocated. New memory for the values of each block would be three times the
// bound.
func TestDecodeReusesItsMemory(t *testing.T) {
	const count = 100_000
	f, err := openBytes(t, encode(t, testHeader(1), Options{BlockSize: 4096}, compressible(count)))
	require.NoError(t, err)
	type large [64]byte
	got := 0
	require.Less(t, allocated.Bytes(func() {
		for _, err := range Decode(f, 2, func(Entry) (large, error) { return large{}, nil }) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
	}), uint64(count*64/3))
	require.Equal(t, count, got)
}
