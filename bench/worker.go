package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// worker is one goroutine of a workload, with everything that its operations need made beforehand, so that little but the
// peer's own work is measured.
type worker struct {
	data   dataset
	rng    *rand.Rand
	next   uint64 // The next pair that nobody has written; the workers take turns, so the step is their number.
	stride uint64
	ranks  []uint32 // What drawZipf drew, which the workers share; nil where the workload needs none.
	drawn  int      // Where the worker is in ranks; each begins at a place of its own.
	key    []byte
	value  []byte
	batch  []Pair

	// look reads what a store hands out, so that fetching it from memory is part of the measurement.
	look    func(value []byte)
	visit   func(key, value []byte)
	replace func(old []byte) []byte // Looks at the old value and makes another.
	visited int                     // How many pairs visit has seen.
	seen    uint64                  // What look and visit have read.

	sampling   int // The latency of one operation in so many is taken.
	operations int64
	keys       int64
	latency    histogram
}

// crew makes the workers of a measurement. Their choices follow from the seed.
func crew(data dataset, workload Workload) []*worker {
	workers := make([]*worker, workload.Goroutines)
	var ranks []uint32
	if workload.zipfian {
		ranks = drawZipf(data.pairs, rand.New(rand.NewPCG(data.seed, golden)))
		data.spread(ranks)
	}
	for i := range workers {
		w := newWorker(data, uint64(i), uint64(len(workers)))
		w.sampling = workload.sampling()
		w.ranks, w.drawn = ranks, i*zipfDraws/len(workers)
		w.value = make([]byte, cmp.Or(workload.record, data.valueSize()))
		fill(w.value, w.rng.Uint64())
		workers[i] = w
	}
	return workers
}

func newWorker(data dataset, number, stride uint64) *worker {
	w := &worker{
		data: data, rng: rand.New(rand.NewPCG(data.seed, number)), next: number, stride: stride,
		key: make([]byte, data.keySize()), value: make([]byte, data.valueSize()), sampling: 1,
	}
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
	return w
}

// fresh returns the number of a pair that nobody has written.
func (w *worker) fresh() uint64 {
	i := w.next
	w.next += w.stride
	return i
}

// popular returns the number of a loaded pair, by Zipf's law.
func (w *worker) popular() uint64 {
	w.drawn++
	return uint64(w.ranks[w.drawn%zipfDraws])
}

// any returns the number of a loaded pair, all alike.
func (w *worker) any() uint64 { return w.rng.Uint64N(w.data.pairs) }

// operation is what a worker repeats. It says how many keys it has handled.
type operation func(w *worker) (keys int, err error)

// bounds end a drive; zero is no bound, and one of them has to be set.
type bounds struct {
	time       time.Duration
	operations int64 // Of all workers together.
	ctx        context.Context
}

// tally is what the workers of a drive did.
type tally struct {
	operations, keys int64
	elapsed          time.Duration
	latency          histogram
}

// drive lets the workers repeat the operation beside each other. It ends at the first error.
func drive(workers []*worker, repeated operation, until bounds) (*tally, error) {
	var stop atomic.Bool
	if until.time > 0 {
		defer time.AfterFunc(until.time, func() { stop.Store(true) }).Stop()
	}
	if until.ctx != nil {
		defer context.AfterFunc(until.ctx, func() { stop.Store(true) })()
	}
	errs := make([]error, len(workers))
	started := time.Now()
	var group sync.WaitGroup
	for i, w := range workers {
		share := until.operations / int64(len(workers))
		if int64(i) < until.operations%int64(len(workers)) {
			share++
		}
		if until.operations > 0 && share == 0 {
			continue
		}
		group.Go(func() {
			if errs[i] = w.repeat(repeated, &stop, share); errs[i] != nil {
				stop.Store(true)
			}
		})
	}
	group.Wait()
	total := &tally{elapsed: time.Since(started)}
	for i, w := range workers {
		if errs[i] != nil {
			return nil, errs[i]
		}
		total.operations += w.operations
		total.keys += w.keys
		total.latency.merge(&w.latency)
		w.operations, w.keys, w.latency = 0, 0, histogram{}
	}
	return total, nil
}

// repeat goes on until stop is set or most operations are done, where most isn't 0. It does one in any case, so that there is
// a figure also where the machine was busy elsewhere for all of the time.
func (w *worker) repeat(repeated operation, stop *atomic.Bool, most int64) error {
	for ; w.operations == 0 || !stop.Load() && (most == 0 || w.operations < most); w.operations++ {
		sampled := w.operations%int64(w.sampling) == 0
		var started time.Time
		if sampled {
			started = time.Now()
		}
		keys, err := repeated(w)
		if err != nil {
			return err
		}
		if sampled {
			w.latency.add(time.Since(started))
		}
		w.keys += int64(keys)
	}
	return nil
}
