package wal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchmarkRecords is how many records of 100 bytes the log has that reading and opening are measured on.
const benchmarkRecords = 500_000

// fillLog makes a log of benchmarkRecords in dir, and leaves it open.
func fillLog(b *testing.B, dir string) *Log {
	l, err := Open(dir, Options{Sync: SyncNever})
	require.NoError(b, err)
	thousand := make([][]byte, 1000)
	for i := range thousand {
		thousand[i] = make([]byte, 100)
	}
	for range benchmarkRecords / len(thousand) {
		_, err := l.AppendBatch(thousand)
		require.NoError(b, err)
	}
	return l
}

// BenchmarkAppendBatch measures appends of many; beside BenchmarkAppend it shows what each call costs.
func BenchmarkAppendBatch(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, records := range []int{10, 100} {
			b.Run(fmt.Sprintf("sync=%s/records=%d", mode, records), func(b *testing.B) {
				l, err := Open(b.TempDir(), Options{Sync: mode})
				require.NoError(b, err)
				payloads := make([][]byte, records)
				for i := range payloads {
					payloads[i] = make([]byte, 100)
				}
				b.SetBytes(int64(records) * 100)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.AppendBatch(payloads); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				require.NoError(b, l.Close())
			})
		}
	}
}

// BenchmarkReadAnywhere measures single reads all over a segment that is active or sealed, each by way of the index.
func BenchmarkReadAnywhere(b *testing.B) {
	for _, sealed := range []bool{false, true} {
		b.Run(fmt.Sprintf("sealed=%t", sealed), func(b *testing.B) {
			l := fillLog(b, b.TempDir())
			for sealed && l.segments.active().base() == 1 {
				_, err := l.Append(make([]byte, 1<<20))
				require.NoError(b, err)
			}
			b.ReportAllocs()
			offset := uint64(0)
			for b.Loop() {
				offset = (offset + 314_159) % benchmarkRecords // Meets every record.
				if _, err := l.Read(offset + 1); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			require.NoError(b, l.Close())
		})
	}
}

// BenchmarkOpen measures opening a log that was closed, for writing and for reading only.
func BenchmarkOpen(b *testing.B) {
	for _, readOnly := range []bool{false, true} {
		b.Run(fmt.Sprintf("read-only=%t", readOnly), func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, fillLog(b, dir).Close())
			b.ReportAllocs()
			for b.Loop() {
				l, err := Open(dir, Options{Sync: SyncNever, ReadOnly: readOnly})
				require.NoError(b, err)
				b.StopTimer()
				require.EqualValues(b, benchmarkRecords, l.Last())
				require.NoError(b, l.Close())
				b.StartTimer()
			}
			b.ReportMetric(benchmarkRecords*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
