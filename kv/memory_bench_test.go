package kv

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPutInMemory compares a put in memory with one of a store on disk in the mode that syncs least.
func BenchmarkPutInMemory(b *testing.B) {
	for _, c := range []struct {
		name string
		open func() (*DB, error)
	}{
		{"memory", func() (*DB, error) { return OpenMemory(Options{}) }},
		{"disk", func() (*DB, error) { return Open(b.TempDir(), Options{Sync: SyncNever}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			db, err := c.open()
			require.NoError(b, err)
			defer db.Close()
			var key [8]byte
			value := make([]byte, 100)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				binary.BigEndian.PutUint64(key[:], uint64(i%100_000))
				if _, err := db.Put(key[:], value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
