package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	large := bytes.Repeat([]byte("walnut"), 500_000)
	for name, entries := range map[string][]Entry{
		"no entries":                            nil,
		"one entry":                             {{[]byte("k"), []byte("v")}},
		"an empty key":                          {{nil, []byte("v")}, {[]byte{0}, nil}},
		"no data":                               {{[]byte("a"), nil}, {[]byte("b"), nil}},
		"keys that are each other's prefixes":   {{[]byte("a"), nil}, {[]byte("a\x00"), nil}, {[]byte("ab"), nil}},
		"an entry larger than any block":        {{[]byte("a"), nil}, {[]byte("b"), large}, {[]byte("c"), nil}},
		"zeros that compress beyond the bounds": {{[]byte("b"), make([]byte, 3<<20)}},
		"the longest key":                       {{bytes.Repeat([]byte{1}, MaxKeySize), nil}, {bytes.Repeat([]byte{2}, MaxKeySize), nil}},
		"many blocks":                           compressible(1000),
	} {
		for _, compression := range compressions {
			for _, workers := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s, %v, %d workers", name, compression, workers), func(t *testing.T) {
					o := Options{Compression: compression, BlockSize: 500, Workers: workers}
					data := encode(t, testHeader(7), o, entries)
					got, err := readStream(data)
					require.NoError(t, err)
					requireEntries(t, entries, got)
					got, err = readFile(t, data)
					require.NoError(t, err)
					requireEntries(t, entries, got)
				})
			}
		}
	}
}

func TestRandomEntriesAreReadAsTheyWereWritten(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		o := Options{Compression: compressions[rng.IntN(3)], BlockSize: 1 + rng.IntN(3000), Workers: 1 + rng.IntN(3)}
		entries := scrambled(rng, rng.IntN(300), o.BlockSize)
		data := encode(t, testHeader(seed), o, entries)
		got, err := readFile(t, data)
		require.NoError(t, err, "seed %d, %+v: put it in place of rand.Uint64 here", seed, o)
		requireEntries(t, entries, got)
		require.Equal(t, data, encode(t, testHeader(seed), o, entries), "the same entries make the same bytes")
	}
}

func TestTheLargestEntryFits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a gigabyte")
	}
	e := Entry{Key: make([]byte, MaxKeySize), Data: make([]byte, MaxDataSize)}
	data := encode(t, testHeader(1), Options{}, []Entry{e})
	got, err := readStream(data)
	require.NoError(t, err)
	require.True(t, bytes.Equal(e.Data, got[0].Data))
}

func TestWhatDoesNotFitIsRefusedAndTheRestGoesOn(t *testing.T) {
	var stream bytes.Buffer
	w, err := NewWriter(&stream, testHeader(1), Options{})
	require.NoError(t, err)
	require.NoError(t, w.Add([]byte("b"), []byte("1")))
	require.ErrorIs(t, w.Add([]byte("a"), nil), ErrOrder, "a smaller key")
	require.ErrorIs(t, w.Add([]byte("b"), nil), ErrOrder, "the same key")
	require.ErrorIs(t, w.Add(nil, nil), ErrOrder, "the empty key, which is smaller than all others")
	require.ErrorIs(t, w.Add(make([]byte, MaxKeySize+1), nil), ErrTooLarge)
	require.ErrorIs(t, w.Add([]byte("c"), make([]byte, MaxDataSize+1)), ErrTooLarge)
	require.NoError(t, w.Add([]byte("c"), []byte("2")))
	require.NoError(t, w.Close())
	got, err := readStream(stream.Bytes())
	require.NoError(t, err)
	requireEntries(t, []Entry{{[]byte("b"), []byte("1")}, {[]byte("c"), []byte("2")}}, got)
}

func TestAClosedWriterRefusesEverything(t *testing.T) {
	w, err := NewWriter(io.Discard, testHeader(1), Options{})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.ErrorIs(t, w.Add([]byte("k"), nil), ErrClosed)
	require.ErrorIs(t, w.Close(), ErrClosed)
}

func TestNonsenseIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		header Header
		opts   Options
	}{
		"a start after the end":     {header: Header{From: 2, Offset: 1}},
		"a time without a number":   {header: Header{Time: time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"an unknown compression":    {opts: Options{Compression: 9}},
		"the trailer's own method":  {opts: Options{Compression: trailerMethod}},
		"a block size over the max": {opts: Options{BlockSize: MaxBlockSize + 1}},
		"a negative block size":     {opts: Options{BlockSize: -1}},
		"negative workers":          {opts: Options{Workers: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			var stream bytes.Buffer
			_, err := NewWriter(&stream, c.header, c.opts)
			require.Error(t, err)
			require.Zero(t, stream.Len())
		})
	}
}

// failingWriter fails its n-th write, after a part of it; the others succeed.
type failingWriter struct {
	n       int
	err     error
	written []byte
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n--; w.n == 0 {
		w.written = append(w.written, p[:len(p)/2]...)
		return len(p) / 2, w.err
	}
	w.written = append(w.written, p...)
	return len(p), nil
}

func TestAWriterThatFailsHalfWayFailsForGood(t *testing.T) {
	broken := errors.New("broken pipe")
	entries := compressible(100)
	for _, cause := range []error{broken, nil} { // Nil with a short count is io.ErrShortWrite.
		failed := 0
		for n := 1; ; n++ {
			sink := &failingWriter{n: n, err: cause}
			err := writeEntries(sink, entries)
			if err == nil {
				break
			}
			failed++
			if cause == nil {
				cause = io.ErrShortWrite
			}
			require.ErrorIs(t, err, cause)
			if cause == io.ErrShortWrite {
				cause = nil
			}
			_, err = readStream(sink.written)
			require.Error(t, err, "write %d failed, so the bytes must not pass for a whole snapshot", n)
		}
		require.Greater(t, failed, 5)
	}
}

// writeEntries writes a snapshot. After an error it continues, and the error must stay the same.
func writeEntries(sink io.Writer, entries []Entry) error {
	w, err := NewWriter(sink, testHeader(1), Options{BlockSize: 600, Workers: 2})
	if err != nil {
		return err
	}
	var first error
	for _, e := range entries {
		err := w.Add(e.Key, e.Data)
		if first != nil && !errors.Is(err, first) {
			return fmt.Errorf("after %w an entry got: %w", first, err)
		}
		first = err
	}
	if err := w.Close(); err != nil || first == nil {
		return err
	}
	return errors.New("closed without an error after one")
}

func TestNoGoroutineOutlivesItsUse(t *testing.T) {
	entries := compressible(5000)
	data := encode(t, testHeader(1), Options{BlockSize: 300}, entries)
	f, err := openBytes(t, data)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) { // Fails if a goroutine is left waiting.
		w, err := NewWriter(io.Discard, testHeader(1), Options{BlockSize: 100, Workers: 8})
		require.NoError(t, err)
		for _, e := range entries[:100] {
			require.NoError(t, w.Add(e.Key, e.Data))
		}
		r, err := NewReader(bytes.NewReader(data), Options{Workers: 8})
		require.NoError(t, err)
		for range r.Entries() {
			break
		}
		for range f.Entries(8) {
			break
		}
		for range Decode(f, 8, decodeUpTo(entries[1].Key)) { // The second entry is an error.
		}
		for range Decode(f, 8, decodeUpTo([]byte("~"))) {
			break
		}
	})
}

// TestMemoryIsAFewBlocks counts all bytes allocated. Except for the rows, they must not grow with the data.
func TestMemoryIsAFewBlocks(t *testing.T) {
	const count, dataSize, limit = 50_000, 2000, 8 << 20
	entry := func(i int) (key, data []byte) {
		return fmt.Appendf(make([]byte, 0, 16), "%08d", i), bytes.Repeat([]byte{byte(i)}, dataSize)
	}
	var stream bytes.Buffer
	stream.Grow(count * (dataSize + 20))
	var pairs [][2][]byte
	for i := range count {
		key, data := entry(i)
		pairs = append(pairs, [2][]byte{key, data})
	}
	require.Less(t, allocated.Bytes(func() {
		w, err := NewWriter(&stream, testHeader(1), Options{Compression: NoCompression, Workers: 2})
		require.NoError(t, err)
		for _, pair := range pairs {
			if err := w.Add(pair[0], pair[1]); err != nil {
				t.Fatal(err)
			}
		}
		require.NoError(t, w.Close())
	}), uint64(limit))
	f, err := openBytes(t, stream.Bytes())
	require.NoError(t, err)
	r, err := NewReader(&stream, Options{Workers: 2})
	require.NoError(t, err)
	for name, read := range map[string]func(func(Entry, error) bool){"file": f.Entries(2), "stream": r.Entries()} {
		got := 0
		require.Less(t, allocated.Bytes(func() {
			for _, err := range read {
				if err != nil {
					t.Fatal(err)
				}
				got++
			}
		}), uint64(limit), name)
		require.Equal(t, count, got)
	}
}
