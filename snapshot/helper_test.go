package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

const testDir = "/db/snapshot"

var compressions = []Compression{NoCompression, S2, Zstd}

// testHeader returns the header of a state as of an offset.
func testHeader(offset uint64) Header {
	return Header{Kind: 1, ID: [16]byte{1, 2, 3}, Offset: offset, Time: storedTime(1234567890123456789)}
}

// compressible returns the given number of entries, with data that every compression makes smaller.
func compressible(count int) []Entry {
	entries := make([]Entry, count)
	for i := range entries {
		entries[i] = Entry{Key: fmt.Appendf(nil, "key%06d", i), Data: bytes.Repeat([]byte{byte('a' + i%26)}, 40)}
	}
	return entries
}

// scrambled returns entries of random sizes, some of them larger than a block of this size.
func scrambled(rng *rand.Rand, count, blockSize int) []Entry {
	entries := make([]Entry, count)
	for i := range entries {
		data := make([]byte, rng.IntN(2*blockSize/(1+rng.IntN(20))+1))
		fill := rng.IntN(2) * 255
		for j := range data {
			data[j] = byte(rng.IntN(1 + fill))
		}
		entries[i] = Entry{Key: fmt.Appendf(nil, "%0*d", 6+rng.IntN(20), i), Data: data}
	}
	return sorted(entries)
}

// sorted returns the entries in order, each key once.
func sorted(entries []Entry) []Entry {
	byKey := map[string]Entry{}
	for _, e := range entries {
		byKey[string(e.Key)] = e
	}
	keys := make([]string, 0, len(byKey))
	for key := range byKey {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	ordered := make([]Entry, 0, len(keys))
	for _, key := range keys {
		ordered = append(ordered, byKey[key])
	}
	return ordered
}

// all returns entries in the form that Write takes.
func all(entries []Entry) iter.Seq2[[]byte, []byte] { return workload{entries: entries}.all }

// encode returns the bytes of a snapshot.
func encode(t testing.TB, h Header, o Options, entries []Entry) []byte {
	t.Helper()
	var stream bytes.Buffer
	w, err := NewWriter(&stream, h, o)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, w.Add(e.Key, e.Data))
	}
	require.NoError(t, w.Close())
	require.EqualValues(t, stream.Len(), w.Info().FileBytes)
	return stream.Bytes()
}

// collect gathers copies of what an iterator yields, up to an error.
func collect(entries iter.Seq2[Entry, error]) (got []Entry, err error) {
	for e, err := range entries {
		if err != nil {
			return got, err
		}
		got = append(got, Entry{Key: bytes.Clone(e.Key), Data: bytes.Clone(e.Data)})
	}
	return got, nil
}

// readStream reads bytes as a stream.
func readStream(data []byte) ([]Entry, error) {
	r, err := NewReader(bytes.NewReader(data), Options{Workers: 2})
	if err != nil {
		return nil, err
	}
	return collect(r.Entries())
}

// readFile reads bytes as a file, and checks that Verify finds what reading the entries finds.
func readFile(t testing.TB, data []byte) ([]Entry, error) {
	t.Helper()
	f, err := openBytes(t, data)
	if err != nil {
		return nil, err
	}
	got, err := collect(f.Entries(2))
	verified := f.Verify(context.Background())
	if err != nil {
		require.ErrorIs(t, verified, ErrCorrupt)
	} else {
		err = verified
	}
	return got, errors.Join(err, f.Close())
}

// openBytes opens bytes as a file.
func openBytes(t testing.TB, data []byte) (*File, error) {
	t.Helper()
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile("/some.file", data))
	return Open(mem, "/some.file")
}

// requireEntries compares entries without a difference between nil and empty.
func requireEntries(t testing.TB, want, got []Entry) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if !bytes.Equal(want[i].Key, got[i].Key) || !bytes.Equal(want[i].Data, got[i].Data) {
			require.Equal(t, want[i], got[i], "entry %d", i)
		}
	}
}

// isRefusal reports whether an error refuses the bytes, as opposed to a failure of reading them.
func isRefusal(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) }
