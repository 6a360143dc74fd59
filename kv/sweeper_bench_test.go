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

// sweepChunks is into how many parts BenchmarkPutBesideSweep divides a sweep.
const sweepChunks = 40

// BenchmarkPutBesideSweep measures 16 writers while pairs are swept, against the same without. The two take turns, each for as long
// as the sweep of a fortieth takes, so that what else the machine does slows both. It also reports the heap for a pair with a
// deadline and for one without.
func BenchmarkPutBesideSweep(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		b.Run(mode.String(), func(b *testing.B) {
			for range b.N {
				benchmarkPutBesideSweep(b, Options{Sync: mode, CheckpointFactor: -1, sweepByHand: true})
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
	b.ReportMetric(float64(liveHeap()-before)/float64(pairs), "B/pair-without")
	require.NoError(b, plain.Close())

	db, err := Open(b.TempDir(), opts)
	require.NoError(b, err)
	first := time.Now().Add(time.Hour)
	before = liveHeap()
	putNoiseUntil(b, db, first)
	b.ReportMetric(float64(liveHeap()-before)/float64(pairs), "B/pair-with")

	var swept time.Duration
	alone, beside := putsBeside(db, func(sweeping *atomic.Bool) {
		time.Sleep(time.Second) // Warms up.
		for chunk := range sweepChunks {
			db.clock.goesOnFrom(first.Add(time.Duration(chunk)*time.Second).UnixNano() + deadlineKeyMask)
			sweeping.Store(true)
			started := time.Now()
			require.NoError(b, db.sweepAll())
			took := time.Since(started)
			sweeping.Store(false)
			swept += took
			time.Sleep(took)
		}
	})
	require.EqualValues(b, pairs, db.sweeper.swept.Load())
	b.ReportMetric(swept.Seconds(), "sweep-s")
	for name, spread := range map[string]histogram.Snapshot{"alone": alone, "beside": beside} {
		for _, q := range []float64{0.5, 0.99, 0.999, 1} {
			b.ReportMetric(float64(spread.Quantile(q))/1e3, fmt.Sprintf("p%v-%s-µs", 100*q, name))
		}
	}
	require.NoError(b, db.Close())
}

// putNoiseUntil puts pairs with deadlines: each of sweepChunks parts has one, a second after that of the part before.
func putNoiseUntil(b *testing.B, db *DB, first time.Time) {
	for i := 0; i < *checkpointPairs; {
		var batch Batch
		for ; batch.Len() < 1000 && i < *checkpointPairs; i++ {
			deadline := first.Add(time.Duration(i*sweepChunks / *checkpointPairs) * time.Second)
			batch.PutDeadline(noiseKey(uint64(i)), noiseValue(uint64(i)), deadline)
		}
		_, err := db.Apply(&batch)
		require.NoError(b, err)
	}
}

// putsBeside has 16 goroutines overwrite pairs without a deadline while work goes on, and returns how long puts took while work said
// that it is not sweeping, and while it is.
func putsBeside(db *DB, work func(sweeping *atomic.Bool)) (alone, beside histogram.Snapshot) {
	var spreads [2]histogram.Histogram
	var sweeping, stop atomic.Bool
	var writers sync.WaitGroup
	for w := range uint64(checkpointWriters) {
		writers.Go(func() {
			for i := uint64(0); !stop.Load(); i++ {
				spread, started := &spreads[0], time.Now()
				if sweeping.Load() {
					spread = &spreads[1]
				}
				if _, err := db.Put(noiseKey(1<<40+w<<20+i%1000), noiseValue(i)); err != nil {
					panic(err)
				}
				spread.Record(int64(time.Since(started)))
			}
		})
	}
	work(&sweeping)
	stop.Store(true)
	writers.Wait()
	return spreads[0].Snapshot(), spreads[1].Snapshot()
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
		_, more, err = db.sweep(sweepMost, false)
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
