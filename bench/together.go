package main

import (
	"cmp"
	"fmt"
	"slices"
)

// laterWarmup is how many times shorter the warm-up of a workload is where another one warmed the same store up before.
const laterWarmup = 4

// sharing divides workloads into those that are measured one after another on one store, which is loaded once. Those that
// change the store more come later.
func sharing(workloads []Workload) (groups [][]Workload) {
	for _, workload := range workloads {
		place := slices.IndexFunc(groups, func(group []Workload) bool { return workload.shares(group[0]) })
		if place < 0 {
			groups = append(groups, []Workload{workload})
		} else {
			groups[place] = append(groups[place], workload)
		}
	}
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b Workload) int { return cmp.Compare(a.writes, b.writes) })
	}
	return groups
}

// apart makes a group of each workload.
func apart(workloads []Workload) (groups [][]Workload) {
	for _, workload := range workloads {
		groups = append(groups, []Workload{workload})
	}
	return groups
}

// newRuns returns a run for each workload of a spec.
func newRuns(spec Spec) (runs []*run, err error) {
	for place, id := range append([]string{spec.Workload}, spec.After...) {
		one := spec
		one.Workload, one.After = id, nil
		if place > 0 {
			one.Warmup /= laterWarmup
		}
		r, err := newRun(one)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// measureTogether measures on one loaded store, one run after another. What was measured before an error is returned as
// well. The most memory is that of the process until then, and the size of the files the one at the end.
func measureTogether(runs []*run) (done []Measurement, err error) {
	first := runs[0]
	writers := slices.MaxFunc(runs, func(a, b *run) int { return cmp.Compare(a.workload.Goroutines, b.workload.Goroutines) })
	first.writers = writers.workload.Goroutines
	err = first.onLoaded(func(store Store) error {
		for _, r := range runs {
			if err := r.drive(r.workload.repeated(store)); err != nil {
				return fmt.Errorf("%s of %s: %w", r.Workload, r.Peer, err)
			}
			r.result.PeakBytes = peakMemory()
			done = append(done, r.result)
		}
		return nil
	})
	size, sizeErr := sizeOf(first.Dir)
	for i := range done {
		done[i].DiskBytes = size
	}
	return done, cmp.Or(err, sizeErr)
}
