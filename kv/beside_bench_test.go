package kv

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// BenchmarkGetBesideWriter measures readers alone, beside a writer that commits durably without pause, and beside one that does
// the same to a bare file: what readers lose to that one is the price of the system calls, and not of the store. The three
// take turns, so that the ratios are of one time.
func BenchmarkGetBesideWriter(b *testing.B) {
	for _, readers := range []int{1, 2, 16} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			db := openNoise(b, b.TempDir(), Options{})
			file := openBare(b)
			gets, writes := map[string]int64{}, map[string]int64{}
			sides := []struct {
				name  string
				write func(i int)
			}{
				{"alone", nil},
				{"store", func(i int) {
					_, err := db.Put(noiseKey(uint64(i%*checkpointPairs)), noiseValue(uint64(i)))
					require.NoError(b, err)
				}},
				{"file", func(i int) {
					_, err := file.WriteAt(make([]byte, 160), int64(i%bareRecords)*160)
					require.NoError(b, err)
					require.NoError(b, file.Sync())
				}},
			}
			for b.Loop() {
				for _, side := range sides {
					g, w := readFor(300*time.Millisecond, db, readers, side.write)
					gets[side.name] += g
					writes[side.name] += w
				}
			}
			seconds := 0.3 * float64(b.N)
			b.ReportMetric(float64(gets["alone"])/seconds, "gets/s")
			b.ReportMetric(float64(gets["store"])/float64(gets["alone"]), "beside-store")
			b.ReportMetric(float64(gets["file"])/float64(gets["alone"]), "beside-file")
			b.ReportMetric(float64(writes["store"])/seconds, "store-puts/s")
			b.ReportMetric(float64(writes["file"])/seconds, "file-syncs/s")
			require.NoError(b, db.Close())
		})
	}
}

const bareRecords = 100_000

// openBare opens a file with all its space written, as a segment of the log has it.
func openBare(b *testing.B) vfs.File {
	file, err := vfs.OS.Create(filepath.Join(b.TempDir(), "bare"))
	require.NoError(b, err)
	require.NoError(b, file.Allocate(bareRecords*160))
	require.NoError(b, file.Sync())
	b.Cleanup(func() { require.NoError(b, file.Close()) })
	return file
}

// readFor lets readers get random keys for a while, beside a writer if there is one, and counts both.
func readFor(d time.Duration, db *DB, readers int, write func(i int)) (gets, writes int64) {
	var stop atomic.Bool
	var read atomic.Int64
	var done sync.WaitGroup
	for range readers {
		done.Go(func() {
			n := int64(0)
			for ; !stop.Load(); n++ {
				_, _ = db.Get(noiseKey(uint64(rand.IntN(*checkpointPairs))))
			}
			read.Add(n)
		})
	}
	if write != nil {
		done.Go(func() {
			for i := rand.IntN(1 << 20); !stop.Load(); i++ {
				write(i)
				writes++
			}
		})
	}
	time.Sleep(d)
	stop.Store(true)
	done.Wait()
	return read.Load(), writes
}

// BenchmarkViewBesideBatches measures how long a View waits, at the most, beside 128 writers of batches of 1,000 puts, for a
// second: their groups are long.
func BenchmarkViewBesideBatches(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		b.Run(mode.String(), func(b *testing.B) {
			db := openNoise(b, b.TempDir(), Options{Sync: mode})
			var stop atomic.Bool
			var writers sync.WaitGroup
			for w := range uint64(128) {
				writers.Go(func() {
					var batch Batch
					for i := w << 32; !stop.Load(); batch.Reset() {
						for ; batch.Len() < 1000; i++ {
							batch.Put(noiseKey(i), make([]byte, 100))
						}
						_, err := db.Apply(&batch)
						require.NoError(b, err)
					}
				})
			}
			var view, get longest
			commits := db.Stats().Commits
			for range b.N {
				for started := time.Now(); time.Since(started) < time.Second; time.Sleep(100 * time.Microsecond) {
					view.time(func() { _ = db.View(func(*Tx) error { return nil }) })
					get.time(func() { _, _ = db.Get(noiseKey(1)) })
				}
			}
			stop.Store(true)
			b.ReportMetric(float64(view.Load())/1e6, "longest-view-ms")
			b.ReportMetric(float64(get.Load())/1e6, "longest-get-ms")
			b.ReportMetric(float64(db.Stats().Commits-commits)/float64(b.N), "batches/s")
			writers.Wait()
			require.NoError(b, db.Close())
		})
	}
}

// BenchmarkPutsThatOutrunACheckpoint has 16 writers of values on one processor, which would make the log grow faster than a checkpoint
// ends. It says how long the log got, in times of what makes one due. Use -benchtime=3s or more.
func BenchmarkPutsThatOutrunACheckpoint(b *testing.B) {
	const writers, data = 16, 16 << 20
	for _, c := range []struct {
		name string
		size int
		open func(b *testing.B) (*DB, error)
	}{
		{"memory/8KiB", 8 << 10, func(*testing.B) (*DB, error) { return OpenMemory(Options{CheckpointFloor: 1 << 20}) }},
		{"durable/64KiB", 64 << 10, func(b *testing.B) (*DB, error) { return Open(b.TempDir(), Options{CheckpointFloor: 8 << 20}) }},
		{"relaxed/64KiB", 64 << 10, func(b *testing.B) (*DB, error) {
			return Open(b.TempDir(), Options{CheckpointFloor: 8 << 20, Sync: SyncNever})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			db, err := c.open(b)
			require.NoError(b, err)
			value := make([]byte, c.size)
			for i := range data / c.size {
				put(b, db, fmt.Sprint(i), string(value))
			}
			var done sync.WaitGroup
			var longest, next atomic.Int64
			b.SetBytes(int64(c.size))
			b.ResetTimer()
			for range writers {
				done.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := db.Put(fmt.Append(nil, i*31%(data/int64(c.size))), value); err != nil {
							b.Error(err)
						}
						if long := db.checkpoints.logBytes.Load(); long > longest.Load() {
							longest.Store(long)
						}
					}
				})
			}
			done.Wait()
			b.StopTimer()
			b.ReportMetric(float64(longest.Load())/float64(db.checkpoints.due.Load()), "times-due")
			b.ReportMetric(float64(db.Stats().Checkpoints.Taken), "checkpoints")
			require.NoError(b, db.Close())
		})
	}
}
