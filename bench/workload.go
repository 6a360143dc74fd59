package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Workload is one thing that is measured.
type Workload struct {
	ID         string // Its bar, and what is special: W6/A/relaxed.
	About      string
	Mode       Mode
	Unit       string // Of the figure.
	Goroutines int
	Log        bool // It is for logs, not for stores.
	setup      setup
	measure    func(r *run)

	peers    string  // Those that are measured, besides limits; empty is all that can.
	byName   bool    // It is measured only if it is chosen.
	shared   bool    // It is measured on one loaded store with others that have the same setup and mode.
	onDemand bool    // There are no checkpoints but those that the workload takes.
	zipfian  bool    // Keys are popular by Zipf's law.
	record   int     // The size of a log's records.
	pairs    float64 // A multiple of -pairs; 0 is one.
	keys     string  // Instead of -keys.
	value    int     // Instead of -value-bytes.
}

const (
	operationsRate = "ops/s"
	keysRate       = "keys/s"
	bytesRate      = "MB/s"
	seconds        = "s"
	liveHeaps      = "live heaps" // Multiples of the live Go heap.
)

const (
	quickPeers    = "walnut buntdb bbolt pebble" // They are quick enough to load.
	checkpointers = "walnut buntdb"
	heapPeers     = "walnut buntdb badger" // They keep the data in the Go heap.
	expirers      = "walnut buntdb badger" // Their pairs can have deadlines.
	backupers     = "walnut buntdb bbolt badger"
)

// The kinds that the rows of the table are of.
var (
	durablePuts = Workload{Mode: Durable, Unit: operationsRate, setup: empty}
	relaxedPuts = Workload{Mode: Relaxed, Unit: operationsRate, setup: empty, peers: quickPeers + " goleveldb"}
	batches     = Workload{Mode: Durable, Unit: keysRate, setup: empty, peers: quickPeers + " goleveldb"}
	gets        = Workload{Mode: Relaxed, Unit: operationsRate, setup: loaded, shared: true, peers: quickPeers + " goleveldb badger"}
	scans       = Workload{Mode: Relaxed, Unit: operationsRate, setup: loaded, shared: true, peers: quickPeers}
	mixes       = Workload{Unit: operationsRate, Goroutines: 16, setup: loaded, shared: true, peers: quickPeers, zipfian: true}
	queues      = Workload{Mode: Durable, Unit: operationsRate, Goroutines: 16, setup: loaded, peers: quickPeers, pairs: 0.1, keys: sequentialKeys}
	views       = Workload{Mode: Relaxed, Unit: liveHeaps, setup: loaded, peers: walnutName, onDemand: true}
	watches     = Workload{Mode: Durable, Unit: operationsRate, Goroutines: 16, setup: loaded, peers: walnutName}
	transacts   = Workload{Mode: Durable, Unit: operationsRate, setup: loaded, shared: true, peers: quickPeers}
	expiries    = Workload{Mode: Durable, Unit: seconds, Goroutines: 16, peers: expirers}
	starts      = Workload{Mode: Relaxed, Unit: seconds, onDemand: true, peers: quickPeers}
	defaults    = Workload{Mode: Durable, Unit: seconds, setup: atDefault, peers: quickPeers}
	heaps       = Workload{Mode: Relaxed, Unit: "B/pair", setup: empty, peers: heapPeers}
	loads       = Workload{Mode: Relaxed, Unit: liveHeaps, setup: empty, peers: checkpointers}
	checkpoints = Workload{Mode: Durable, Unit: liveHeaps, setup: loaded, peers: checkpointers, onDemand: true}
	tails       = Workload{Unit: operationsRate, Goroutines: 16, setup: loaded, peers: quickPeers + " goleveldb badger"}
	backups     = Workload{Mode: Relaxed, Unit: seconds, setup: loaded, peers: backupers, onDemand: true}
	appends     = Workload{Log: true, Mode: Durable, Unit: operationsRate, setup: empty, record: 128}
	throughputs = Workload{Log: true, Mode: Relaxed, Unit: bytesRate, setup: empty}
	logReads    = Workload{Log: true, Mode: Relaxed, Unit: bytesRate}
	picks       = Workload{Log: true, Mode: Durable, Unit: operationsRate, peers: "walnut raft-wal"}
	cuts        = Workload{Log: true, Mode: Durable, Unit: "ms", setup: empty, peers: walnutName}
	lives       = Workload{Mode: Relaxed, Unit: operationsRate, setup: empty, onDemand: true, byName: true, peers: walnutName}
)

// workloads are all there are, in the order in which they are measured and reported. Of those that share a loaded store, the
// ones that write more come later.
var workloads = slices.Concat(
	durablePuts.as("W1/durable", "puts of new keys, each durable before it returns", repeat(putFresh), goroutines(1, 16, 64, 256)...),
	durablePuts.by("walnut pebble").with(16).as("W1/durable/16", "the same with larger values", repeat(putFresh), values(1<<10, 16<<10)...),
	relaxedPuts.as("W2/ordered", "puts of the data set in the order of its keys", once(putOrdered), goroutines(1, 2)...),
	relaxedPuts.by("walnut pebble").as("W2/ordered/1", "the same with larger values", once(putOrdered), values(1<<10)...),
	relaxedPuts.as("W2/random", "puts of the data set in random order", once(putFresh), goroutines(1, 2, 16)...),
	batches.as("W3/batch=100", "batches of 100 new pairs", repeat(putBatch(100))),
	batches.as("W3/batch=1000", "batches of 1000 new pairs", repeat(putBatch(1000))),

	gets.as("W4/uniform", "gets of keys that are equally popular", repeat(getUniform), goroutines(1, 2)...),
	gets.zipf().as("W4/zipfian", "gets of keys that are popular by Zipf's law, 0.99", repeat(getPopular), goroutines(1, 2)...),
	gets.by("walnut bbolt pebble").alone().as("W4/uniform/1", "the same with keys of other shapes", repeat(getUniform), shapes(prefixedKeys, tablesKeys, tenantsKeys, shuffledKeys)...),
	scans.in(keysRate).as("W5/full", "scans of everything", repeat(scanFull)),
	scans.as("W5/short", "scans of 100 pairs from a random key", repeat(scanShort)),
	scans.from(restarted).in(keysRate).as("W5/full/restarted", "scans of everything, after a restart", repeat(scanFull)),
	scans.from(restarted).as("W5/short/restarted", "scans of 100 pairs, after a restart", repeat(scanShort)),
	mixes.as("W6/B", "YCSB B: 95 % gets, 5 % puts of loaded keys", repeat(mixed(0.95, (*worker).overwrite)), modes...),
	mixes.as("W6/A", "YCSB A: one half gets, one half puts of loaded keys", repeat(mixed(0.5, (*worker).overwrite)), modes...),
	mixes.as("W6/F", "YCSB F: one half gets, one half read-modify-writes", repeat(mixed(0.5, (*worker).update)), modes...),
	transacts.as("T1/durable", "transactions that read and put one of a thousand keys", repeat(transact), goroutines(16, 64)...),
	transacts.as("T1/spread", "transactions that read and put one of all keys", repeat(spread), goroutines(16, 64)...),
	queues.as("T1/queue", "commits that put a pair at the tail or remove the head, in turns", repeat(queue)),
	expiries.as("T1/ttl", "from a deadline until all its pairs are gone, beside puts over a thousand others", expire),

	starts.from(atSnapshot).as("W7/snapshot", "open to first get of a store that was closed right after a checkpoint", start),
	starts.from(atSnapshot).by(walnutName).as("W7/snapshot", "the same with more pairs", start, multiples(5)...),
	starts.from(atLog).as("W7/clean", "the same, closed without a checkpoint: from the log alone", start),
	starts.from(atKill).as("W7/killed", "the same, killed instead of closed", start),
	defaults.as("W7/default", "the same, closed, with the default options throughout", start),
	defaults.by(walnutName).as("W7/default", "the same with more pairs", start, multiples(3)...),
	heaps.as("W8/heap", "live heap with the data set in memory, keys and values included", weighHeap),
	heaps.as("W8/heap", "the same with small values", weighHeap, values(16)...),
	loads.as("W8/load", "most resident memory while the data set is put, one commit a pair", weighLoad),
	checkpoints.as("W8/checkpoint", "most resident memory during a checkpoint", weighCheckpoint),
	views.as("W8/held", "live heap with a hundred views held, a hundredth of the pairs overwritten between two", holdViews),
	tails.as("W9/checkpoint", "puts over loaded pairs, with a checkpoint in between", overwriteBeside, modes...),
	watches.as("W9/watched", "puts over loaded pairs beside a thousand watchers that receive each", putWatched),
	backups.as("W10/backup", "a backup to a file, which is synced; then another one beside a writer", besideWriter((*run).backUpOnce)),
	backups.by(checkpointers).as("W10/checkpoint", "the same with checkpoints", besideWriter((*run).checkpointOnce)),

	appends.as("L1/durable", "appends of 128 bytes, each durable before it returns", repeat(appendRecord), goroutines(1, 16, 64)...),
	throughputs.as("L2/append", "relaxed appends", once(appendRecord), records(100, 1<<10, 64<<10)...),
	logReads.as("L3/read", "opening a log and reading all records", readRecords, records(100, 1<<10, 64<<10)...),
	picks.as("L5/pick", "reads of records by their numbers, each as likely as another", pickRecords, records(100)...),
	cuts.as("L4/cut", "removing the last ten of 56 MiB of records", cutRecords, records(1<<10)...),

	lives.as("S/life", "one store: puts (the figure), heap, gets, a checkpoint, a start", life, multiples(0.1, 1, 5, 10)...),
	lives.as("S/life", "the same with other values", life, values(16, 1<<10)...),
	lives.times(1.0/64).as("S/life", "the same with large values and few pairs", life, values(64<<10)...),
	lives.as("S/life", "the same with other keys", life, shapes(sequentialKeys, prefixedKeys)...),
)

func (w Workload) in(unit string) Workload         { w.Unit = unit; return w }
func (w Workload) from(from setup) Workload        { w.setup = from; return w }
func (w Workload) by(peers string) Workload        { w.peers = peers; return w }
func (w Workload) alone() Workload                 { w.shared = false; return w }
func (w Workload) with(goroutines int) Workload    { w.Goroutines = goroutines; return w }
func (w Workload) zipf() Workload                  { w.zipfian = true; return w }
func (w Workload) times(multiple float64) Workload { w.pairs = multiple; return w }

// variant makes one of several similar workloads, and returns what its ID ends with.
type variant func(w *Workload) string

// as makes workloads of a kind, one for each variant.
func (w Workload) as(id, about string, measure func(r *run), variants ...variant) (all []Workload) {
	if variants == nil {
		variants = []variant{func(*Workload) string { return "" }}
	}
	for _, vary := range variants {
		one := w
		one.About, one.measure = about, measure
		one.ID = id + vary(&one)
		one.Goroutines = max(1, one.Goroutines)
		all = append(all, one)
	}
	return all
}

// each makes variants of values that set a field of the workload.
func each[T any](format string, field func(w *Workload) *T) func(values ...T) []variant {
	return func(values ...T) (all []variant) {
		for _, value := range values {
			all = append(all, func(w *Workload) string {
				*field(w) = value
				return fmt.Sprintf(format, value)
			})
		}
		return all
	}
}

var (
	goroutines = each("/%d", func(w *Workload) *int { return &w.Goroutines })
	records    = each("/%d", func(w *Workload) *int { return &w.record })
	values     = each("/value=%d", func(w *Workload) *int { return &w.value })
	multiples  = each("/pairs=x%g", func(w *Workload) *float64 { return &w.pairs })
	shapes     = each("/keys=%s", func(w *Workload) *string { return &w.keys })
	modes      = each("/%s", func(w *Workload) *Mode { return &w.Mode })(Relaxed, Durable)
)

// data returns the data set of the workload.
func (w Workload) data(s Spec) dataset {
	multiple := cmp.Or(w.pairs, 1)
	return dataset{
		pairs: max(1, uint64(multiple*float64(s.Pairs))), seed: s.Seed, keys: cmp.Or(w.keys, s.Keys), valueBytes: cmp.Or(w.value, s.Value),
	}
}

// takes reports whether a peer takes part in the workload.
func (w Workload) takes(p Peer) bool {
	return (w.Log && p.OpenLog != nil || !w.Log && p.OpenStore != nil) && (p.Only == "" || matches(p.Only, w.ID)) &&
		(w.peers == "" || p.Limit || slices.Contains(strings.Fields(w.peers), p.Name))
}

// startsFrom returns the setup of the workload for a peer.
func (w Workload) startsFrom(p Peer) setup {
	if p.Pages && w.setup.load {
		return copied
	}
	return w.setup
}

// group is the same for workloads that are measured by one process on one store.
func (w Workload) group() string {
	if !w.shared {
		return w.ID
	}
	return w.setup.name + " " + string(w.Mode)
}

func workloadByID(id string) (Workload, error) {
	place := slices.IndexFunc(workloads, func(w Workload) bool { return w.ID == id })
	if place < 0 {
		return Workload{}, fmt.Errorf("no workload %q", id)
	}
	return workloads[place], nil
}
