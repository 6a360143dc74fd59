package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Workload is one thing that is measured.
type Workload struct {
	Name       string // The bar it is measured for and what is special: W6/A/relaxed.
	About      string // A sentence for the report.
	Goroutines int
	Mode       Mode
	Unit       string   // Of the figure; see rate and lowerIsBetter.
	Log        bool     // It is for logs and not for stores.
	Only       []string // The names of the peers, besides limits, for which it makes sense; nil is all.
	Killed     bool     // What prepare opened is left behind by a kill, not closed.

	onDemand bool    // Checkpoints happen when they are asked for, not by themselves.
	snapshot float64 // Behind which share of the data set prepare takes a checkpoint; 0 is none.

	loaded    bool // It starts on a store with the data set in it, otherwise on an empty one.
	restarted bool // The store was closed in between, behind a checkpoint if it takes one on demand.
	warm      bool // What is repeated is repeated for a while before it is measured.
	fill      bool // It ends when the data set is written, or after four times the usual time.
	zipfian   bool
	writes    float64 // The share of its operations that change a loaded store.
	record    int     // The size of a record in bytes, for a log.

	byName bool          // It is measured only where it is asked for by name.
	usual  []string      // Those it is measured with unless others are asked for, besides limits; nil is all it takes.
	pairs  uint64        // How many the data set has unless it is said; 0 is usualPairs.
	least  time.Duration // It is measured for so long at least, whatever is said.

	// repeated makes the operation that the workers repeat on a store.
	repeated func(store Store) operation
	// measure does everything where there is nothing to repeat on a store.
	measure func(r *run) error
	// stage is what a workload does that is measured in one process with others of its kind; measure does it alone.
	stage func(l *life, r *run) error
	// prepare makes the directory on which measure is run, in a process of its own, once for all rounds.
	prepare func(r *run) error
}

const (
	operationsRate = "ops/s"
	keysRate       = "keys/s"
	bytesRate      = "MB/s"
	seconds        = "s"
	bytesPerPair   = "B/pair"
	liveHeaps      = "live heaps"
)

// lowerIsBetter says of which two figures in a unit the better one is.
func lowerIsBetter(unit string) bool {
	return unit == seconds || unit == bytesPerPair || unit == liveHeaps
}

// workloads are all there are, in the order of the report.
var workloads = slices.Concat(
	at(Workload{
		Name: "W1/durable", About: "puts of new keys in random order, each durable before it returns",
		Mode: Durable, Unit: operationsRate, repeated: putFresh,
	}, 1, 16, 64, 256),
	at(Workload{
		Name: "W2/ordered", About: "relaxed puts of the data set in the order of its keys",
		Mode: Relaxed, Unit: operationsRate, fill: true, repeated: putOrdered,
	}, 1),
	at(Workload{
		Name: "W2/random", About: "relaxed puts of the data set in random order",
		Mode: Relaxed, Unit: operationsRate, fill: true, repeated: putFresh,
	}, 1),
	batchWorkloads(100, 1000),
	at(Workload{
		Name: "W4/uniform", About: "gets of keys that are all alike popular",
		Mode: Relaxed, Unit: operationsRate, loaded: true, warm: true, repeated: getUniform,
	}, 1, 2),
	at(Workload{
		Name: "W4/zipfian", About: "gets of keys whose popularity is Zipf's, 0.99",
		Mode: Relaxed, Unit: operationsRate, loaded: true, warm: true, zipfian: true, repeated: getZipfian,
	}, 1, 2),
	scanWorkloads(false),
	scanWorkloads(true),
	mixedWorkloads(Relaxed),
	mixedWorkloads(Durable),
	openWorkloads(),
	weightWorkloads(),
	tailWorkloads(),
	backupWorkloads(),
	heldWorkloads(),
	besideWorkloads(),
	logWorkloads(),
	scaleWorkloads(),
	garbageWorkloads(),
)

func batchWorkloads(sizes ...int) (all []Workload) {
	for _, size := range sizes {
		all = append(all, at(Workload{
			Name: fmt.Sprintf("W3/batch=%d", size), About: fmt.Sprintf("durable batches of %d new pairs", size),
			Mode: Durable, Unit: keysRate, repeated: putBatch(size),
		}, 1)...)
	}
	return all
}

// scanWorkloads scan a store as loading in random order has left it, or as a start makes it.
func scanWorkloads(restarted bool) []Workload {
	suffix, about := "", ""
	if restarted {
		suffix, about = "/restarted", ", once the store was closed and opened again"
	}
	scan := Workload{Mode: Relaxed, loaded: true, restarted: restarted, warm: true}
	full, short := scan, scan
	full.Name, full.About, full.Unit, full.repeated = "W5/full"+suffix, "scans of everything"+about, keysRate, scanFull
	short.Name, short.About, short.Unit = "W5/short"+suffix, "scans of 100 pairs from a random key on"+about, operationsRate
	short.repeated = scanShort
	return slices.Concat(at(full, 1), at(short, 1))
}

// mixedWorkloads are YCSB's: 16 goroutines on a loaded store, keys by Zipf's law.
func mixedWorkloads(mode Mode) (all []Workload) {
	for _, mix := range []struct {
		letter, about string
		repeated      func(Store) operation
		writes        float64
	}{
		{"A", "one half gets, one half puts of keys that are there", mixed(0.5), 0.5},
		{"B", "95 % gets, 5 % puts of keys that are there", mixed(0.95), 0.05},
		{"F", "one half gets, one half read-modify-writes", readModifyWrite, 0.5},
	} {
		all = append(all, at(Workload{
			Name: "W6/" + mix.letter + "/" + string(mode), About: "YCSB " + mix.letter + ", " + string(mode) + ": " + mix.about,
			Mode: mode, Unit: operationsRate, loaded: true, warm: true, zipfian: true,
			repeated: mix.repeated, writes: mix.writes,
		}, 16)...)
	}
	return all
}

func logWorkloads() []Workload {
	all := at(Workload{
		Name: "L1/durable", About: "appends of 128 bytes, each durable before it returns",
		Mode: Durable, Unit: operationsRate, Log: true, record: 128, measure: appendRecords,
	}, 1, 16, 64)
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		all = append(all, at(Workload{
			Name: fmt.Sprintf("L2/size=%d", size), About: fmt.Sprintf("relaxed appends of %d bytes", size),
			Mode: Relaxed, Unit: bytesRate, Log: true, record: size, fill: true, measure: appendRecords,
		}, 1)...)
	}
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		all = append(all, at(Workload{
			Name: fmt.Sprintf("L3/size=%d", size), About: fmt.Sprintf("opening a log of records of %d bytes and reading them all", size),
			Mode: Relaxed, Unit: bytesRate, Log: true, record: size, measure: readRecords,
		}, 1)...)
	}
	return all
}

// at makes one workload for each number of goroutines.
func at(workload Workload, goroutines ...int) (all []Workload) {
	for _, workload.Goroutines = range goroutines {
		all = append(all, workload)
	}
	return all
}

// ID names a workload among all.
func (w Workload) ID() string { return fmt.Sprintf("%s/goroutines=%d", w.Name, w.Goroutines) }

// sampling is one operation of how many gets its latency taken: looking at the clock twice would be a tenth of a get.
func (w Workload) sampling() int {
	if w.Mode == Durable {
		return 1
	}
	return sparseSampling
}

const sparseSampling = 16

// settings are what an adapter gets to know.
func (w Workload) settings() Settings {
	return Settings{Mode: w.Mode, Writers: w.Goroutines, OnDemand: w.onDemand}
}

// shares says whether both can be measured one after another on one store: they are stages of its life, or they repeat
// something, and nothing else, on a loaded store that was opened in the same mode.
func (w Workload) shares(other Workload) bool {
	if w.stage != nil || other.stage != nil {
		return w.stage != nil && other.stage != nil
	}
	if w.measure != nil || other.measure != nil {
		return false
	}
	return w.loaded && other.loaded && w.Mode == other.Mode && w.restarted == other.restarted
}

// selected says whether a selector is the name, or a part of it from the front up to a slash.
func selected(selectors []string, name string) bool {
	return slices.ContainsFunc(selectors, func(selector string) bool {
		return name == selector || strings.HasPrefix(name, selector+"/")
	})
}

// workloadByID returns the workload of that ID.
func workloadByID(id string) (Workload, error) {
	for _, workload := range workloads {
		if workload.ID() == id {
			return workload, nil
		}
	}
	return Workload{}, fmt.Errorf("there is no workload %q", id)
}
