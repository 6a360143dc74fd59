package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Some workloads are stages in the life of one store, since filling ten million pairs for each of them would take most of
// the time: one process puts the pairs, weighs them, gets some, takes a checkpoint and starts again.

// life is a store that goes through the stages. Fresh ones are empty and open.
type life struct {
	first  *run // Whose directory and settings the store has, and whose warm-up.
	store  Store
	before int64 // Bytes of live heap before the store was opened.
	heap   int64 // What it takes with all pairs in it.
}

func newLife(first *run) (*life, error) {
	l := &life{first: first, before: liveHeap()}
	var err error
	l.store, err = first.peer.OpenStore(first.Dir, first.workload.settings())
	return l, err
}

func (l *life) close() error {
	if l.store == nil {
		return nil
	}
	store := l.store
	l.store = nil // So that its memory is free for a start.
	return store.Close()
}

// measureStages measures the stages that the runs are of, in the order of their table, on one store. Stages that those need
// are gone through as well. What was measured before an error is returned too; the most memory and the size of the files are
// those of the process and the directory at the end.
func measureStages(runs []*run) (done []Measurement, err error) {
	bare := memoryOf("VmRSS:")
	l, err := newLife(runs[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	last := 0
	for i, stage := range scaleWorkloads() {
		if slices.ContainsFunc(runs, func(r *run) bool { return r.workload.Name == stage.Name }) {
			last = i
		}
	}
	for _, stage := range scaleWorkloads()[:last+1] {
		r, asked := l.runOf(stage, runs)
		if !asked && !l.needs(stage) {
			continue
		}
		r.bare = bare
		if err := stage.stage(l, r); err != nil {
			return done, fmt.Errorf("%s of %s: %w", stage.Name, r.Peer, err)
		}
		if asked {
			r.result.PeakBytes = peakMemory()
			done = append(done, r.result)
		}
	}
	size, err := sizeOf(runs[0].Dir)
	for i := range done {
		done[i].DiskBytes = size
	}
	return done, err
}

// runOf returns the run that is to measure a stage, or one whose result nobody wants.
func (l *life) runOf(stage Workload, runs []*run) (r *run, asked bool) {
	for _, r := range runs {
		if r.workload.Name == stage.Name {
			return r, true
		}
	}
	unasked := *l.first
	unasked.workload = stage
	return &unasked, false
}

// needs says whether later stages need one.
func (l *life) needs(stage Workload) bool {
	_, can := l.store.(Checkpointer)
	return stage.Name == "S/put" || stage.Name == "S/checkpoint" && can
}

// measureStage measures one stage alone.
func measureStage(r *run) error {
	done, err := measureStages([]*run{r})
	if err == nil {
		r.result = done[0]
	}
	return err
}

func stagePut(l *life, r *run) error {
	workers := crew(r.data, r.workload)
	until := bounds{operations: int64(r.Pairs)}
	total, err := drive(workers, putShuffled(l.store), until)
	if err != nil {
		return err
	}
	r.take(total, until)
	l.heap = r.result.HeapBytes - l.before
	r.more("heap B/pair", float64(l.heap)/float64(r.Pairs))
	r.more("heap / data", float64(l.heap)/float64(r.data.bytes()))
	return nil
}

// stageHeap tells what was weighed behind the puts: each weighing of ten million pairs takes seconds.
func stageHeap(l *life, r *run) error {
	r.result.HeapBytes = l.before + l.heap
	r.result.Figure = float64(l.heap) / float64(r.Pairs)
	r.more("heap / data", float64(l.heap)/float64(r.data.bytes()))
	return nil
}

// stageGet warms up for as long as the first of the runs does, since no stage before it has got anything.
func stageGet(l *life, r *run) error {
	warmed := *r
	warmed.Warmup = l.first.Warmup
	err := warmed.drive(getUniform(l.store))
	r.result = warmed.result
	return err
}

func stageCheckpoint(l *life, r *run) error {
	checkpointer, can := l.store.(Checkpointer)
	if !can {
		return fmt.Errorf("a checkpoint: %w", errUnsupported)
	}
	started := time.Now()
	if err := checkpointer.Checkpoint(); err != nil {
		return err
	}
	elapsed := time.Since(started).Seconds()
	size, err := l.checkpointSize()
	r.result.Figure, r.result.HeapBytes = elapsed, liveHeap()
	r.more("file MB", float64(size)/1e6)
	r.more("s/GB of data", elapsed/gigabytes(r.data))
	return err
}

// checkpointFiles are what checkpoints are written to, the newest last.
var checkpointFiles = []string{"snapshot/*.snap", "buntdb.aof"}

// checkpointSize returns the length of the newest checkpoint.
func (l *life) checkpointSize() (int64, error) {
	for _, pattern := range checkpointFiles {
		files, err := filepath.Glob(filepath.Join(l.first.Dir, pattern))
		if err != nil {
			return 0, err
		}
		if len(files) > 0 {
			info, err := os.Stat(files[len(files)-1])
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		}
	}
	return 0, fmt.Errorf("no checkpoint in %s: %w", l.first.Dir, os.ErrNotExist)
}

// stageStart is the last one: the store is closed behind it.
func stageStart(l *life, r *run) error {
	if err := l.close(); err != nil {
		return err
	}
	return r.opened(func(_ Store, elapsed time.Duration, p peaks) {
		r.result.Figure = elapsed.Seconds()
		r.more("s/GB of data", elapsed.Seconds()/gigabytes(r.data))
		r.tellPeaks(p)
	})
}

func gigabytes(data dataset) float64 { return float64(data.bytes()) / 1e9 }

// scaleWorkloads are the stages, in their order. How they grow with the data is what they are for.
func scaleWorkloads() (all []Workload) {
	for _, stage := range []Workload{
		{Name: "S/put", About: "relaxed puts of the data set in random order, into an empty store", Unit: operationsRate, stage: stagePut},
		{
			Name: "S/heap", About: "live heap with the data set in memory, keys and values included", Unit: bytesPerPair, stage: stageHeap,
			Only: []string{walnutName, "buntdb", "badger"},
		},
		{Name: "S/get", About: "gets of keys that are all alike popular, after that", Unit: operationsRate, Goroutines: 2, stage: stageGet},
		{Name: "S/checkpoint", About: "a checkpoint of all, after that", Unit: seconds, stage: stageCheckpoint, Only: checkpointers},
		{
			Name: "S/start", About: "from opening the store to the first get, once it was closed right after that",
			Unit: seconds, stage: stageStart,
		},
	} {
		stage.Mode, stage.onDemand, stage.byName, stage.usual = Relaxed, true, true, []string{walnutName}
		stage.measure = measureStage
		all = append(all, at(stage, cmp.Or(stage.Goroutines, 1))...)
	}
	return all
}

// staged makes a group of each workload, but one of all stages.
func staged(chosen []Workload) [][]Workload {
	var stages, others []Workload
	for _, workload := range chosen {
		if workload.stage != nil {
			stages = append(stages, workload)
		} else {
			others = append(others, workload)
		}
	}
	return append(apart(others), sharing(stages)...)
}

// withPeers limits a workload to those that it is usually measured with, where nobody has said with whom.
func (c choices) withPeers(workload Workload) Workload {
	if c.peers == "" && workload.usual != nil {
		workload.Only = workload.usual
	}
	return workload
}
