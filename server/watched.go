package server

import (
	"sync"
	"sync/atomic"
)

// watchedKeys are the keys that connections watch. A command that writes marks them, before it writes, so that no version is kept for
// pairs.
//
// EXEC decides in its transaction. Commits that came before it have run their functions before it, and so have marked. What was being
// committed when a key began to be watched may have marked nothing: the value that WATCH saw, which was the one before that, differs then, or
// is the same. Writes that don't come through this server are found in that way too.
type watchedKeys struct {
	count atomic.Int64 // Of watches, so that a write to a store in which nothing is watched takes no lock.
	mu    sync.Mutex
	keys  map[string]map[*watch]struct{}
}

// watch is what one connection watches.
//
// Invariant: only the connection's goroutine changes seen.
type watch struct {
	dirty atomic.Bool
	seen  map[string]seenPair
}

// seenPair is a pair as WATCH saw it.
type seenPair struct {
	found    bool
	value    []byte
	deadline int64 // Nanoseconds since 1970; 0 where it has none.
}

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

// touchAll marks every connection that watches.
func (k *watchedKeys) touchAll() {
	if k.count.Load() == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, watches := range k.keys {
		for w := range watches {
			w.dirty.Store(true)
		}
	}
}
