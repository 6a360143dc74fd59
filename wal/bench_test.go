package wal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkAppend measures one appender; many are measured by the bench module.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, size := range []int{100, 1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("sync=%s/bytes=%d", mode, size), func(b *testing.B) {
				l, err := Open(b.TempDir(), Options{Sync: mode})
				require.NoError(b, err)
				payload := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.Append(payload); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				require.NoError(b, l.Close())
			})
		}
	}
}

// BenchmarkRecords measures reading a log in order.
func BenchmarkRecords(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{Sync: SyncNever})
			require.NoError(b, err)
			count := uint64(64<<20) / uint64(size)
			payload := make([]byte, size)
			for range count {
				_, err := l.Append(payload)
				require.NoError(b, err)
			}
			b.SetBytes(int64(size) * int64(count))
			for b.Loop() {
				for _, err := range l.Records(1) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.StopTimer()
			require.NoError(b, l.Close())
		})
	}
}
