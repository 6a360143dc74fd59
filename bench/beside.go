package main

import (
	"errors"
	"sync"
)

// Some workloads ask what one thing costs another: a state that is held those who write, a writer those who read. Each has a
// twin without the one.

// Holder is a Store that can hold its state of one instant while it goes on changing. A lock that keeps writers out is
// not what is meant.
type Holder interface {
	Store
	// Hold returns the state as it is now.
	Hold() (Held, error)
}

// Held is the state of a store at one instant, for as long as it isn't closed.
type Held interface {
	// Get is Store.Get.
	Get(key []byte, use func(value []byte)) error
	Close() error
}

// holders are the peers whose stores are Holders, but for limits.
var holders = []string{walnutName, "pebble", "goleveldb"}

// overwrite puts new values for keys that are there, each once before the first comes again, in an order that has
// nothing to do with that in which they were loaded.
func overwrite(store Store) operation {
	return func(w *worker) (int, error) {
		w.data.key(w.key, w.data.shuffled(w.fresh()))
		fill(w.value, w.rng.Uint64())
		return 1, store.Put(w.key, w.value)
	}
}

// overwriteAll measures what it takes to overwrite the data set while something is held of the store as it was before.
func overwriteAll(hold func(store Store) (Held, error)) func(r *run) error {
	return func(r *run) error {
		return r.onLoaded(func(store Store) error {
			workers := crew(r.data, r.workload)
			if r.Warmup > 0 {
				if _, err := drive(workers, overwrite(store), bounds{time: r.Warmup}); err != nil {
					return err
				}
			}
			r.more("heap MB before", float64(liveHeap())/1e6)
			held, err := hold(store)
			if err != nil {
				return err
			}
			until := bounds{time: 4 * r.Time, operations: int64(r.Pairs)}
			total, err := drive(workers, overwrite(store), until)
			if err == nil {
				r.take(total, until)
			}
			err = errors.Join(err, held.Close())
			r.more("heap MB after", float64(liveHeap())/1e6)
			return err
		})
	}
}

func holdState(store Store) (Held, error) {
	if holder, ok := store.(Holder); ok {
		return holder.Hold()
	}
	return nil, errUnsupported
}

func holdNothing(Store) (Held, error) { return nothing{}, nil }

type nothing struct{}

func (nothing) Get([]byte, func([]byte)) error { return errNotFound }
func (nothing) Close() error                   { return nil }

// readBeside measures readers beside so many writers, each of which overwrites pairs, one commit after another, for as
// long as the readers read.
func readBeside(writers int, read func(store Store) operation) func(r *run) error {
	return func(r *run) error {
		return r.onLoaded(func(store Store) error {
			both := besides{readers: crew(r.data, r.workload), read: read(store), write: overwrite(store)}
			for _, reader := range both.readers {
				reader.sampling = sparseSampling // What is durable here isn't the reader's.
			}
			for i := range writers {
				both.writers = append(both.writers, newWorker(r.data, uint64(len(both.readers)+i), uint64(writers)))
			}
			if r.Warmup > 0 {
				if _, _, err := both.drive(bounds{time: r.Warmup}); err != nil {
					return err
				}
			}
			got, put, err := both.drive(bounds{time: r.Time})
			if err != nil {
				return err
			}
			r.take(got, bounds{time: r.Time})
			if writers > 0 {
				r.more("writers ops/s", rate(operationsRate, put, 0))
				r.more("writers p99 µs", microseconds(put.latency.quantile(0.99)))
			}
			return nil
		})
	}
}

// besides are two crews that work at the same time.
type besides struct {
	readers, writers []*worker
	read, write      operation
}

func (b *besides) drive(until bounds) (got, put *tally, err error) {
	var writeErr error
	var group sync.WaitGroup
	group.Go(func() { put, writeErr = drive(b.writers, b.write, until) })
	got, err = drive(b.readers, b.read, until)
	group.Wait()
	return got, put, errors.Join(err, writeErr)
}

// heldWorkloads overwrite with little else to do, where a put is dearest by what it has to copy for a state that is held, and
// as many together share a sync.
func heldWorkloads() (all []Workload) {
	for _, held := range []struct {
		name, about string
		hold        func(Store) (Held, error)
	}{
		{"free", "overwriting every pair once, in random order", holdNothing},
		{"held", "overwriting every pair once, in random order, while a state from before it is held", holdState},
	} {
		workload := Workload{
			Name: "W11/" + held.name + "/relaxed", About: held.about + "; relaxed", Mode: Relaxed,
			Unit: operationsRate, Only: holders, loaded: true, measure: overwriteAll(held.hold),
		}
		all = append(all, at(workload, 1)...)
		workload.Name, workload.About, workload.Mode = "W11/"+held.name+"/durable", held.about+"; durable", Durable
		all = append(all, at(workload, 64)...)
	}
	return all
}

// besideWorkloads read, first alone and then beside a writer.
func besideWorkloads() (all []Workload) {
	for _, read := range []struct {
		name, about string
		repeated    func(Store) operation
	}{
		{"gets", "gets of keys that are all alike popular", getUniform},
		{"scans", "scans of 100 pairs from a random key on", scanShort},
	} {
		workload := Workload{
			Name: "W12/" + read.name + "/alone", About: read.about, Mode: Durable, Unit: operationsRate,
			loaded: true, measure: readBeside(0, read.repeated),
		}
		all = append(all, at(workload, 2)...)
		workload.Name = "W12/" + read.name + "/beside"
		workload.About = read.about + ", beside a writer that overwrites pairs, each durable before it goes on"
		workload.measure = readBeside(1, read.repeated)
		all = append(all, at(workload, 2)...)
	}
	return all
}
