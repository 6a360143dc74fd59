package main

import (
	"errors"
	"sync"
	"time"
)

// Checkpointer is a Store that writes its state out when it is asked to, so that a start need not read its whole history.
type Checkpointer interface {
	Store
	Checkpoint() error
}

// checkpointers are the peers whose stores are Checkpointers. The others do what they do in the background by themselves.
var checkpointers = []string{walnutName, "buntdb"}

// cloner tells how long writers waited at most for a state to be set apart, by a sample.
type cloner interface{ LongestClone() time.Duration }

// tailTimes is how many times longer than others the tails are measured, so that a whole checkpoint is within.
const tailTimes = 3

// overwriteBeside measures puts over pairs that are there, each of which is timed, with a checkpoint in the middle if
// that is asked for and the store takes one on demand. That has settled from loading before.
func overwriteBeside(checkpoint bool) func(r *run) error {
	return func(r *run) error {
		return r.onLoaded(func(store Store) error {
			checkpointer, can := store.(Checkpointer)
			if can {
				if err := checkpointer.Checkpoint(); err != nil {
					return err
				}
			}
			workers := crew(r.data, r.workload)
			for _, w := range workers {
				w.sampling = 1
			}
			if r.Warmup > 0 {
				if _, err := drive(workers, overwrite(store), bounds{time: r.Warmup}); err != nil {
					return err
				}
			}
			var took time.Duration
			window := tailTimes * r.Time
			wait := func() error { return nil }
			if checkpoint && can {
				wait = inTheMiddle(window, func() error {
					started := time.Now()
					defer func() { took = time.Since(started) }()
					return checkpointer.Checkpoint()
				})
			}
			total, err := drive(workers, overwrite(store), bounds{time: window})
			if err := errors.Join(err, wait()); err != nil {
				return err
			}
			r.take(total, bounds{time: window})
			r.tellCheckpoint(store, took, checkpoint)
			return nil
		})
	}
}

// inTheMiddle does something when a tenth of a time has passed, and returns how to wait for it.
func inTheMiddle(whole time.Duration, do func() error) (wait func() error) {
	var err error
	var group sync.WaitGroup
	group.Go(func() {
		time.Sleep(whole / 10)
		err = do()
	})
	return func() error {
		group.Wait()
		return err
	}
}

func (r *run) tellCheckpoint(store Store, took time.Duration, checkpoint bool) {
	if !checkpoint {
		return
	}
	r.more("checkpoint s", took.Seconds())
	longest := time.Duration(0)
	if cloner, can := store.(cloner); can {
		longest = cloner.LongestClone()
	}
	r.more("longest clone µs", microseconds(longest))
	if window := tailTimes * r.Time; took > window-window/10 {
		r.note("the checkpoint took longer than was measured")
	}
}

// tailWorkloads overwrite, with and without a checkpoint between.
func tailWorkloads() (all []Workload) {
	for _, mode := range []Mode{Relaxed, Durable} {
		with := Workload{
			Name: "W9/checkpoint/" + string(mode), About: "overwriting pairs in random order, " + string(mode) + ", with a checkpoint begun after a tenth of the time",
			Mode: mode, Unit: operationsRate, loaded: true, measure: overwriteBeside(true),
		}
		without := Workload{
			Name: "W9/plain/" + string(mode), About: "overwriting pairs in random order, " + string(mode) + ", without a checkpoint",
			Mode: mode, Unit: operationsRate, Only: checkpointers, onDemand: true, loaded: true, measure: overwriteBeside(false),
		}
		all = append(append(all, at(with, 16)...), at(without, 16)...)
	}
	return all
}
