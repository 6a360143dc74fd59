package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Spec says what a process is to measure. The runner hands it to its children as JSON.
type Spec struct {
	Workloads    []string // Measured one after another on one store.
	Peer         string
	Dir          string // Empty, or a copy of what Prepare has left.
	Pairs        uint64
	Keys         string
	Value        int
	Time, Warmup time.Duration // How long a workload is measured that doesn't end by itself, and is warmed up.
	Seed         uint64
	Writers      int  // The most goroutines of any of the workloads.
	Prepare      bool // Prepare the directory and measure nothing.
}

// run is the measurement of workloads with one peer, in its own process. That ends at the first error.
type run struct {
	Spec
	peer     Peer
	setup    setup
	workload Workload // The one that is being measured.
	data     dataset
	store    Store // One of the two is open, unless the workload opens it itself.
	log      Log
	result   Measurement
	bare     int64 // Resident bytes before anything was opened: this program's code, for the most part.
	bareHeap int64 // Live heap at that time.
}

// childVariable is the environment variable that makes a process of this program a child: it holds the Spec.
const childVariable = "WALNUT_BENCH_CHILD"

// child is what a child does. It prints a line for each measurement.
func child(specification string) {
	go dieWithParent()
	r := &run{}
	check(json.Unmarshal([]byte(specification), &r.Spec))
	place := slices.IndexFunc(allPeers(), func(p Peer) bool { return p.Name == r.Peer })
	if place < 0 {
		fatal("no peer %q", r.Peer)
	}
	r.peer = allPeers()[place]
	r.turnTo(r.Workloads[0])
	r.setup = r.workload.startsFrom(r.peer)
	if r.Prepare {
		r.setup.prepare(r)
		return
	}
	r.begin()
	for place, id := range r.Workloads {
		if place == 1 {
			r.Warmup /= laterWarmup
		}
		r.turnTo(id)
		r.workload.measure(r)
		r.report("peak MB", float64(memoryOf("VmHWM:"))/1e6)
		r.report("disk MB", float64(r.sync())/1e6)
		check(json.NewEncoder(os.Stdout).Encode(r.result))
	}
	r.close()
}

// dieWithParent ends the process when its standard input does, which the runner holds open: what ends the runner ends its
// children too.
func dieWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	fatal("the runner is gone")
}

// laterWarmup is how many times shorter the warm-up is on a store that another workload has warmed up.
const laterWarmup = 4

// turnTo begins the measurement of a workload.
func (r *run) turnTo(id string) {
	var err error
	r.workload, err = workloadByID(id)
	check(err)
	r.data = r.workload.data(r.Spec)
	r.result = Measurement{Workload: id, Pairs: r.data.pairs, Figures: map[string]float64{}}
}

// begin opens and loads the store as the setup says.
func (r *run) begin() {
	r.bare, r.bareHeap = memoryOf("VmRSS:"), liveHeap()
	if !r.setup.opened {
		return
	}
	r.open(r.settings())
	if r.setup.load {
		r.load()
	}
}

func (r *run) settings() Settings {
	return Settings{Mode: r.workload.Mode, Writers: r.Writers, OnDemand: r.workload.onDemand}
}

func (r *run) open(settings Settings) {
	if r.workload.Log {
		r.log = r.peer.OpenLog(r.Dir, settings)
	} else {
		r.store = r.peer.OpenStore(r.Dir, settings)
	}
}

// renew opens an empty store instead of the one that is open, and returns the live heap before that.
func (r *run) renew(settings Settings) (bareHeap int64) {
	r.close()
	check(errors.Join(os.RemoveAll(r.Dir), os.Mkdir(r.Dir, 0o700)))
	bareHeap = liveHeap()
	r.open(settings)
	return bareHeap
}

func (r *run) close() {
	for _, opened := range []interface{ Close() }{r.store, r.log} {
		if opened != nil {
			opened.Close()
		}
	}
	r.store, r.log = nil, nil // Their memory is free for a start.
}

// repeat measures what the workers repeat, warmed up where a store was loaded.
func repeat(repeated operation) func(r *run) {
	return func(r *run) {
		workers := r.workers(r.workload.Goroutines)
		if r.setup.warm {
			driveFor(r.Warmup, workers, repeated)
		}
		r.take(driveFor(r.Time, workers, repeated))
	}
}

// onceTimes is how many times Spec.Time something may last that ends by itself.
const onceTimes = 4

// once measures an operation until the data set is written.
func once(repeated operation) func(r *run) {
	return func(r *run) {
		most := int64(r.data.pairs)
		if r.workload.Log {
			most = r.records(logBytesPerPair)
		}
		ctx, cancel := context.WithTimeout(context.Background(), onceTimes*r.Time)
		defer cancel()
		total := drive(ctx, r.workers(r.workload.Goroutines), repeated, most)
		if total.operations < most {
			r.note("stopped after %d of %d", total.operations, most)
		}
		r.take(total)
	}
}

// take makes the result of what a drive has done, and weighs the heap.
func (r *run) take(t *tally) {
	figure := t.rate()
	switch r.workload.Unit {
	case keysRate:
		figure = float64(t.keys) / t.elapsed.Seconds()
	case bytesRate:
		figure *= float64(r.workload.record) / 1e6
	}
	r.report(mainFigure, figure)
	for i, share := range []float64{0.5, 0.99, 0.999, 1} {
		r.report(usualFigures[i], t.latency.quantile(share))
	}
	r.report("gc cpu %", t.collector)
	r.report("heap MB", float64(liveHeap())/1e6)
}

func (r *run) report(name string, figure float64) { r.result.Figures[name] = figure }
func (r *run) note(format string, arguments ...any) {
	r.result.Notes = fmt.Sprintf(format, arguments...)
}
