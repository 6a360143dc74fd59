package vfs

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkOSWriteAndSync does what a durable append does: it writes a record after the previous one, and syncs it. Writes of
// different sizes filled the 16 MiB with zeros before.
func BenchmarkOSWriteAndSync(b *testing.B) {
	const space = 16 << 20
	for _, recordSize := range []int{152, 2432, 39000} {
		for _, chunk := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("record=%d/zeros=%dKiB", recordSize, chunk>>10), func(b *testing.B) {
				f, err := OS.Create(filepath.Join(b.TempDir(), "a"))
				require.NoError(b, err)
				defer func() { require.NoError(b, f.Close()) }()
				for position := int64(0); position < space; position += int64(chunk) {
					_, err := f.WriteAt(make([]byte, chunk), position)
					require.NoError(b, err)
				}
				require.NoError(b, f.Sync())
				record := make([]byte, recordSize)
				for i := range record {
					record[i] = byte(i) | 1
				}
				position := int64(0)
				for b.Loop() {
					if position+int64(recordSize) > space {
						position = 0
					}
					_, err := f.WriteAt(record, position)
					require.NoError(b, err)
					require.NoError(b, f.Sync())
					position += int64(recordSize)
				}
			})
		}
	}
}
