package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Spec says what a process is to measure. It is how the runner tells its children.
type Spec struct {
	Workload string
	After    []string // The workloads that are measured after it on the same store.
	Peer     string
	Dir      string // Empty, or what Prepare has left.
	Pairs    uint64
	Keys     string        // Their shape; empty is the usual one.
	Value    int           // Bytes of each value; 0 is the usual size.
	Time     time.Duration // How long a workload goes on that doesn't end by itself.
	Warmup   time.Duration
	Seed     uint64
	Round    int
	Prepare  bool // Prepare the directory and measure nothing.
	Loaded   bool // The directory has a store with the data set in it; with Prepare, it is to get one.
}

// data returns the data set of the measurement.
func (s Spec) data() (dataset, error) {
	shape := slices.Index(keyShapes, cmp.Or(s.Keys, randomKeys))
	if shape < 0 {
		return dataset{}, fmt.Errorf("no keys are called %q; there are %s", s.Keys, strings.Join(keyShapes, ", "))
	}
	return dataset{pairs: s.Pairs, seed: s.Seed, shape: keyShape(shape), valueBytes: s.Value}, nil
}

// run is one measurement of one peer.
type run struct {
	Spec
	workload Workload
	peer     Peer
	data     dataset
	result   Measurement
	writers  int    // How many there are at most while the store is open, where other workloads follow.
	seen     uint64 // What was read of records, so that reading them can't be left out.
	bare     int64  // What the process had resident before it measured.
}

func newRun(spec Spec) (*run, error) {
	workload, err := workloadByID(spec.Workload)
	if err != nil {
		return nil, err
	}
	data, err := spec.data()
	if err != nil {
		return nil, err
	}
	for _, peer := range peers {
		if peer.Name == spec.Peer && peer.takes(workload) {
			r := &run{Spec: spec, workload: workload, peer: peer, data: data}
			r.result = Measurement{
				Workload: workload.Name, Goroutines: workload.Goroutines, Peer: peer.Name, Version: peer.version(),
				Round: spec.Round, Pairs: spec.Pairs, Keys: keyShapes[data.shape], ValueBytes: data.valueSize(), Unit: workload.Unit,
				Weaker: peer.weaker(workload),
			}
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no peer %q that does %s", spec.Peer, spec.Workload)
}

// measure returns the measurement. It belongs into a process of its own, as everything does that measures.
func (r *run) measure() (Measurement, error) {
	r.bare = memoryOf("VmRSS:")
	measure := r.workload.measure
	if measure == nil {
		measure = measureRepeated
	}
	if err := measure(r); err != nil {
		return Measurement{}, fmt.Errorf("%s of %s: %w", r.Workload, r.Peer, err)
	}
	var err error
	r.result.PeakBytes = peakMemory()
	r.result.DiskBytes, err = sizeOf(r.Dir)
	return r.result, err
}

// measureRepeated measures what the workers repeat on a store.
func measureRepeated(r *run) error {
	do := func(store Store) error { return r.drive(r.workload.repeated(store)) }
	if r.workload.loaded {
		return r.onLoaded(do)
	}
	return r.onStore(do)
}

// onStore does something with a store that is closed afterwards.
func (r *run) onStore(do func(store Store) error) (err error) {
	settings := r.workload.settings()
	settings.Writers = max(settings.Writers, r.writers)
	store, err := r.peer.OpenStore(r.Dir, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return do(store)
}

// onLoaded does something with a store that has the data set in it.
func (r *run) onLoaded(do func(store Store) error) error {
	if r.Loaded {
		return r.onStore(do)
	}
	if r.workload.restarted {
		if err := r.onStore(r.loadAndCheckpoint); err != nil {
			return err
		}
		return r.onStore(do)
	}
	return r.onStore(func(store Store) error {
		if err := load(store, r.data); err != nil {
			return err
		}
		runtime.GC() // The garbage of loading is nobody's fault.
		return do(store)
	})
}

// prepareLoaded leaves a store for every workload that starts on a loaded one, whatever its mode.
func prepareLoaded(r *run) error {
	store, err := r.peer.OpenStore(r.Dir, Settings{Mode: Relaxed, Writers: 1})
	if err != nil {
		return err
	}
	return errors.Join(load(store, r.data), store.Close())
}

// loadAndCheckpoint leaves behind what the store makes of the data set at its own pace or when it is asked to.
func (r *run) loadAndCheckpoint(store Store) error {
	if err := load(store, r.data); err != nil {
		return err
	}
	if checkpointer, can := store.(Checkpointer); can {
		return checkpointer.Checkpoint()
	}
	return nil
}

// A commit has so many pairs, or so many bytes of them if that is less, when a store is loaded.
const (
	loadBatch      = 1000
	loadBatchBytes = 1 << 20
)

// load puts the data set into a store.
func load(store Store, data dataset) error {
	w := newWorker(data, 0, 1)
	most := min(loadBatch, max(1, uint64(loadBatchBytes/(data.keySize()+data.valueSize()))))
	for left := data.pairs; left > 0; {
		size := min(left, most)
		if err := store.Batch(w.freshBatch(int(size))); err != nil {
			return err
		}
		left -= size
	}
	return store.Sync()
}

// drive lets a crew repeat an operation, to warm up and then to be measured.
func (r *run) drive(repeated operation) error {
	workers := crew(r.data, r.workload)
	runtime.GC() // What making the workers left is nobody's fault either.
	if r.workload.warm && r.Warmup > 0 {
		if _, err := drive(workers, repeated, bounds{time: r.Warmup}); err != nil {
			return err
		}
	}
	until := r.bounds()
	total, err := drive(workers, repeated, until)
	if err != nil {
		return err
	}
	r.take(total, until)
	return nil
}

// take makes the result of what a drive has done, which was to go so far. The heap is weighed as it is now.
func (r *run) take(total *tally, until bounds) {
	r.result.take(total, r.workload.record)
	if total.operations < until.operations {
		r.note("stopped after %d of %d", total.operations, until.operations)
	}
	r.result.HeapBytes = liveHeap()
}

// logBytesPerPair scales the logs' workloads with the stores': a million pairs go with half a gigabyte of records.
const logBytesPerPair = 512

func (r *run) bounds() bounds {
	switch {
	case r.workload.fill && r.workload.Log:
		return bounds{time: 4 * r.Time, operations: max(1, int64(r.Pairs)*logBytesPerPair/int64(r.workload.record))}
	case r.workload.fill:
		return bounds{time: 4 * r.Time, operations: int64(r.Pairs)}
	}
	return bounds{time: r.Time}
}

// more adds a figure to the result that only this workload has.
func (r *run) more(name string, figure float64) {
	r.result.More = append(r.result.More, Extra{name, figure})
}

func (r *run) note(format string, args ...any) { r.result.Notes = fmt.Sprintf(format, args...) }

// liveHeap returns how many bytes of the Go heap are reachable.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // The second frees what finalizers and pools held on to.
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// peakMemory returns the most bytes of memory that the process had resident, where the system tells.
func peakMemory() int64 { return memoryOf("VmHWM:") }

// memoryOf returns one of the sizes that the system tells of the process, in bytes.
func memoryOf(field string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, field); found {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// sizeOf returns the length of all files below a directory in bytes.
func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
