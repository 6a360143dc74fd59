package main

import (
	"context"
	"io"
	"sync"
	"time"
)

// Mode is what an acknowledged write survives.
type Mode string

const (
	Durable Mode = "durable" // A power cut.
	Relaxed Mode = "relaxed" // The death of the process; a peer that promises less says so in Peer.Weaker.
)

// Settings are what an adapter knows of the workload, so that it can choose the best settings for it.
type Settings struct {
	Mode     Mode
	Writers  int  // How many goroutines write at the same time.
	OnDemand bool // A Checkpointer takes no checkpoint by itself, only when asked.
}

// cacheBytes is the cache of every peer that has one: more than a million pairs need, since Walnut holds all data in memory.
const cacheBytes = 1 << 30

// Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// Store is an ordered key-value store as the workloads use it. Every method but Close may be called concurrently. Arguments,
// and what a method passes to a function, are read-only and valid during the call: an adapter copies only where its peer
// would keep the memory, and hands out its peer's own memory where the peer allows that. An error ends the process.
type Store interface {
	// Put makes one commit of one pair, acknowledged as the mode says.
	Put(key, value []byte)
	// Batch makes one commit of all pairs.
	Batch(pairs []Pair)
	// Get calls use with the key's value, and reports whether there is one.
	Get(key []byte, use func(value []byte)) bool
	// Scan visits pairs in order from start until limit is reached; 0 is no limit.
	Scan(start []byte, limit int, visit func(key, value []byte))
	// Update gives the key the value that change makes of the old one, nil where there is none, as one transaction. It may
	// call change more than once.
	Update(key []byte, change func(old []byte) []byte)
	Close()
}

// Checkpointer is a Store that writes its state out on demand, so that a start need not read its whole history.
type Checkpointer interface{ Checkpoint() }

// Backuper is a Store that writes all pairs of one instant to a stream while writes go on.
type Backuper interface{ Backup(w io.Writer) }

// Queue is a Store whose first pair can be removed.
type Queue interface {
	Store
	// Pop removes the first pair in one commit, acknowledged as the mode says, and reports whether there was one. No two calls
	// remove the same one.
	Pop() bool
}

// Holder is a Store that keeps a view of an instant readable while writes go on.
type Holder interface {
	Store
	// Hold returns what lets go of a view of now.
	Hold() (release func())
}

// Watchable is a Store that hands its commits to watchers.
type Watchable interface {
	Store
	// Watch receives every commit made after the call of ready until the context ends.
	Watch(ctx context.Context, ready func())
}

// Expirer is a Store whose pairs can have a deadline, after which they are gone.
type Expirer interface {
	Store
	// BatchUntil is Batch of pairs with a deadline. The zero time is none.
	BatchUntil(pairs []Pair, deadline time.Time)
	// Count returns how many pairs there are. Expired ones that the store still holds count if it can count them.
	Count() int
}

// Log is a write-ahead log as the workloads use it. Append and AppendBatch may be called concurrently. Records are valid
// during the call.
type Log interface {
	// Append adds one record, acknowledged as the mode says.
	Append(record []byte)
	// AppendBatch adds records with as few writes and syncs as the peer can do.
	AppendBatch(records [][]byte)
	// ReadAll visits every record in order. It is called on a log that was just opened.
	ReadAll(visit func(record []byte))
	Close()
}

// PickLog is a Log whose records can be read by their number, the first of which is 1.
type PickLog interface {
	Log
	Read(number uint64, visit func(record []byte))
}

// BackCutter is a Log that removes its newest records.
type BackCutter interface{ CutBack(records uint64) }

// unsupported is what an adapter leaves out because no workload asks its peer for it.
type unsupported struct{}

func (unsupported) Batch([]Pair) { fatal("the adapter has no batches") }

func (unsupported) Get([]byte, func([]byte)) bool             { fatal("the adapter has no gets"); return false }
func (unsupported) Scan([]byte, int, func(key, value []byte)) { fatal("the adapter has no scans") }
func (unsupported) Update([]byte, func([]byte) []byte)        { fatal("the adapter has no transactions") }

// numbering numbers records from 1, for logs that leave this to the caller: a consensus log gets numbers from its protocol.
// Such logs take one append at a time.
type numbering struct {
	mu   sync.Mutex
	last uint64
}

// add appends count records, the first of which gets the number that it passes on.
func (n *numbering) add(count int, appendFrom func(first uint64) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	check(appendFrom(n.last + 1))
	n.last += uint64(count)
}
