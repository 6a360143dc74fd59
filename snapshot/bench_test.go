package snapshot

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// workload is what a benchmark writes: pairs in order.
type workload struct {
	name    string
	entries []Entry
	bytes   int64
}

// noise returns pairs with keys of 16 bytes that nothing can compress. They lie in memory in their order, since otherwise
// the benchmark would measure cache misses.
func noise(count, dataSize int) workload {
	rng := rand.NewChaCha8([32]byte{1})
	keys := make([][16]byte, count)
	for i := range keys {
		_, _ = rng.Read(keys[i][:])
	}
	slices.SortFunc(keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	data := make([]byte, dataSize*count)
	_, _ = rng.Read(data)
	w := workload{name: "noise", bytes: int64((16 + dataSize) * count)}
	for i := range keys {
		w.entries = append(w.entries, Entry{keys[i][:], data[dataSize*i:][:dataSize]})
	}
	return w
}

// text returns a million pairs of real text: the lines of the Unicode character database by their code, repeated. The copies
// lie too far apart to help a compressor.
func text(b *testing.B) workload {
	packed, err := os.ReadFile("../testdata/unicode/UnicodeData.tsv.gz")
	require.NoError(b, err)
	unpacker, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(b, err)
	whole, err := io.ReadAll(unpacker)
	require.NoError(b, err)
	lines := bytes.Split(bytes.TrimSpace(whole), []byte{'\n'})[1:]
	w := workload{name: "text"}
	for i := range 1_000_000 {
		line := lines[i%len(lines)]
		key := binary.BigEndian.AppendUint32(nil, uint32(i))
		key = append(key, line[:bytes.IndexByte(line, '\t')]...)
		w.entries = append(w.entries, Entry{key, line})
		w.bytes += int64(len(key) + len(line))
	}
	return w
}

// all yields the pairs as Write takes them.
func (w workload) all(yield func(key, data []byte) bool) {
	for _, e := range w.entries {
		if !yield(e.Key, e.Data) {
			return
		}
	}
}

func benchmark(b *testing.B, run func(b *testing.B, w workload, o Options)) {
	for _, w := range []workload{noise(1_000_000, 100), text(b)} {
		for _, compression := range []Compression{NoCompression, S2, Zstd} {
			for _, workers := range []int{1, 2} {
				name := fmt.Sprintf("%s/%v/workers=%d", w.name, compression, workers)
				b.Run(name, func(b *testing.B) { run(b, w, Options{Compression: compression, Workers: workers}) })
			}
		}
	}
}

// BenchmarkWrite measures a million pairs on their way to a durable file.
func BenchmarkWrite(b *testing.B) {
	benchmark(b, func(b *testing.B, w workload, o Options) {
		dir := b.TempDir()
		b.SetBytes(w.bytes)
		b.ReportAllocs()
		for offset := uint64(1); b.Loop(); offset++ {
			_, info, err := Write(b.Context(), nil, dir, Header{Offset: offset}, o, w.all)
			require.NoError(b, err)
			b.ReportMetric(float64(info.FileBytes)/float64(w.bytes), "stored/raw")
			b.StopTimer()
			require.NoError(b, Remove(nil, dir, offset))
			b.StartTimer()
		}
	})
}

// BenchmarkRead measures reading them back from the page cache.
func BenchmarkRead(b *testing.B) {
	benchmark(b, func(b *testing.B, w workload, o Options) {
		path, _, err := Write(b.Context(), nil, b.TempDir(), Header{Offset: 1}, o, w.all)
		require.NoError(b, err)
		file, err := Open(nil, path)
		require.NoError(b, err)
		b.SetBytes(w.bytes)
		b.ReportAllocs()
		for b.Loop() {
			count := 0
			for _, err := range file.Entries(o.Workers) {
				if err != nil {
					b.Fatal(err)
				}
				count++
			}
			require.Len(b, w.entries, count)
		}
		require.NoError(b, file.Close())
	})
}

// BenchmarkVerify measures the check of a whole file in the page cache: everything about it, and its checksums alone.
func BenchmarkVerify(b *testing.B) {
	w := text(b)
	for _, compression := range compressions {
		path, _, err := Write(b.Context(), nil, b.TempDir(), Header{Offset: 1}, Options{Compression: compression}, w.all)
		require.NoError(b, err)
		file, err := Open(nil, path)
		require.NoError(b, err)
		for name, verify := range map[string]func(context.Context) error{"all": file.Verify, "sums": file.VerifySums} {
			b.Run(fmt.Sprintf("%v/%s", compression, name), func(b *testing.B) {
				b.SetBytes(w.bytes)
				for b.Loop() {
					require.NoError(b, verify(b.Context()))
				}
			})
		}
		require.NoError(b, file.Close())
	}
}
