package server

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// watchedKeys are the keys that connections watch. A command that writes marks them, before it writes, so that no
// version is kept for pairs.
//
// EXEC decides in its transaction. Commands that wrote in an earlier one have marked then, if the key was watched
// before they ran. What ran before that shows in what WATCH noted, since WATCH reads in a transaction as well. Writes
// that don't come through this server mark nothing. They are found where the pair differs from the one noted.
//
// Blind writes mark before they are decided, since they run in no transaction. WATCH waits for those that may have marked
// before its keys were watched.
type watchedKeys struct {
	blind sync.RWMutex // Held for reading from when blind writes mark until they are decided.

	count atomic.Int64 // Of watches, so that a write to a store in which nothing is watched takes no lock.
	mu    sync.Mutex
	keys  map[string]map[*watch]struct{}
}

// watch is what one connection watches.
//
// Invariant: only the connection's goroutine changes what is in it, apart from dirty.
type watch struct {
	dirty atomic.Bool
	seen  map[string]seenPair
	term  uint64 // In a replicated store, that in which this node led when the first of them was seen.
	lost  bool   // What was watched isn't known any more.
	share share  // Of what seen takes, and the entries of the server's table.
}

// watchOverhead is about what a watched key takes in memory besides its bytes.
const watchOverhead = 350

// news returns those of some keys that aren't watched yet, each once.
func (w *watch) news(keys [][]byte) (added []string) {
	named := make(map[string]struct{})
	for _, arg := range keys {
		key := string(arg)
		_, isNamed := named[key]
		if _, watched := w.seen[key]; !watched && !isNamed {
			named[key] = struct{}{}
			added = append(added, key)
		}
	}
	return added
}

// hold counts keys that are to be watched, and reports whether there is room.
func (w *watch) hold(added []string) bool {
	bytes := w.share.bytes
	for _, key := range added {
		bytes += watchOverhead + len(key)
	}
	return w.share.hold(bytes)
}

// seenPair is a pair as WATCH saw it. The value itself would stay in memory for as long.
type seenPair struct {
	found    bool
	size     int
	hash     uint64 // Of the value.
	deadline int64  // Nanoseconds since 1970; 0 where it has none.
}

// seenSeed makes hashes that no client can know.
var seenSeed = maphash.MakeSeed()

// add lets a connection watch a key, which must not be in its watch yet.
func (k *watchedKeys) add(w *watch, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = make(map[string]map[*watch]struct{})
	}
	if k.keys[key] == nil {
		k.keys[key] = make(map[*watch]struct{})
	}
	k.keys[key][w] = struct{}{}
	k.count.Add(1)
}

// remove ends a watch.
func (k *watchedKeys) remove(w *watch) {
	if len(w.seen) == 0 {
		return
	}
	w.share.hold(0)
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range w.seen {
		delete(k.keys[key], w)
		if len(k.keys[key]) == 0 {
			delete(k.keys, key)
		}
		k.count.Add(-1)
	}
}

// awaitBlind waits until blind writes are decided that have marked before. Meanwhile others run in transactions.
func (k *watchedKeys) awaitBlind() {
	k.blind.Lock()
	defer k.blind.Unlock()
}

// touch marks the connections that watch a key, which is about to change.
func (k *watchedKeys) touch(key []byte) {
	if k.count.Load() == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for w := range k.keys[string(key)] {
		w.dirty.Store(true)
	}
}

// touchRange marks the connections that watch a key of a pair which is about to be deleted: one from start to before
// end, where an empty end is past the last key.
func (k *watchedKeys) touchRange(start, end []byte, has func(key []byte) (bool, error)) {
	if k.count.Load() == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, watches := range k.keys {
		if key < string(start) || len(end) > 0 && key >= string(end) {
			continue
		}
		if found, _ := has([]byte(key)); !found { // The error is of a key that the store can't hold.
			continue
		}
		for w := range watches {
			w.dirty.Store(true)
		}
	}
}
