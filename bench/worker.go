package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// worker is one goroutine of a workload. Everything that its operations need is made in advance, so that little but the
// peer's own work is measured.
type worker struct {
	store   Store
	log     Log
	data    dataset
	rng     *rand.Rand
	next    uint64   // The next pair that was not written yet. Workers take every stride-th.
	stride  uint64   // The number of workers.
	records uint64   // How many a log has, where they are read.
	draws   []uint32 // From drawZipf, shared by all workers; nil where the workload needs none.
	drawn   int      // The worker's place in draws.
	key     []byte
	value   []byte
	batch   []Pair

	// look reads what a store hands out, so that fetching it from memory is part of the measurement.
	look    func(value []byte)
	visit   func(key, value []byte)
	replace func(old []byte) []byte // Looks at the old value and returns another.
	visited int                     // How many pairs visit has seen.
	seen    uint64

	sampling int // The latency of one in this many operations is taken.
	tally    tally
}

// workers returns workers of the workload, whose choices follow from the seed.
func (r *run) workers(count int) (workers []*worker) {
	var draws []uint32
	if r.workload.zipfian {
		draws = r.data.drawZipf(rand.New(rand.NewPCG(r.data.seed, golden)))
	}
	for i := range count {
		w := &worker{
			store: r.store, log: r.log, data: r.data, rng: rand.New(rand.NewPCG(r.data.seed, uint64(i))),
			next: uint64(i), stride: uint64(count), draws: draws, drawn: i * zipfDraws / count,
			key: make([]byte, r.data.keySize()), value: make([]byte, max(r.data.valueBytes, r.workload.record)),
			sampling: 16,
		}
		if r.workload.Mode == Durable {
			w.sampling = 1 // Reading the clock twice would be a tenth of a relaxed operation.
		}
		if r.workload.Log {
			w.value = w.value[:r.workload.record]
		}
		fill(w.value, w.rng.Uint64())
		w.look = func(value []byte) { w.seen += uint64(value[0]) + uint64(value[len(value)-1]) }
		w.visit = func(key, value []byte) {
			w.seen += uint64(key[len(key)-1])
			w.look(value)
			w.visited++
		}
		w.replace = func(old []byte) []byte {
			w.look(old)
			fill(w.value, w.rng.Uint64())
			return w.value
		}
		workers = append(workers, w)
	}
	runtime.GC()
	return workers
}

// tally is what workers did.
type tally struct {
	operations, keys int64
	elapsed          time.Duration
	latency          histogram
	collector        float64 // The share of the processor time used that garbage collection took, in percent.
}

func (t *tally) rate() float64 { return float64(t.operations) / t.elapsed.Seconds() }

// drive lets workers repeat an operation side by side until the context ends, or until they did most operations together, where
// most isn't 0.
func drive(ctx context.Context, workers []*worker, repeated operation, most int64) *tally {
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	count := int64(len(workers))
	collectorBefore, programBefore := collectorTime()
	started := time.Now()
	var group sync.WaitGroup
	for i, w := range workers {
		w.tally = tally{}
		share := (most + count - 1 - int64(i)) / count
		if most > 0 && share == 0 {
			continue
		}
		group.Go(func() { w.repeat(repeated, &stop, share) })
	}
	group.Wait()
	total := &tally{elapsed: time.Since(started)}
	collector, program := collectorTime()
	if both := collector - collectorBefore + program - programBefore; both > 0 {
		total.collector = 100 * (collector - collectorBefore) / both
	}
	for _, w := range workers {
		total.operations += w.tally.operations
		total.keys += w.tally.keys
		total.latency.merge(&w.tally.latency)
	}
	return total
}

func driveFor(d time.Duration, workers []*worker, repeated operation) *tally {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return drive(ctx, workers, repeated, 0)
}

// repeat goes on until stop is set or most operations are done, where most isn't 0. It always does one, so that there is a
// figure even if the machine was busy elsewhere all the time.
func (w *worker) repeat(repeated operation, stop *atomic.Bool, most int64) {
	for i := int64(0); i == 0 || !stop.Load() && (most == 0 || i < most); i++ {
		sampled := i%int64(w.sampling) == 0
		var started time.Time
		if sampled {
			started = time.Now()
		}
		keys := repeated(w)
		if sampled {
			w.tally.latency.add(time.Since(started))
		}
		w.tally.operations++
		w.tally.keys += int64(keys)
	}
}
