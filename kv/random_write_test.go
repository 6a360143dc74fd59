package kv

import (
	"context"
	"errors"
	"strings"
	"time"
)

// newValue draws a value's shape, and returns the number of a value that no other put of the run has.
func (r *randomRun) newValue() uint32 {
	r.serial++
	return r.serial*valueShapes + uint32(r.number("shape", valueShapes-1))
}

// drawDeadline draws a deadline around the present, or none.
func (r *randomRun) drawDeadline() uint32 {
	if r.number("has deadline", 4) != 4 {
		return 0
	}
	return r.ticks() + uint32(r.number("deadline", 6)) - 2
}

// drawKey draws a key, and often the one that was drawn last.
func (r *randomRun) drawKey() int {
	if key := r.number("key", modelKeyCount); key > 0 {
		r.lastKey = key - 1
	}
	return r.lastKey
}

func (r *randomRun) drawMutation() modelMutation {
	switch kind := r.number("mutation", 9); {
	case kind < 6:
		return modelMutation{MutationPut, r.drawKey(), 0, r.newValue(), r.drawDeadline()}
	case kind < 8:
		return modelMutation{kind: MutationDelete, key: r.drawKey()}
	}
	// Most of them cover few keys, so that there are some to be covered.
	start := r.number("start", len(modelBounds)-1)
	end := r.number("end", len(modelBounds)-1)
	if r.number("wide", 7) != 7 {
		end = min(start+r.number("width", 12), len(modelBounds)-1)
	}
	return modelMutation{kind: MutationDeleteRange, key: start, end: end}
}

// commit takes down the outcome of a commit that was to lead to a state. Where there is an error, and the outcome isn't
// unknown, nothing has changed.
func (r *randomRun) commit(next *modelState, offset uint64, err error) {
	next.offset = r.latest().offset + 1
	switch {
	case err == nil:
		r.require(offset == next.offset, "commit got offset %d, want %d", offset, next.offset)
		r.acknowledge(next)
	case errors.Is(err, ErrFailed):
		r.require(r.accident.met(diskFailure), "failed without a reason: %v", err)
		if !strings.Contains(err.Error(), "commit refused") {
			r.accident.unknown = next
		}
	}
}

func (r *randomRun) acknowledge(next *modelState) {
	r.states = append(r.states, next)
	r.acknowledged.Store(next.offset)
	if r.opts.Sync == SyncAlways {
		r.durable.Store(next.offset)
	}
}

// commitOne takes down the outcome of a commit of one mutation.
func (r *randomRun) commitOne(m modelMutation, offset uint64, err error) {
	next := r.latest().clone()
	next.apply(m)
	r.commit(next, offset, err)
	if !errors.Is(err, ErrNoSpace) {
		r.requireExpected(err, m.size(), 1)
	}
}

// requireExpected requires that a commit had no error, or that of an accident, or that of a commit over the limit. The
// encoding adds something to the mutations' bytes, but not much.
func (r *randomRun) requireExpected(err error, size, mutations int) {
	limit := r.opts.MaxCommitSize
	switch {
	case err == nil:
		r.require(limit == 0 || size <= limit, "a commit of %d bytes is over the limit, %d", size, limit)
	case errors.Is(err, ErrCommitTooLarge):
		r.require(limit > 0 && size+40*(mutations+1) > limit, "a commit of %d bytes: %v", size, err)
	case errors.Is(err, ErrFailed):
	default:
		r.Fatalf("commit: %v", err)
	}
}

func (r *randomRun) put() { _ = r.putOne() }

func (r *randomRun) putOne() error {
	m := modelMutation{kind: MutationPut, key: r.drawKey(), value: r.newValue()}
	offset, err := r.db.Put(modelKeys[m.key], modelValue(nil, m.value))
	r.commitOne(m, offset, err)
	return err
}

func (r *randomRun) putTTL() {
	ttl := r.number("ttl", 12) + 1
	m := modelMutation{MutationPut, r.drawKey(), 0, r.newValue(), r.ticks() + uint32(ttl)}
	offset, err := r.db.PutTTL(modelKeys[m.key], modelValue(nil, m.value), time.Duration(ttl)*clockTick)
	r.commitOne(m, offset, err)
}

func (r *randomRun) delete() {
	m := modelMutation{kind: MutationDelete, key: r.drawKey()}
	offset, err := r.db.Delete(modelKeys[m.key])
	r.commitOne(m, offset, err)
}

func (r *randomRun) apply() {
	var b Batch
	next, size := r.latest().clone(), 0
	for range 1 + r.number("mutations", 6) {
		m := r.drawMutation()
		m.addTo(&b)
		next.apply(m)
		size += m.size()
	}
	ctx, cancel := r.drawContext()
	defer cancel()
	offset, err := r.db.ApplyContext(ctx, &b)
	r.commit(next, offset, err)
	r.requireExpected(err, size, b.Len())
}

// drawContext draws whether a call gets a context that can end, which has it waited for in another way.
func (r *randomRun) drawContext() (context.Context, context.CancelFunc) {
	if r.number("context", 7) == 7 {
		return context.WithCancel(context.Background())
	}
	return context.Background(), func() {}
}

// refusals are calls that must change nothing.
func (r *randomRun) refusals() {
	var b Batch
	b.Put(modelKeys[r.drawKey()], nil)
	b.Delete(nil)
	_, err := r.db.Apply(&b)
	r.require(errors.Is(err, ErrEmptyKey), "a batch with an empty key: %v", err)
	_, err = r.db.PutTTL(modelKeys[r.drawKey()], nil, 0)
	r.require(errors.Is(err, ErrInvalidTTL), "no time to live: %v", err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Reset()
	b.DeleteRange(nil, nil)
	_, err = r.db.ApplyContext(ctx, &b)
	r.require(errors.Is(err, context.Canceled), "a context that is over: %v", err)
	offset, err := r.db.Apply(&Batch{})
	r.require(err == nil && offset == r.latest().offset || r.accident.met(diskFailure), "an empty batch: %d, %v", offset, err)
	_, err = r.db.Get(nil)
	r.require(errors.Is(err, ErrEmptyKey), "an empty key: %v", err)
}

// fullDisk leaves next to no space, in which some commits may fit still, and then all that is needed.
func (r *randomRun) fullDisk() {
	const capacity = 1 << 40
	r.mem.SetCapacity(capacity)
	free, err := r.mem.FreeSpace(storeDir)
	if err != nil {
		r.Fatal(err)
	}
	r.mem.SetCapacity(capacity - free + int64(r.number("blocks left", 2))<<12)
	defer r.mem.SetCapacity(0)
	for range 1 + r.number("puts", 8) {
		if err := r.putOne(); errors.Is(err, ErrNoSpace) {
			r.tally["met full disk"]++
			break
		}
		if r.accident.happened() {
			return
		}
	}
	r.requireAll(r.db, "after a full disk")
	r.mem.SetCapacity(0)
	_ = r.putOne()
}

// sync makes the history end: no power cut can take anything of it any more.
func (r *randomRun) sync() {
	if err := r.db.Sync(); err == nil {
		r.durable.Store(r.latest().offset)
	} else {
		r.require(r.accident.met(diskFailure), "sync: %v", err)
	}
}

// checkpoint takes a checkpoint, which makes everything durable that it shows.
func (r *randomRun) checkpoint() {
	offset, err := r.db.Checkpoint(context.Background())
	if err == nil {
		r.require(offset == r.latest().offset, "checkpoint: offset %d, want %d", offset, r.latest().offset)
		r.durable.Store(offset)
	} else {
		r.require(r.accident.met(diskFailure), "checkpoint: %v", err)
	}
}

// clock lets time pass.
func (r *randomRun) clock() { r.now.Add(1 + int64(r.number("ticks", 9))) }

// sweep deletes what has expired, which changes nothing that can be seen. Without such a pair it makes no commit.
func (r *randomRun) sweep() {
	due := func() bool { return headOf(r.db).deadlines.next() <= r.clockNow().UnixNano() }
	for !r.accident.happened() {
		expired := due()
		offset, _, err := r.db.sweep(sweepMost, false)
		if !expired {
			r.require(err == nil && offset == r.latest().offset || r.accident.met(diskFailure), "a sweep of nothing: %d, %v", offset, err)
			return
		}
		r.tally["met expired pairs"]++
		r.commit(r.latest().clone(), offset, err)
		r.require(err == nil || errors.Is(err, ErrFailed), "sweep: %v", err)
	}
}
