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

// group is the commits that wait for the same leader. One of them leads: it waits for the log on behalf of all, and makes
// them visible.
//
// The first commit that finds nobody leading leads at once. Commits that arrive meanwhile form the next group, and when
// the leader is done it hands the leadership to one of them. So a group grows for as long as the disk is busy, and no
// commit ever waits on a lock for the disk.
//
// A group's fields are guarded by DB.mu, but for what those who wait get through its channels, and for the layer once it
// becomes visible, which is the leader's. Where nobody but the leader waits there are no channels, and the group is used
// again.
type group struct {
	layer
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

// groups holds groups for use again.
var groups = sync.Pool{New: func() any { return new(group) }}

// recycle gives a group back that has ended. Those who waited for it still look at its error, so of theirs only the
// array of mutations is used again.
func (g *group) recycle() {
	g.reset()
	if g.done != nil {
		g = &group{layer: g.layer}
	}
	g.size = 0
	groups.Put(g)
}

// batches holds batches for commits of one mutation.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// applySingle makes a commit of one mutation, which add adds.
func (db *DB) applySingle(add func(b *Batch)) (offset uint64, err error) {
	db.committing.Add(1) // From here on: one that is taken off its processor in front of the lock waits for others as well.
	defer func() { db.giveWay(offset) }()
	b := batches.Get().(*Batch)
	defer func() {
		b.Reset()
		batches.Put(b)
	}()
	add(b)
	return db.commitCounted(context.Background(), b)
}

// Put gives the key the value, as a commit of its own, and returns the commit's offset. A nil value is an empty one.
// Errors are those of Apply.
func (db *DB) Put(key, value []byte) (offset uint64, err error) {
	return db.applySingle(func(b *Batch) { b.Put(key, value) })
}

// PutTTL is Put for a pair that is visible for a time only; its deadline is the store's time plus ttl. The clock never goes
// back, so what has expired stays so. An expired pair still takes memory and space in snapshots until a mutation removes it;
// Stats counts those. A ttl that isn't positive is ErrInvalidTTL.
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

// change says what to commit. The store's lock is held, so it may read DB.head, which has every commit in front of this
// one, also those that aren't visible yet. Where it returns a state as well, that is a clone of head with the mutations
// applied. Its error is returned as it is.
type change interface {
	make(db *DB) (b *Batch, worked *state, err error)
}

// make makes a Batch a change.
func (b *Batch) make(*DB) (*Batch, *state, error) {
	if b.err != nil {
		return nil, nil, fmt.Errorf("kv: commit refused: %w", b.err)
	}
	return b, nil, nil
}

// changeFunc makes a function a change.
type changeFunc func(db *DB) (*Batch, *state, error)

func (f changeFunc) make(db *DB) (*Batch, *state, error) { return f(db) }

// commit counts a commit as one under way until it is over, however it ends.
func (db *DB) commit(ctx context.Context, c change) (offset uint64, err error) {
	db.committing.Add(1)
	defer func() { db.giveWay(offset) }()
	return db.commitCounted(ctx, c)
}

// commitCounted is the one way into the store.
//
// In the default mode the commit then waits, with others, for the disk. In the relaxed modes it is acknowledged, and
// visible, once the log has it, which it has at once.
func (db *DB) commitCounted(ctx context.Context, c change) (uint64, error) {
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

// turn is how many commits go by before one in the relaxed modes lets others have its processor. Where more of them run than
// there are processors, one that was taken off its processor in the middle would otherwise wait for the full time slices of
// all others, 10 ms each. Two writers that run beside each other have no need of it.
const turn = 64

// giveWay ends the counting of a commit, and lets others have the processor where it is their turn.
func (db *DB) giveWay(offset uint64) {
	others := db.committing.Add(-1)
	if offset%turn == 0 && others >= db.processors && db.relaxed() {
		runtime.Gosched()
	}
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

// submit gives a commit its offset and lets it join the group that is forming; in the relaxed modes there is none, and
// the commit becomes visible. leads says that the caller has to lead the group. Where there is an error nothing has changed.
func (db *DB) submit(ctx context.Context, c change) (offset uint64, joined *group, leads bool, err error) {
	if err := db.acquire(ctx); err != nil {
		return 0, nil, false, fmt.Errorf("kv: commit refused, nothing was changed: %w", err)
	}
	defer db.mu.Unlock()
	if err := db.mayCommit(); err != nil {
		return 0, nil, false, err
	}
	b, worked, err := c.make(db)
	if err != nil {
		return 0, nil, false, err
	}
	if err := db.append(b.mutations, worked); err != nil {
		return 0, nil, false, fmt.Errorf("kv: commit refused: %w", err)
	}
	db.inflight.Add(1)
	if db.relaxed() {
		return db.last, nil, false, nil
	}
	leads = !db.leading
	db.leading = true
	db.forming.size++
	if !leads || ctx.Done() != nil {
		db.forming.wait()
	}
	return db.last, db.forming, leads, nil
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

// head returns the state after every commit that has an offset, for reading only. The caller holds mu.
func (db *DB) head() *state {
	if made := db.forming.state; made != nil {
		return made
	}
	below := db.visible.settled()
	if db.flying != nil {
		below = db.flying.on(below)
	}
	return db.forming.on(below)
}

// append hands mutations to the log, which gives them their offset. The log refuses before it uses an offset, so what is
// applied follows the log in every case. No mutations are no commit: whoever read head waits for what it read, and nothing
// is written.
func (db *DB) append(mutations []Mutation, worked *state) error {
	if len(mutations) == 0 {
		return nil
	}
	now := db.now()
	size := recordSize(now, mutations)
	if size > db.opts.MaxCommitSize {
		return fmt.Errorf("%w: %d bytes encoded, limit %d", ErrCommitTooLarge, size, db.opts.MaxCommitSize)
	}
	db.record = appendRecord(db.record[:0], now, mutations)
	offset, _, err := db.log.Submit(db.record)
	if cap(db.record) > recordBufferMax {
		db.record = nil
	}
	if full := errors.Is(err, ErrNoSpace); full != db.full {
		if db.full = full; full {
			db.opts.Logger.Warn("disk is full: commits are refused until there is room", "dir", db.dir, "error", err)
		}
	}
	if err != nil {
		return err
	}
	if worked == nil && isLarge(mutations) {
		worked = db.head().clone()
		worked.apply(offset, mutations)
	}
	db.last = offset
	db.checkpoints.grew(size)
	if db.relaxed() {
		db.show(offset, mutations, worked)
		return nil
	}
	db.forming.add(offset, mutations, worked)
	return nil
}

// show makes a commit visible in a relaxed mode.
func (db *DB) show(offset uint64, mutations []Mutation, worked *state) {
	db.visible.mu.Lock()
	defer db.visible.mu.Unlock()
	if worked == nil {
		db.visible.apply(offset, mutations)
		return
	}
	worked.offset = offset
	db.visible.replace(worked)
}

// relaxed reports whether commits are visible once the log has them, rather than once they are durable.
func (db *DB) relaxed() bool { return db.opts.Sync != SyncAlways && !db.opts.ReadOnly }

// lead brings the group that is forming, of which the caller is one, to its end: visible where the log acknowledges it,
// failed where not.
func (db *DB) lead() error {
	// Those whom the end of the last group woke get to join. Otherwise the first of them would lead a group of one, and
	// every second sync would be for a single commit (measured with 64 writers: 31 commits a sync without this, 43 with).
	// A writer alone waits for nobody: where readers keep the processors busy he would be the last to get one again.
	if db.crowded.Load() {
		runtime.Gosched()
	}
	led := db.cut()
	if led.offset != 0 {
		if err := db.log.Wait(led.offset); err != nil {
			return db.fail(led, err)
		}
	}
	db.land(led)
	return nil
}

// cut ends the forming of a group and returns it.
func (db *DB) cut() *group {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.flying = db.forming
	db.crowded.Store(db.flying.size > 1)
	db.forming = groups.Get().(*group)
	return db.flying
}

// land makes a durable group visible, tells those who wait for it, and passes the leadership on. Where its commits are
// applied in place nobody has to wait for that but readers, so that whoever was told forms the next group meanwhile.
func (db *DB) land(led *group) {
	db.mu.Lock()
	v := &db.visible
	v.mu.Lock() // The lock of the store is held, so that head comes out either without the group or with all of it.
	db.flying = nil
	defer led.recycle()
	if led.state == nil && !v.shared() {
		defer v.mu.Unlock()
		v.offset.Store(max(led.offset, v.offset.Load()))
		led.end(nil)
		db.passLead()
		db.mu.Unlock()
		led.show(v)
		return
	}
	db.mu.Unlock()
	led.show(v)
	v.mu.Unlock()
	led.end(nil)
	db.mu.Lock()
	defer db.mu.Unlock()
	db.passLead()
}

// show makes the layer's commits visible. The caller holds v.mu.
func (l *layer) show(v *visibleState) {
	switch {
	case l.state != nil:
		v.replace(l.state)
	case l.offset != 0:
		v.apply(l.offset, l.mutations)
	}
}

// passLead lets one of the group that is forming lead it, if anybody is there. The caller holds mu.
func (db *DB) passLead() {
	if db.leading = db.forming.size > 0; db.leading {
		db.forming.lead <- struct{}{}
	}
}

// fail ends all writing. The group that is forming fails as well: its commits lie in the log behind those that failed.
func (db *DB) fail(led *group, err error) error {
	if !errors.Is(err, ErrFailed) {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.failed, db.record = err, nil
	led.end(err)
	db.forming.end(err)
	db.flying, db.forming, db.leading = nil, new(group), false
	return err
}

// Sync makes everything durable that was committed before the call; in the default mode that is so already. After an
// error the store has failed: see ErrFailed.
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
