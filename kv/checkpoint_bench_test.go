package kv

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/histogram"
)

var checkpointPairs = flag.Int("checkpoint.pairs", 200_000, "how many pairs the benchmarks of checkpoints have")

// checkpointWriters is how many goroutines write beside a checkpoint.
const checkpointWriters = 16

// openNoise opens a store on disk that holds pairs of 16 random and 100 incompressible bytes, with no checkpoint but
// those that are asked for.
func openNoise(b *testing.B, dir string, opts Options) *DB {
	opts.CheckpointFactor = -1
	db, err := Open(dir, opts)
	require.NoError(b, err)
	putNoise(b, db, 0, *checkpointPairs)
	return db
}

func putNoise(b *testing.B, db *DB, from, to int) {
	var batch Batch
	for i := from; i < to; i++ {
		batch.Put(noiseKey(uint64(i)), noiseValue(uint64(i)))
		if batch.Len() == 1000 || i == to-1 {
			_, err := db.Apply(&batch)
			require.NoError(b, err)
			batch.Reset()
		}
	}
}

func noiseKey(i uint64) []byte {
	var rng rand.PCG
	rng.Seed(i, 1)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, rng.Uint64()), i)
}

func noiseValue(i uint64) []byte {
	var rng rand.PCG
	rng.Seed(i, 2)
	value := make([]byte, 0, 104)
	for len(value) < 100 {
		value = binary.BigEndian.AppendUint64(value, rng.Uint64())
	}
	return value[:100]
}

// BenchmarkCheckpoint measures checkpoints of a store that does nothing else.
func BenchmarkCheckpoint(b *testing.B) {
	for _, packed := range []Compression{CompressionNone, CompressionS2, CompressionZstd} {
		b.Run(fmt.Sprintf("packed=%v", packed), func(b *testing.B) {
			db := openNoise(b, b.TempDir(), Options{Sync: SyncNever, SnapshotCompression: packed})
			for b.Loop() {
				_, err := db.Put([]byte("another"), nil) // Without a commit there would be nothing to write.
				require.NoError(b, err)
				_, err = db.Checkpoint(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric(float64(*checkpointPairs)*float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
			b.ReportMetric(float64(db.Stats().Checkpoints.SnapshotBytes)/float64(db.Stats().Checkpoints.Snapshots)/1e6, "MB")
			require.NoError(b, db.Close())
		})
	}
}

// BenchmarkRestart measures closing a store of which each pair was a commit, and opening it again: with the checkpoints that are taken
// by themselves, and from the log alone.
func BenchmarkRestart(b *testing.B) {
	for _, factor := range []float64{0, -1} {
		b.Run(fmt.Sprintf("factor=%v", factor), func(b *testing.B) {
			var closing, opening time.Duration
			for range b.N {
				dir := b.TempDir()
				db, err := Open(dir, Options{Sync: SyncNever, CheckpointFactor: factor})
				require.NoError(b, err)
				for i := range uint64(*checkpointPairs) {
					_, err := db.Put(noiseKey(i), noiseValue(i))
					require.NoError(b, err)
				}
				started := time.Now()
				require.NoError(b, db.Close())
				closing += time.Since(started)
				started = time.Now()
				db, err = Open(dir, Options{CheckpointFactor: -1})
				opening += time.Since(started)
				require.NoError(b, err)
				require.NoError(b, db.Close())
			}
			b.ReportMetric(closing.Seconds()/float64(b.N), "close-s")
			b.ReportMetric(opening.Seconds()/float64(b.N), "open-s")
		})
	}
}

// BenchmarkBackup measures backups to nowhere of a store that does nothing else.
func BenchmarkBackup(b *testing.B) {
	db := openNoise(b, b.TempDir(), Options{Sync: SyncNever})
	for b.Loop() {
		_, err := db.Backup(b.Context(), io.Discard)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(*checkpointPairs)*float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
	require.NoError(b, db.Close())
}

// BenchmarkStart measures opening a store whose pairs are in a snapshot, in the log, or one half in each.
func BenchmarkStart(b *testing.B) {
	for _, from := range []struct {
		name  string
		share float64
	}{{"snapshot", 1}, {"both", 0.5}, {"log", 0}} {
		b.Run("from="+from.name, func(b *testing.B) {
			dir, opts := b.TempDir(), Options{Sync: SyncNever, CheckpointFactor: -1}
			db, err := Open(dir, opts)
			require.NoError(b, err)
			for i := range *checkpointPairs {
				_, err := db.Put(noiseKey(uint64(i)), noiseValue(uint64(i)))
				require.NoError(b, err)
				if i+1 == int(from.share*float64(*checkpointPairs)) {
					_, err = db.Checkpoint(b.Context())
					require.NoError(b, err)
				}
			}
			require.NoError(b, db.Close())
			for b.Loop() {
				db, err := Open(dir, opts)
				require.NoError(b, err)
				b.StopTimer()
				require.Equal(b, *checkpointPairs, db.Recovery().Keys)
				require.NoError(b, db.Close())
				b.StartTimer()
			}
			b.ReportMetric(float64(*checkpointPairs)*float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

// BenchmarkPutBesideCheckpoint measures puts for as long as a checkpoint takes, and then for as long without one, in turns.
// The rate's ratio is with to without, and so is that of the latency.
func BenchmarkPutBesideCheckpoint(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		b.Run(fmt.Sprintf("sync=%v/goroutines=%d", mode, checkpointWriters), func(b *testing.B) {
			db := openNoise(b, b.TempDir(), Options{Sync: mode})
			var beside, alone putsTaken
			for b.Loop() {
				took := beside.during(b, db, func() {
					_, err := db.Checkpoint(b.Context())
					require.NoError(b, err)
				})
				alone.during(b, db, func() { time.Sleep(took) })
			}
			beside.report(b, "beside")
			alone.report(b, "alone")
			b.ReportMetric(beside.rate()/alone.rate(), "rate-ratio")
			b.ReportMetric(float64(beside.latency.Snapshot().Quantile(0.99))/float64(alone.latency.Snapshot().Quantile(0.99)), "p99-ratio")
			b.ReportMetric(float64(db.Stats().CloneLatency.Max)/1e3, "clone-max-µs")
			require.NoError(b, db.Close())
		})
	}
}

// putsTaken are puts over pairs that are there, and for how long they were made.
type putsTaken struct {
	latency histogram.Histogram // In nanoseconds.
	elapsed time.Duration
}

// during lets goroutines put while something is done, and returns how long that took.
func (p *putsTaken) during(b *testing.B, db *DB, do func()) time.Duration {
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for range checkpointWriters {
		writers.Go(func() { p.put(b, db, stop) })
	}
	started := time.Now()
	do()
	took := time.Since(started)
	close(stop)
	writers.Wait()
	p.elapsed += took
	return took
}

func (p *putsTaken) put(b *testing.B, db *DB, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		key, value := noiseKey(rand.Uint64N(uint64(*checkpointPairs))), noiseValue(rand.Uint64())
		started := time.Now()
		if _, err := db.Put(key, value); err != nil {
			b.Error(err)
			return
		}
		p.latency.Record(int64(time.Since(started)))
	}
}

func (p *putsTaken) rate() float64 { return float64(p.latency.Snapshot().Count) / p.elapsed.Seconds() }

func (p *putsTaken) report(b *testing.B, name string) {
	spread := p.latency.Snapshot()
	b.ReportMetric(p.rate(), name+"-puts/s")
	b.ReportMetric(float64(spread.Quantile(0.99))/1e3, name+"-p99-µs")
	b.ReportMetric(float64(spread.Quantile(0.999))/1e3, name+"-p99.9-µs")
	b.ReportMetric(float64(spread.Max)/1e3, name+"-max-µs")
}
