package main

import (
	"errors"
	"time"
)

// fillStore is what openStore's directory is prepared with: one commit a pair, so that a log holds as many records. A kill
// comes after it where the workload has one; otherwise the store is closed.
func fillStore(r *run) error {
	store, err := r.peer.OpenStore(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	err = putAll(store, r.data)
	if err == nil {
		err = store.Sync()
	}
	if err == nil && r.workload.Killed {
		return nil
	}
	return errors.Join(err, store.Close())
}

// putAll puts the data set into a store, one pair a commit.
func putAll(store Store, data dataset) error {
	w := newWorker(data, 0, 1)
	put := putFresh(store)
	for range data.pairs {
		if _, err := put(w); err != nil {
			return err
		}
	}
	return nil
}

// openStore measures the time until the first get is answered.
func openStore(r *run) (err error) {
	w := newWorker(r.data, 0, 1)
	started := time.Now()
	store, err := r.peer.OpenStore(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	_, firstErr := w.get(store, 0)
	r.result.Figure = time.Since(started).Seconds()
	r.result.HeapBytes = liveHeap()
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
	if err := putAll(store, r.data); err != nil {
		return err
	}
	r.result.HeapBytes = liveHeap()
	r.result.Figure = float64(r.result.HeapBytes-before) / float64(r.Pairs)
	return nil
}
