package main

import (
	"errors"
	"fmt"
	"time"
)

// fillStore is what openStore's directory is prepared with: one commit a pair, so that a log holds as many records. A kill
// comes after it where the workload has one; otherwise the store is closed. Where the store can take a checkpoint there is
// one behind the share of the pairs that the workload says.
func fillStore(r *run) error {
	store, err := r.peer.OpenStore(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	err = r.fill(store)
	if err == nil {
		err = store.Sync()
	}
	if err == nil && r.workload.Killed {
		return nil
	}
	return errors.Join(err, store.Close())
}

func (r *run) fill(store Store) error {
	checkpointer, can := store.(Checkpointer)
	w, put := newWorker(r.data, 0, 1), putFresh(store)
	behind := uint64(r.workload.snapshot * float64(r.Pairs))
	for i := range r.Pairs {
		if _, err := put(w); err != nil {
			return err
		}
		if can && i+1 == behind {
			if err := checkpointer.Checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

// openStore measures the time until the first get is answered, and the memory that this takes.
func openStore(r *run) error {
	return r.opened(func(_ Store, elapsed time.Duration, p peaks) {
		r.result.Figure = elapsed.Seconds()
		r.tellPeaks(p)
	})
}

// weighStart measures the memory of a start alone.
func weighStart(r *run) error {
	return r.opened(func(_ Store, elapsed time.Duration, p peaks) {
		r.result.Figure = r.tellPeaks(p)
		r.more("s", elapsed.Seconds())
	})
}

// opened opens the store that was prepared and gets one pair.
func (r *run) opened(measured func(store Store, elapsed time.Duration, p peaks)) (err error) {
	w := newWorker(r.data, 0, 1)
	var store Store
	var firstErr error
	var elapsed time.Duration
	p, err := whileRunning(func() (err error) {
		started := time.Now()
		store, err = r.peer.OpenStore(r.Dir, r.workload.settings())
		if err == nil {
			_, firstErr = w.get(store, 0)
		}
		elapsed = time.Since(started)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	measured(store, elapsed, p)
	if firstErr != nil && !errors.Is(firstErr, errNotFound) {
		return firstErr
	}
	return r.noteMissing(store, w)
}

// noteMissing looks for a thousand of the pairs, so that a peer which lost some isn't praised for being quick.
func (r *run) noteMissing(store Store, w *worker) error {
	sample := min(r.Pairs, 1000)
	missing := 0
	for i := range sample {
		_, err := w.get(store, i*r.Pairs/sample)
		if errors.Is(err, errNotFound) {
			missing++
		} else if err != nil {
			return err
		}
	}
	if missing > 0 {
		r.note("%d of %d pairs that were looked for are lost", missing, sample)
	}
	return nil
}

// weighHeap measures what a pair takes in memory. The pairs are put one at a time, as most programs do: a batch can share
// memory, or hold more of it than it needs.
func weighHeap(r *run) (err error) {
	before := liveHeap()
	store, err := r.peer.OpenStore(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := r.fill(store); err != nil {
		return err
	}
	r.result.HeapBytes = liveHeap()
	r.result.Figure = float64(r.result.HeapBytes-before) / float64(r.Pairs)
	return nil
}

// openWorkloads open a store that was filled by one commit a pair: what a start reads is the log where there is no
// snapshot, so checkpoints happen only where the workload says.
func openWorkloads() (all []Workload) {
	for _, open := range []struct {
		name, about string
		snapshot    float64
		killed      bool
	}{
		{"snapshot", "from opening a store that was closed right after a checkpoint to the first get", 1, false},
		{"both", "likewise, where the checkpoint was half-way, so that one half of the pairs is in the log behind it", 0.5, false},
		{"clean", "from opening a store that was closed, and took no checkpoint, to the first get", 0, false},
		{"killed", "from opening a store whose process was killed, after a sync and without a checkpoint, to the first get", 0, true},
	} {
		all = append(all, at(Workload{
			Name: "W7/" + open.name, About: open.about, Mode: Relaxed, Unit: seconds, Killed: open.killed,
			snapshot: open.snapshot, onDemand: true, prepare: fillStore, measure: openStore,
		}, 1)...)
	}
	return all
}

// weightWorkloads are about memory. They are for peers that keep the data in the Go heap.
func weightWorkloads() (all []Workload) {
	for _, weight := range []Workload{
		{
			Name: "W8/heap", About: "live heap with the data set in memory, keys and values included",
			Mode: Relaxed, Unit: bytesPerPair, measure: weighHeap, Only: []string{walnutName, "buntdb", "badger"},
		},
		{
			Name: "W8/start", About: "the most resident memory while a store is opened that was closed right after a checkpoint",
			Mode: Relaxed, Unit: liveHeaps, snapshot: 1, onDemand: true, prepare: fillStore, measure: weighStart, Only: checkpointers,
		},
		{
			Name: "W8/checkpoint", About: "the most resident memory while a checkpoint of the data set is taken",
			Mode: Durable, Unit: liveHeaps, onDemand: true, loaded: true, measure: weighCheckpoint, Only: checkpointers,
		},
	} {
		all = append(all, at(weight, 1)...)
	}
	return all
}

// weighCheckpoint measures the memory that a checkpoint takes of a store which does nothing else. That was opened for
// durable writes, since a log that is mapped for relaxed ones would count as resident.
func weighCheckpoint(r *run) error {
	return r.onLoaded(func(store Store) error {
		checkpointer, can := store.(Checkpointer)
		if !can {
			return fmt.Errorf("a checkpoint: %w", errUnsupported)
		}
		started := time.Now()
		p, err := whileRunning(checkpointer.Checkpoint)
		if err != nil {
			return err
		}
		r.more("s", time.Since(started).Seconds())
		r.result.Figure = r.tellPeaks(p)
		return nil
	})
}
