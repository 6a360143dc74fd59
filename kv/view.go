package kv

import "runtime"

// In the default mode the group's leader publishes a clone of head for each sync, and reading is loading a pointer. In
// the relaxed modes there is no sync to wait for, and a clone for each commit would cost a commit several times its
// price, since each put would have to copy its path through the tree. So there the clone is made when a reader asks for
// one and commits have come since the last; and Get, which needs no state of its own, looks into head under a read lock.
// Neither waits for a transaction's function: before that runs, the state in front of it is published.

// relaxed reports whether commits are visible once the log has them, rather than once they are durable.
func (db *DB) relaxed() bool { return db.opts.Sync != SyncAlways && !db.opts.ReadOnly }

// view returns the state that a reader sees now, nil in a closed store. It is never changed.
func (db *DB) view() *state {
	for {
		visible := db.visible.Load()
		if visible == nil || !db.relaxed() || visible.offset >= db.log.Last() {
			return visible
		}
		if db.mu.TryLock() {
			db.publishHead()
			db.mu.Unlock()
			continue
		}
		runtime.Gosched() // A commit is under way. If it takes long, it has published the state in front of it.
	}
}

// publishHead makes head's state visible, in a relaxed mode. The caller holds mu. A store that is being closed at this
// moment stays without a visible state.
func (db *DB) publishHead() {
	if visible := db.visible.Load(); visible != nil && visible.offset < db.head.offset {
		db.visible.CompareAndSwap(visible, db.cloneHead())
	}
}

// getRelaxed is Get in a relaxed mode.
func (db *DB) getRelaxed(key []byte) ([]byte, error) {
	for {
		visible := db.visible.Load()
		if visible == nil {
			return nil, ErrClosed
		}
		if visible.offset >= db.log.Last() {
			return visible.get(key, db.now)
		}
		if db.mu.TryRLock() {
			value, err := db.getHead(key)
			db.mu.RUnlock()
			return value, err
		}
		runtime.Gosched() // A commit is under way. If it takes long, it has published the state in front of it.
	}
}

// getHead returns a value of head. The caller holds mu.
func (db *DB) getHead(key []byte) ([]byte, error) {
	if db.head == nil {
		return nil, ErrClosed // Only Close drops head in a relaxed mode.
	}
	return db.head.get(key, db.now)
}
