package kv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
)

// recordBufferMax is the capacity above which the encoder's buffer isn't kept, so that one large commit doesn't hold its
// memory for good.
const recordBufferMax = 1 << 20

// group is the commits that wait for the same leader. One of them leads: it waits for the log on behalf of all.
//
// The first commit that finds nobody leading leads at once. Commits that arrive meanwhile form the next group, and when
// the leader is done it hands the leadership to one of them. So a group grows for as long as the disk is busy, and no
// commit ever waits on a lock for the disk.
//
// A group's fields are guarded by DB.mu, but for what those who wait get through its channels. Where nobody but the leader
// waits there are no channels, and the group is used again.
type group struct {
	size int           // Commits that wait.
	lead chan struct{} // Holds the leadership for whoever of the group takes it first.
	done chan struct{} // Closed once the outcome is known.
	err  error         // The outcome; set before done is closed.
}

// wait makes the channels for those who wait.
func (g *group) wait() {
	if g.done == nil {
		g.lead, g.done = make(chan struct{}, 1), make(chan struct{})
	}
}

// end tells those who wait the outcome.
func (g *group) end(err error) {
	g.err = err
	if g.done != nil {
		close(g.done)
	}
}

// batches holds batches for commits of one mutation.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// applySingle makes a commit of one mutation, which add adds.
func (db *DB) applySingle(add func(b *Batch)) (offset uint64, err error) {
	b := batches.Get().(*Batch)
	defer func() {
		b.Reset()
		batches.Put(b)
	}()
	add(b)
	return db.Apply(b)
}

// Put gives the key the value, as a commit of its own, and returns the commit's offset. A nil value is an empty one.
// Errors are those of Apply.
func (db *DB) Put(key, value []byte) (offset uint64, err error) {
	return db.applySingle(func(b *Batch) { b.Put(key, value) })
}

// PutTTL is Put for a pair that is visible for a time only; its deadline is the clock's time plus ttl. A ttl that isn't
// positive is ErrInvalidTTL.
func (db *DB) PutTTL(key, value []byte, ttl time.Duration) (offset uint64, err error) {
	if ttl <= 0 {
		return 0, fmt.Errorf("%w: %v", ErrInvalidTTL, ttl)
	}
	deadline := db.now()
	deadline += min(int64(ttl), math.MaxInt64-max(deadline, 0))
	return db.applySingle(func(b *Batch) { b.PutDeadline(key, value, time.Unix(0, deadline)) })
}

// Delete removes the key, as a commit of its own, and returns the commit's offset. An absent key is no error and makes a
// commit as well. Errors are those of Apply.
func (db *DB) Delete(key []byte) (offset uint64, err error) {
	return db.applySingle(func(b *Batch) { b.Delete(key) })
}

// Apply makes one commit of a batch and returns its offset. It returns once the commit is acknowledged, which in the
// default mode means durable, and visible. An empty batch makes no commit; it returns the last offset.
//
// An error that isn't ErrFailed means that nothing was changed: ErrEmptyKey, ErrKeyTooLarge and ErrValueTooLarge for
// a mutation of the batch, ErrCommitTooLarge, ErrNoSpace, ErrReadOnly, ErrClosed. Of ErrFailed, the message says whether
// the commit was refused or its outcome is not known until the store is opened again.
func (db *DB) Apply(b *Batch) (offset uint64, err error) {
	return db.ApplyContext(context.Background(), b)
}

// ApplyContext is Apply for a caller who may give up waiting. Once ctx is done it returns an error that wraps ctx's:
// either nothing was changed, or the log had the commit already, and the message says that it may still happen.
func (db *DB) ApplyContext(ctx context.Context, b *Batch) (offset uint64, err error) {
	return db.commit(ctx, b)
}

// change says what to commit. It may read head, which has every commit in front of this one, also those that aren't
// visible yet, and it must not keep it. Where it returns a state as well, that is a clone of head with the mutations
// applied, which becomes head. Its error is returned as it is.
type change interface {
	make(head *state) (b *Batch, worked *state, err error)
}

// make makes a Batch a change.
func (b *Batch) make(*state) (*Batch, *state, error) {
	if b.err != nil {
		return nil, nil, fmt.Errorf("kv: commit refused: %w", b.err)
	}
	return b, nil, nil
}

// changeFunc makes a function a change.
type changeFunc func(head *state) (*Batch, *state, error)

func (f changeFunc) make(head *state) (*Batch, *state, error) { return f(head) }

// commit is the one way into the store.
//
// In the default mode the commit then waits, with others, for the disk. In the relaxed modes it is acknowledged, and
// visible, once the log has it, which it has at once; a clone for readers is made when one asks for it (see DB.view).
func (db *DB) commit(ctx context.Context, c change) (uint64, error) {
	started := db.commits.start()
	offset, joined, leads, err := db.submit(ctx, c)
	if err != nil {
		return 0, err
	}
	if joined == nil {
		db.inflight.Done()
		db.commits.stop(started)
		return offset, nil
	}
	outcome, err := db.awaitContext(ctx, joined, leads)
	if err != nil {
		return 0, fmt.Errorf("kv: commit %d: no longer waited for, it may still happen: %w", offset, err)
	}
	if outcome != nil {
		return offset, fmt.Errorf("kv: commit %d: its outcome is not known until the store is opened again: %w", offset, outcome)
	}
	db.commits.stop(started)
	return offset, nil
}

// await waits for a group's outcome, and leads the group where that falls to the caller.
func (db *DB) await(joined *group, leads bool) error {
	defer db.inflight.Done()
	if leads {
		return db.lead()
	}
	select {
	case <-joined.lead:
		return db.lead()
	case <-joined.done:
		return joined.err
	}
}

// awaitContext is await for a caller who may leave, which err says. Somebody stands in for him from the start: a leader
// can't leave, and the leadership may fall to him after he has left.
func (db *DB) awaitContext(ctx context.Context, joined *group, leads bool) (outcome, err error) {
	if ctx.Done() == nil {
		return db.await(joined, leads), nil
	}
	go func() { _ = db.await(joined, leads) }() // The outcome is joined's.
	select {
	case <-joined.done:
		return joined.err, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// submit gives a commit its offset, applies it to head and joins the group that is forming; in the relaxed modes there is
// none. leads says that the caller has to lead it. Where there is an error nothing has changed.
func (db *DB) submit(ctx context.Context, c change) (offset uint64, joined *group, leads bool, err error) {
	if err := db.acquire(ctx); err != nil {
		return 0, nil, false, fmt.Errorf("kv: commit refused, nothing was changed: %w", err)
	}
	defer db.mu.Unlock()
	if err := db.mayCommit(); err != nil {
		return 0, nil, false, err
	}
	b, worked, err := c.make(db.head)
	if err != nil {
		return 0, nil, false, err
	}
	if err := db.append(b.mutations, worked); err != nil {
		return 0, nil, false, fmt.Errorf("kv: commit refused: %w", err)
	}
	db.inflight.Add(1)
	if db.relaxed() {
		return db.head.offset, nil, false, nil
	}
	leads = !db.leading
	db.leading = true
	db.forming.size++
	if !leads || ctx.Done() != nil {
		db.forming.wait()
	}
	return db.head.offset, db.forming, leads, nil
}

// mayCommit says why there can't be a commit now.
func (db *DB) mayCommit() error {
	switch {
	case db.closed:
		return ErrClosed
	case db.opts.ReadOnly:
		return ErrReadOnly
	case db.failed != nil:
		return fmt.Errorf("kv: commit refused: %w", db.failed)
	}
	return nil
}

// append hands mutations to the log and applies them to head. The log refuses before it uses an offset, so head follows
// the log in every case. No mutations are no commit: whoever read head waits for what it read, and nothing is written.
func (db *DB) append(mutations []Mutation, worked *state) error {
	if len(mutations) == 0 {
		return nil
	}
	now := db.now()
	if size := recordSize(now, mutations); size > db.opts.MaxCommitSize {
		return fmt.Errorf("%w: %d bytes encoded, limit %d", ErrCommitTooLarge, size, db.opts.MaxCommitSize)
	}
	db.record = appendRecord(db.record[:0], now, mutations)
	offset, err := db.log.Submit(db.record)
	if cap(db.record) > recordBufferMax {
		db.record = nil
	}
	if err != nil {
		return err
	}
	if worked != nil {
		worked.offset = offset
		db.setHead(worked)
		return nil
	}
	db.headMu.Lock()
	defer db.headMu.Unlock()
	db.head.apply(offset, mutations)
	return nil
}

// lead brings the group that is forming, of which the caller is one, to its end: visible where the log acknowledges it,
// failed where not.
func (db *DB) lead() error {
	// Those whom the end of the last group woke get to join. Otherwise the first of them would lead a group of one, and
	// every second sync would be for a single commit (measured with 64 writers: 31 commits a sync without this, 43 with).
	runtime.Gosched()
	led, next := db.cut()
	var err error
	if next != db.visible.Load() {
		err = db.log.Wait(next.offset)
	}
	return db.settle(led, next, err)
}

// cut ends the forming of a group and returns it, with the state that becomes visible once the log has acknowledged it.
func (db *DB) cut() (*group, *state) {
	db.mu.Lock()
	defer db.mu.Unlock()
	led := db.forming
	db.forming = db.newGroup()
	if visible := db.visible.Load(); visible.offset == db.head.offset {
		return led, visible
	}
	return led, db.cloneHead()
}

// newGroup returns an empty group. The caller holds mu.
func (db *DB) newGroup() *group {
	g := db.spare
	db.spare = nil
	if g == nil {
		return new(group)
	}
	*g = group{}
	return g
}

// settle tells a group its outcome, which it returns, and passes the leadership on.
func (db *DB) settle(led *group, next *state, err error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err != nil {
		return db.fail(led, err)
	}
	db.visible.Store(next)
	led.end(nil)
	if led.done == nil {
		db.spare = led
	}
	if db.leading = db.forming.size > 0; db.leading {
		db.forming.lead <- struct{}{}
	}
	return nil
}

// fail ends all writing. The group that is forming fails as well: its commits lie in the log behind those that failed.
func (db *DB) fail(led *group, err error) error {
	if !errors.Is(err, ErrFailed) {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	db.failed, db.record = err, nil
	db.setHead(nil)
	led.end(err)
	db.forming.end(err)
	db.forming, db.leading = new(group), false
	return err
}

// Sync makes everything durable that was committed before the call; in the default mode that is so already. After an
// error the store has failed: see ErrFailed.
func (db *DB) Sync() error {
	if err := db.acquire(context.Background()); err != nil {
		return fmt.Errorf("kv: sync: %w", err)
	}
	err := db.enter()
	db.mu.Unlock()
	if err != nil {
		return err
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
