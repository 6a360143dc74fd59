package main

import "errors"

// Mode says what a write has survived once it is acknowledged.
type Mode string

const (
	Durable Mode = "durable" // A power cut.
	Relaxed Mode = "relaxed" // The death of the process; a peer that promises less says so in Peer.Weaker.
)

// Settings are what an adapter knows of the workload, so that it can open its peer with the best settings for it.
type Settings struct {
	Mode    Mode
	Writers int // How many goroutines write at a time.
	// OnDemand says that a Checkpointer takes a checkpoint when it is asked to, and none by itself. Other peers do their work
	// in the background as always.
	OnDemand bool
}

// cacheBytes is what every peer with a cache gets: more than the data of five million pairs, since Walnut holds all of
// it in memory too.
const cacheBytes = 1 << 30

// Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// Store is an ordered key-value store as the workloads use it. Every method but Close may be called concurrently. What
// is passed to a method, or by it to a function, is read-only and valid during the call: an adapter copies only where its
// peer would keep the memory, and hands out its peer's own memory where the peer allows that.
type Store interface {
	// Put makes one commit of one pair, acknowledged as the mode says.
	Put(key, value []byte) error
	// Get calls use with the key's value, or returns errNotFound.
	Get(key []byte, use func(value []byte)) error
	// Batch makes one commit of all pairs.
	Batch(pairs []Pair) error
	// Scan visits pairs in order from start, the first key where it is empty, until limit is reached; 0 is no limit.
	Scan(start []byte, limit int, visit func(key, value []byte)) error
	// Update gives the key the value that change makes of the old one, which is nil where there is none. No other
	// Update of the same key comes between. It may call change more than once.
	Update(key []byte, change func(old []byte) []byte) error
	// Sync makes durable what was acknowledged.
	Sync() error
	Close() error
}

var (
	errNotFound    = errors.New("key not found")
	errUnsupported = errors.New("not part of what this limit does")
)
