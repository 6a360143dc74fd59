package kv

// In the default mode the group's leader publishes a clone of head for each sync, and reading is loading a pointer. In
// the relaxed modes there is no sync to wait for, and a clone for each commit would cost a commit several times its
// price, since each put would have to copy its path through the tree. So there the clone is made when a reader asks for
// one and commits have come since the last; and Get, which needs no state of its own, looks into head. Both take headMu,
// which a commit holds while it is applied, and not while a transaction's function runs or the log takes its record.

// relaxed reports whether commits are visible once the log has them, rather than once they are durable.
func (db *DB) relaxed() bool { return db.opts.Sync != SyncAlways && !db.opts.ReadOnly }

// view returns the state that a reader sees now, nil in a closed store. It is never changed.
func (db *DB) view() *state {
	visible := db.visible.Load()
	if visible == nil || !db.relaxed() || visible.offset >= db.log.Last() {
		return visible
	}
	db.headMu.Lock()
	defer db.headMu.Unlock()
	visible = db.visible.Load()
	if visible == nil || db.head == nil || visible.offset == db.head.offset {
		return visible
	}
	db.visible.CompareAndSwap(visible, db.cloneHead()) // Unless the store is being closed at this moment.
	return db.visible.Load()
}

// getRelaxed is Get in a relaxed mode.
func (db *DB) getRelaxed(key []byte) ([]byte, error) {
	visible := db.visible.Load()
	if visible == nil {
		return nil, ErrClosed
	}
	if visible.offset >= db.log.Last() {
		return visible.get(key, db.now)
	}
	db.headMu.RLock()
	defer db.headMu.RUnlock()
	if db.head == nil {
		return nil, ErrClosed // Only Close drops head in a relaxed mode.
	}
	return db.head.get(key, db.now)
}

// setHead replaces head. The caller holds mu.
func (db *DB) setHead(head *state) {
	db.headMu.Lock()
	defer db.headMu.Unlock()
	db.head = head
}
