package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// garbagePairs is how many pairs are live where the garbage collector is what is measured, unless it is said.
const garbagePairs = 5_000_000

// What a measurement of garbage collection lasts: the least, and how many times as long as it was to it goes on at most until
// a collection has ended in it.
const (
	garbageLeast = 10 * time.Second
	garbageMost  = 6
)

// collected is what the runtime tells of garbage collection. It counts processor time when a collection ends.
type collected struct {
	cycles            uint64 // Those that nobody forced.
	collector, assist float64
	user              float64 // Seconds of the processor, as the two above.
	pauses            *metrics.Float64Histogram
}

const (
	cyclesMetric    = "/gc/cycles/automatic:gc-cycles"
	collectorMetric = "/cpu/classes/gc/total:cpu-seconds"
	assistMetric    = "/cpu/classes/gc/mark/assist:cpu-seconds"
	userMetric      = "/cpu/classes/user:cpu-seconds"
	pausesMetric    = "/sched/pauses/total/gc:seconds"
)

func readCollected() collected {
	samples := []metrics.Sample{
		{Name: cyclesMetric}, {Name: collectorMetric}, {Name: assistMetric}, {Name: userMetric}, {Name: pausesMetric},
	}
	metrics.Read(samples)
	return collected{
		cycles: samples[0].Value.Uint64(), collector: samples[1].Value.Float64(), assist: samples[2].Value.Float64(),
		user: samples[3].Value.Float64(), pauses: samples[4].Value.Float64Histogram(),
	}
}

// longestPause returns the longest one after before, in seconds: the upper end of its bucket.
func (c collected) longestPause(before collected) float64 {
	for i := len(c.pauses.Counts) - 1; i >= 0; i-- {
		if c.pauses.Counts[i] == before.pauses.Counts[i] {
			continue
		}
		if end := c.pauses.Buckets[i+1]; !math.IsInf(end, 1) {
			return end
		}
		return c.pauses.Buckets[i]
	}
	return 0
}

// longestCollection returns the longest that one collection after before stopped everything, all its pauses together, by
// the collector's own history. That is exact, and holds the last 256 collections.
func longestCollection(before int64) (longest time.Duration) {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	for _, pause := range stats.Pause[:min(int64(len(stats.Pause)), stats.NumGC-before)] {
		longest = max(longest, pause)
	}
	return longest
}

func collections() int64 {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	return stats.NumGC
}

// collectBeside measures what repeats beside the garbage collector on a big heap. It goes on until the first collection that
// ends after the time, so that the processor's time is that of whole collections, each with all that was allocated before.
func collectBeside(r *run) error {
	return r.onLoaded(func(store Store) error {
		workers, repeated := crew(r.data, r.workload), mixed(0.5)(store)
		if r.Warmup > 0 {
			if _, err := drive(workers, repeated, bounds{time: r.Warmup}); err != nil {
				return err
			}
		}
		runtime.GC()
		before, count := readCollected(), collections()
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go afterCollection(ctx, stop, r.Time)
		total, err := drive(workers, repeated, bounds{time: garbageMost * r.Time, ctx: ctx})
		if err != nil {
			return err
		}
		after, longest := readCollected(), longestCollection(count)
		r.take(total, bounds{})
		r.tellCollected(before, after, longest)
		return nil
	})
}

// afterCollection calls stop when the first collection ends after least.
func afterCollection(ctx context.Context, stop func(), least time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(least):
	}
	ended := readCollected().cycles
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for readCollected().cycles == ended {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	stop()
}

func (r *run) tellCollected(before, after collected, longest time.Duration) {
	collector := after.collector - before.collector
	busy := collector + after.user - before.user
	share := func(part float64) float64 {
		if busy == 0 {
			return 0
		}
		return 100 * part / busy
	}
	r.more("gc cpu %", share(collector))
	r.more("gc assist %", share(after.assist-before.assist))
	r.more("gc cycles", float64(after.cycles-before.cycles))
	r.more("longest pause ms", 1000*after.longestPause(before))
	r.more("longest cycle's pauses ms", microseconds(longest)/1000)
	if after.cycles == before.cycles {
		r.note("no collection ended while it was measured")
	}
}

// garbageWorkloads are YCSB's A on a heap that is large.
func garbageWorkloads() []Workload {
	relaxed := Workload{
		Name: "G/mixed", About: "YCSB A, relaxed, until a garbage collection has ended", Mode: Relaxed, Unit: operationsRate,
		loaded: true, zipfian: true, writes: 0.5, byName: true, pairs: garbagePairs, least: garbageLeast,
		usual: []string{walnutName, "buntdb", "badger"}, measure: collectBeside,
	}
	durable := relaxed
	durable.Name, durable.About, durable.Mode = "G/mixed/durable", "YCSB A, durable, until a garbage collection has ended", Durable
	return slices.Concat(at(relaxed, 16), at(durable, 16))
}
