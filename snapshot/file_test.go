package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestOneKeyIsFoundWithoutTheOthers(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	entries := scrambled(rng, 500, 1000)
	byKey := map[string][]byte{}
	var held []Entry
	for i, e := range entries {
		if i%2 == 0 {
			held, byKey[string(e.Key)] = append(held, e), e.Data
		}
	}
	f, err := openBytes(t, encode(t, testHeader(1), Options{BlockSize: 1000}, held))
	require.NoError(t, err)
	for _, e := range append(entries, Entry{}, Entry{Key: []byte("~")}) {
		data, found, err := f.Get(e.Key)
		require.NoError(t, err, "seed %d", seed)
		want, held := byKey[string(e.Key)]
		require.Equal(t, held, found, "seed %d, key %q", seed, e.Key)
		require.True(t, bytes.Equal(want, data), "seed %d, key %q", seed, e.Key)
	}
}

func TestEntriesCanBeReadFromAnyKeyOn(t *testing.T) {
	entries := compressible(100)
	f, err := openBytes(t, encode(t, testHeader(1), Options{BlockSize: 300}, entries))
	require.NoError(t, err)
	for i, e := range entries {
		for _, workers := range []int{0, 1, 3} {
			got, err := collect(f.EntriesFrom(e.Key, workers))
			require.NoError(t, err)
			requireEntries(t, entries[i:], got)
			got, err = collect(f.EntriesFrom(append(bytes.Clone(e.Key), 0), workers))
			require.NoError(t, err)
			requireEntries(t, entries[i+1:], got)
		}
	}
	_, err = collect(f.Entries(-1))
	require.ErrorContains(t, err, "Workers")
}

func TestInfoAndBlocksSayWhatThereIs(t *testing.T) {
	entries := compressible(100)
	h := testHeader(9)
	h.From = 4
	data := encode(t, h, Options{BlockSize: 300, Compression: S2}, entries)
	f, err := openBytes(t, data)
	require.NoError(t, err)
	require.Equal(t, "/some.file", f.Path())
	info := f.Info()
	require.Equal(t, Info{
		Header: h, Compression: S2, Blocks: len(f.Blocks()), Entries: 100,
		KeyBytes: 900, DataBytes: 4000, FileBytes: int64(len(data)),
	}, info)

	position, count := int64(headSize), 0
	for i, b := range f.Blocks() {
		require.Equal(t, position, b.Position)
		require.Equal(t, entries[count].Key, b.FirstKey)
		got, err := f.ReadBlock(i)
		require.NoError(t, err)
		requireEntries(t, entries[count:][:b.Entries], got)
		position += b.StoredBytes
		count += b.Entries
	}
	require.Equal(t, 100, count)
	for _, number := range []int{-1, len(f.Blocks())} {
		_, err = f.ReadBlock(number)
		require.ErrorContains(t, err, fmt.Sprintf("block %d of snapshot", number))
	}
}

func TestASnapshotWithoutEntriesIsASnapshot(t *testing.T) {
	f, err := openBytes(t, encode(t, Header{}, Options{}, nil))
	require.NoError(t, err)
	require.Equal(t, Info{Compression: S2, FileBytes: headSize + blockHeadSize + totalsSize + footerSize}, f.Info())
	require.Empty(t, f.Blocks())
	_, found, err := f.Get([]byte("k"))
	require.True(t, err == nil && !found)
	require.NoError(t, f.Verify(t.Context()))
}

func TestManyReadOneFile(t *testing.T) {
	entries := compressible(300)
	f, err := openBytes(t, encode(t, testHeader(1), Options{BlockSize: 500}, entries))
	require.NoError(t, err)
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			got, err := collect(f.Entries(i % 3))
			if err != nil || len(got) != len(entries) {
				t.Errorf("%d entries: %v", len(got), err)
			}
			for _, e := range entries[i*10:][:10] {
				data, found, err := f.Get(e.Key)
				if err != nil || !found || !bytes.Equal(data, e.Data) {
					t.Errorf("%s: %v, %v", e.Key, found, err)
				}
			}
			if err := f.Verify(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	require.NoError(t, f.Close())
}

func TestNothingReadsTheFileAfterAnIterationStops(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile("/some.file", encode(t, testHeader(1), Options{BlockSize: 300}, compressible(300))))
	f, err := Open(mem, "/some.file")
	require.NoError(t, err)
	var begun, reads atomic.Int64
	mem.SetHook(func(vfs.Call) error {
		if begun.Add(1) > 1 { // The first block is read at once, the others take longer.
			time.Sleep(10 * time.Millisecond)
		}
		reads.Add(1)
		return nil
	})
	for range f.Entries(8) {
		break
	}
	require.EqualValues(t, 8, reads.Load(), "every read that began has ended")
	require.NoError(t, f.Close())
}

func TestVerifyStopsWithItsContext(t *testing.T) {
	f, err := openBytes(t, specimen(t, S2))
	require.NoError(t, err)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	for _, err := range []error{f.Verify(ctx), f.VerifySums(ctx)} {
		require.ErrorIs(t, err, enough)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
}

func TestOpenOfWhatIsNotThereSaysSo(t *testing.T) {
	mem := vfs.NewMem()
	_, err := Open(mem, "/missing.snap")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "/missing.snap")
}

func TestNamesOfCompressionsAreRead(t *testing.T) {
	for _, c := range append([]Compression{DefaultCompression}, compressions...) {
		parsed, err := ParseCompression(c.String())
		require.NoError(t, err)
		require.Equal(t, c, parsed)
	}
	_, err := ParseCompression("lz4")
	require.ErrorContains(t, err, "lz4")
}
