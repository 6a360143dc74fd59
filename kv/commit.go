package kv

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// single is a batch of one mutation.
type single struct {
	batch Batch
	ready ready
}

// singles holds such batches for use again.
var singles = sync.Pool{New: func() any { return new(single) }}

// applySingle makes a commit of one mutation. What other writers would wait for is done first where it can be.
func (db *DB) applySingle(m Mutation) (offset uint64, err error) {
	s := singles.Get().(*single)
	s.batch.add(&m)
	if s.batch.err == nil && db.relaxed() {
		s.ready.Mutation = m // Its key and value are the caller's, for as long as this takes.
		if m.Kind == MutationPut {
			s.ready.pair = newPair(m.Key, m.Value, unixNano(m.Deadline))
		}
		s.batch.ready = &s.ready
	}
	offset, err = db.commit(context.Background(), &s.batch, nil)
	if cap(s.batch.record) <= inPlaceBytes && cap(s.ready.entries.entries) <= keyingMax {
		s.batch.Reset()
		s.ready.Mutation = Mutation{}
		s.ready.entries.reset()
		singles.Put(s)
	}
	return offset, err
}

// Put gives the key the value, in its own commit, and returns that commit's offset. Errors are those of Apply.
func (db *DB) Put(key, value []byte) (offset uint64, err error) {
	return db.applySingle(Mutation{Kind: MutationPut, Key: key, Value: value})
}

// Delete removes the key, in its own commit, and returns that commit's offset. An absent key is no error and makes a commit, too.
func (db *DB) Delete(key []byte) (offset uint64, err error) {
	return db.applySingle(Mutation{Kind: MutationDelete, Key: key})
}

// DeleteRange removes every key k with start <= k < end, in its own commit, and returns that commit's offset. An empty start is the
// first key, an empty end is past the last one; PrefixEnd returns the end of a prefix. A range without a key makes a commit, too.
func (db *DB) DeleteRange(start, end []byte) (offset uint64, err error) {
	var b Batch
	b.DeleteRange(start, end)
	return db.Apply(&b)
}

// Apply makes one commit of a batch and returns its offset. It returns once the commit is acknowledged, which in the
// default mode means durable, and visible. An empty batch makes no commit; it returns the last offset. Other writers hardly
// wait for a large batch, or for one that deletes many pairs by their range.
//
// An error that isn't ErrUndecided means that nothing was changed: ErrEmptyKey, ErrKeyTooLarge and ErrValueTooLarge for a mutation of
// the batch, ErrIndex, ErrCommitTooLarge, ErrNoSpace, ErrFailed, ErrReadOnly, ErrClosed. An error may be both ErrUndecided and ErrFailed:
// the commit's outcome is not known until the store is opened again. Replica.DB has the errors of a replica.
func (db *DB) Apply(b *Batch) (offset uint64, err error) {
	return db.ApplyContext(context.Background(), b)
}

// ApplyContext is Apply for a caller that may give up waiting. Once ctx is done it returns an error that wraps ctx's:
// either nothing was changed, or the log had the commit already, and the message says that it may still happen.
func (db *DB) ApplyContext(ctx context.Context, b *Batch) (offset uint64, err error) {
	return db.commit(ctx, b, nil)
}

// fillFunc puts mutations into a batch while mu is held. Where it returns a state, that is a clone of head with them applied.
type fillFunc func() (worked *state, err error)

// commit is the one way into the store: it makes one commit of a batch, which fill fills first unless it is nil.
func (db *DB) commit(ctx context.Context, b *Batch, fill fillFunc) (offset uint64, err error) {
	db.committing.Add(1)
	started := db.commits.start()
	defer func() {
		db.yield(ctx, offset, len(b.record))
		if offset > 0 && b.count > 0 { // Otherwise there was no commit.
			db.commits.stop(started)
		}
	}()
	if len(db.opts.Indexes) > 0 {
		if err := db.visible.overdue.Load().waitFor(ctx); err != nil {
			return 0, fmt.Errorf("kv: commit refused, nothing was changed: %w", err)
		}
		if fill == nil {
			b = indexable(db.opts.Indexes, b)
		}
	}
	switch {
	case db.replica != nil:
		offset, err = db.replica.commit(ctx, b, fill)
	case fill == nil && db.wantsApart(b):
		offset, err = db.submitApart(ctx, b)
	default:
		offset, err = db.submit(ctx, b, fill)
	}
	if err == nil && db.replica == nil {
		err = db.await(ctx, offset)
	}
	if err != nil {
		return 0, err
	}
	return offset, nil
}

// A turn is after how many commits, or bytes of them, a writer yields. In the relaxed modes, with more writers than processors, one that is
// preempted in the middle of a commit would otherwise wait for the full time slices of all others, 10 ms each.
const (
	turn      = 64
	turnBytes = 64 << 10
)

// yield ends the counting of a commit, after which the writer may have to rest beside a checkpoint: see rest. In the relaxed modes it lets
// other goroutines run where the commit was a turn's last: other writers, a checkpoint or a backup that waits for a processor, or a
// checkpoint that is late, which would never run where nothing preempts a writer, as under wasm.
func (db *DB) yield(ctx context.Context, offset uint64, bytes int) {
	others := db.committing.Add(-1)
	if offset == 0 || bytes == 0 { // What was refused or empty made nothing longer.
		return
	}
	if rest := db.checkpoints.rest(bytes, int(others)+1); rest > 0 {
		db.committing.Add(1) // So that the others see how many share the rate.
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		case <-db.checkpoints.ctx.Done():
		}
		db.committing.Add(-1)
		return
	}
	last := offset%turn == 0 || bytes > turnBytes/turn && offset%max(1, uint64(turnBytes/bytes)) == 0
	if last && db.relaxed() && (others >= db.processors || db.waiting.Load() > 0 || db.checkpoints.late()) {
		runtime.Gosched()
	}
}

// submit gives a commit its offset, and registers a call that uses the log, which await ends.
func (db *DB) submit(ctx context.Context, b *Batch, fill fillFunc) (offset uint64, err error) {
	if err := db.lockForCommit(ctx, b); err != nil {
		return 0, err
	}
	defer db.mu.Unlock()
	var worked *state
	if fill != nil {
		if worked, err = fill(); err != nil {
			return 0, err
		}
	}
	return db.give(b, worked, nil)
}

// lockForCommit takes mu, unless there can't be a commit now.
func (db *DB) lockForCommit(ctx context.Context, b *Batch) (err error) {
	if err := db.acquire(ctx); err != nil {
		return fmt.Errorf("kv: commit refused, nothing was changed: %w", err)
	}
	switch {
	case db.closed:
		err = ErrClosed
	case db.opts.ReadOnly:
		err = ErrReadOnly
	case db.failed != nil:
		err = refused(db.failed)
	case b.err != nil:
		err = refused(b.err)
	default:
		return nil
	}
	db.mu.Unlock()
	return err
}

func refused(err error) error { return fmt.Errorf("kv: commit refused: %w", err) }

// give gives a batch to the log and returns its offset. The log refuses before it uses an offset, unless it fails. For an empty
// batch nothing is written: its caller waits for what it read. A large one may be prepared. The caller holds mu.
func (db *DB) give(b *Batch, worked *state, prepared *wal.Prepared) (offset uint64, err error) {
	if b.count == 0 {
		db.inflight.Add(1)
		return db.last, nil
	}
	record := b.recordAt(db.now())
	if err := db.checkSize(record); err != nil {
		return 0, err
	}
	offset, group, err := db.log.SubmitPrepared(prepared, record)
	if err != nil {
		return 0, db.notTaken(offset, err)
	}
	db.full = false
	if worked != nil {
		worked.offset = offset
	}
	db.last = offset
	db.inflight.Add(1)
	db.checkpoints.grew(len(record))
	if db.apart != nil {
		db.apart.missed = append(db.apart.missed, b.mutations()...)
	}
	if !db.relaxed() {
		db.layerOf(group).add(offset, b, worked)
		return offset, nil
	}
	db.visible.mu.Lock()
	defer db.visible.mu.Unlock()
	db.visible.show(&layer{offset: offset, batch: *b, state: worked})
	return offset, nil
}

func (db *DB) checkSize(record []byte) error {
	if len(record) <= db.opts.MaxCommitSize {
		return nil
	}
	return refused(tooLarge(len(record), db.opts.MaxCommitSize))
}

func tooLarge(size, limit int) error {
	return fmt.Errorf("%w: %d bytes encoded, limit %d", ErrCommitTooLarge, size, limit)
}

// notTaken says why the log didn't take a commit, and logs when a full disk begins to refuse them. The offset is 0 unless the commit
// was being written when the log failed. The caller holds mu.
func (db *DB) notTaken(offset uint64, err error) error {
	if errors.Is(err, ErrFailed) {
		if offset != 0 {
			return db.fail(offset, err)
		}
		db.failed = err
	}
	full := errors.Is(err, ErrNoSpace)
	if full && !db.full {
		db.opts.Logger.Warn("disk is full: commits are refused until there is room", "dir", db.dir, "error", err)
	}
	db.full = full
	return refused(err)
}

// relaxed reports whether commits are visible once the log has them, rather than once they are durable.
func (db *DB) relaxed() bool { return db.opts.Sync != SyncAlways && !db.opts.ReadOnly }

// layerOf returns the layer of one of the log's groups, which is the last one or a new one. The caller holds mu.
func (db *DB) layerOf(group uint64) *layer {
	if last := len(db.layers) - 1; last >= 0 && db.layers[last].group == group {
		return db.layers[last]
	}
	l := layerPool.Get().(*layer)
	l.group = group
	db.layers = append(db.layers, l)
	return l
}

// head returns the state after every commit that has an offset, for reading only. The caller holds mu.
func (db *DB) head() *state {
	db.visible.mu.RLock() // Waits for landed, which takes a layer from layers before it has made it visible.
	s := db.visible.current
	db.visible.mu.RUnlock()
	for _, l := range db.layers {
		s = l.on(s)
	}
	return s
}

// landed makes a group's commits visible. The log calls it once the group is durable, before it wakes those commits' callers.
func (db *DB) landed(last uint64) {
	v := &db.visible
	db.mu.Lock()
	if len(db.layers) == 0 || db.layers[0].offset > last {
		db.mu.Unlock()
		return
	}
	l := db.layers[0]
	v.mu.Lock() // Before mu is free, so that head waits for the layer to be visible.
	db.layers = slices.Delete(db.layers, 0, 1)
	swept := db.sweeper.hasLanded(last)
	db.mu.Unlock()
	v.show(l)
	v.mu.Unlock()
	l.recycle()
	if swept {
		db.sweeper.wake()
	}
}

// await waits until the commit with an offset, and all before it, is acknowledged and visible, or until ctx is done.
func (db *DB) await(ctx context.Context, offset uint64) error {
	if db.relaxed() {
		db.inflight.Done()
		return nil
	}
	if ctx.Done() == nil {
		return db.awaitLog(offset)
	}
	// The log may make any of its waiters lead, and a leader can't leave. So a goroutine waits.
	outcome := make(chan error, 1)
	go func() { outcome <- db.awaitLog(offset) }()
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return fmt.Errorf("kv: commit %d: no longer waited for, it may still happen: %w: %w", offset, ErrUndecided, ctx.Err())
	}
}

// awaitLog is await without a context.
func (db *DB) awaitLog(offset uint64) error {
	defer db.inflight.Done()
	err := db.log.Wait(offset)
	if err == nil {
		return nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.fail(offset, err)
}

// fail ends all writing, and says so of a commit. The caller holds mu.
func (db *DB) fail(offset uint64, err error) error {
	db.failed = err
	return fmt.Errorf("kv: commit %d: its outcome is not known until the store is opened again: %w: %w", offset, ErrUndecided, err)
}

// Sync makes everything durable that was committed before. After an error the store has failed: see ErrFailed.
func (db *DB) Sync() error {
	if err := db.use(context.Background()); err != nil {
		return fmt.Errorf("kv: sync: %w", err)
	}
	defer db.inflight.Done()
	if db.opts.ReadOnly {
		return ErrReadOnly
	}
	if err := db.log.Sync(); err != nil {
		return fmt.Errorf("kv: sync: %w", err)
	}
	return nil
}
