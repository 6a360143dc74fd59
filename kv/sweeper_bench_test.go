package kv

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/histogram"
)

// BenchmarkPutBesideSweep measures 16 writers while pairs that all expire at one instant are swept, against the same without.
// It also reports the heap for a pair with a deadline and for one without.
func BenchmarkPutBesideSweep(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		b.Run(mode.String(), func(b *testing.B) {
			for range b.N {
				benchmarkPutBesideSweep(b, Options{Sync: mode, CheckpointFactor: -1})
			}
		})
	}
}

func benchmarkPutBesideSweep(b *testing.B, opts Options) {
	pairs := *checkpointPairs
	plain, err := Open(b.TempDir(), opts)
	require.NoError(b, err)
	before := liveHeap()
	putNoise(b, plain, 0, pairs)
	without := float64(liveHeap()-before) / float64(pairs)
	require.NoError(b, plain.Close())

	db, err := Open(b.TempDir(), opts)
	require.NoError(b, err)
	deadline := time.Now().Add(time.Hour)
	before = liveHeap()
	putNoiseUntil(b, db, deadline)
	with := float64(liveHeap()-before) / float64(pairs)
	alone := putsBesideUntil(db, time.Now().Add(3*time.Second).Before)
	db.clock.goesOnFrom(deadline.UnixNano() + deadlineKeyMask) // Everything has expired.
	started := time.Now()
	beside := putsBesideUntil(db, func(time.Time) bool { return db.sweeper.swept.Load() == uint64(pairs) })
	b.ReportMetric(time.Since(started).Seconds(), "sweep-s")
	b.ReportMetric(without, "B/pair-without")
	b.ReportMetric(with, "B/pair-with")
	for name, spread := range map[string]histogram.Snapshot{"alone": alone, "beside": beside} {
		for _, q := range []float64{0.5, 0.99, 0.999, 1} {
			b.ReportMetric(float64(spread.Quantile(q))/1e3, fmt.Sprintf("p%v-%s-µs", 100*q, name))
		}
	}
	require.NoError(b, db.Close())
}

// putNoiseUntil puts pairs that expire one after the other, the last of them at an instant.
func putNoiseUntil(b *testing.B, db *DB, deadline time.Time) {
	for i := 0; i < *checkpointPairs; {
		var batch Batch
		for ; batch.Len() < 1000 && i < *checkpointPairs; i++ {
			batch.PutDeadline(noiseKey(uint64(i)), noiseValue(uint64(i)), deadline.Add(-time.Duration(*checkpointPairs-i)))
		}
		_, err := db.Apply(&batch)
		require.NoError(b, err)
	}
}

// putsBesideUntil has 16 goroutines overwrite pairs without a deadline until something is over, and returns how long puts took.
func putsBesideUntil(db *DB, over func(now time.Time) bool) histogram.Snapshot {
	var spread histogram.Histogram
	var stop atomic.Bool
	var writers sync.WaitGroup
	for w := range uint64(checkpointWriters) {
		writers.Go(func() {
			for i := uint64(0); !stop.Load(); i++ {
				started := time.Now()
				if _, err := db.Put(noiseKey(1<<40+w<<20+i%1000), noiseValue(i)); err != nil {
					panic(err)
				}
				spread.Record(int64(time.Since(started)))
			}
		})
	}
	for !over(time.Now()) {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	writers.Wait()
	return spread.Snapshot()
}

// BenchmarkSweepStep measures a step of a sweep without anything beside it: how long writers wait for it. The first
// pair is found before the sweep, when nothing else is left, and after it.
func BenchmarkSweepStep(b *testing.B) {
	opts := Options{Sync: SyncNever, CheckpointFactor: -1, sweepByHand: true, Clock: func() time.Time { return time.Unix(0, int64(time.Hour)) }}
	db, err := Open(b.TempDir(), opts)
	require.NoError(b, err)
	putNoiseUntil(b, db, time.Unix(1, 0))
	firstBefore := timeFirst(b, db)
	steps, longest, started := 0, time.Duration(0), time.Now()
	for more := true; more; steps++ {
		step := time.Now()
		_, more, err = db.sweep()
		require.NoError(b, err)
		longest = max(longest, time.Since(step))
	}
	b.ReportMetric(float64(time.Since(started))/1e3/float64(steps), "µs/step")
	b.ReportMetric(float64(longest)/1e3, "µs-longest-step")
	b.ReportMetric(firstBefore, "ms-first-before")
	b.ReportMetric(timeFirst(b, db), "ms-first-after")
	require.NoError(b, db.Close())
}

// timeFirst returns how many milliseconds it takes to find that there is no first pair.
func timeFirst(b *testing.B, db *DB) float64 {
	started := time.Now()
	require.Empty(b, lines(db.Scan(Range{Limit: 1})))
	return float64(time.Since(started)) / 1e6
}
