package snapshot

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkWriteStream measures the way into an io.Writer, as a backup takes it: BenchmarkWrite without the disk.
func BenchmarkWriteStream(b *testing.B) {
	w := noise(200_000, 100)
	for _, compression := range compressions {
		b.Run(fmt.Sprintf("%v", compression), func(b *testing.B) {
			b.SetBytes(w.bytes)
			b.ReportAllocs()
			for b.Loop() {
				stream, err := NewWriter(io.Discard, testHeader(1), Options{Compression: compression})
				require.NoError(b, err)
				for _, e := range w.entries {
					if err := stream.Add(e.Key, e.Data); err != nil {
						b.Fatal(err)
					}
				}
				require.NoError(b, stream.Close())
			}
		})
	}
}

// BenchmarkReadStream measures reading from an io.Reader, as a restore does, of entries that every compression shortens.
func BenchmarkReadStream(b *testing.B) {
	entries := compressible(200_000)
	for _, compression := range compressions {
		b.Run(fmt.Sprintf("%v", compression), func(b *testing.B) {
			opts := Options{Compression: compression}
			data := encode(b, testHeader(1), opts, entries)
			b.SetBytes(int64(len(entries) * (len(entries[0].Key) + len(entries[0].Data))))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(data), opts)
				require.NoError(b, err)
				for _, err := range r.Entries() {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkGet measures one entry, for which a block is read and decoded.
func BenchmarkGet(b *testing.B) {
	entries := compressible(200_000)
	for _, compression := range compressions {
		b.Run(fmt.Sprintf("%v", compression), func(b *testing.B) {
			file, err := openBytes(b, encode(b, testHeader(1), Options{Compression: compression}, entries))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, found, err := file.Get(entries[rand.IntN(len(entries))].Key); !found || err != nil {
					b.Fatal(found, err)
				}
			}
			require.NoError(b, file.Close())
		})
	}
}
