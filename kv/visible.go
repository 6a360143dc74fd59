package kv

import (
	"context"
	"sync"
	"sync/atomic"
)

// readsToPublish is how many reads of a key have to find nothing published, with no commit between them, before one of
// them publishes. A clone for each read would cost a commit several times its price.
const readsToPublish = 32

// publishAhead is how many states are published in a row once a commit has found the state published. With many readers, each
// would otherwise take the lock after every commit, and one preempted while holding it would stall the next commit.
const publishAhead = 16

// visibleState is the state that readers see, and how the next commits get into it.
//
// A commit is applied in place while nothing else has the state and it is short, so that a put costs no more than its item.
// A reader that needs the state for longer than a moment publishes it, and so do many reads of keys: from then on reading is
// loading a pointer, and the next commit goes into a clone. So clones are made for readers, never for a writer alone.
//
// Invariants:
//   - published is nil or current, and what it points to is never changed;
//   - current is changed, or replaced, by one goroutine at a time, which holds mu; it is nil once the store is closed.
type visibleState struct {
	published atomic.Pointer[state]
	offset    atomic.Uint64             // Of the last visible commit.
	reads     atomic.Int32              // Reads of a key that found nothing published since the last commit.
	loose     atomic.Bool               // The tree wants to be tightened.
	clones    timer                     // How long clones take.
	overdue   atomic.Pointer[indexLoad] // What a commit waits for before it is made; nil for nothing.
	sweep     func()                    // Called, with mu held, with a current state that has deadlines; nil where nothing may be swept.

	mu      sync.RWMutex // Held while commits are applied in place, and shared to read or publish what isn't published.
	current *state
	ahead   int           // How many of the next publishAhead states are left; changed with current.
	awaited chan struct{} // Closed at the next change, or once ended is set; nil while nothing waits.
	ended   error         // Why nothing more will be visible; nil while more may be.
}

// start makes a state visible before the store is in use.
func (v *visibleState) start(s *state) {
	v.current = s
	v.offset.Store(s.offset)
}

// load returns what readers see now, nil in a closed store. It is never changed.
func (v *visibleState) load() *state {
	if s := v.published.Load(); s != nil {
		return s
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	v.published.Store(v.current)
	return v.current
}

func (v *visibleState) get(key []byte, now func() int64) ([]byte, error) {
	if s := v.published.Load(); s != nil {
		return s.get(key, now)
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return nil, ErrClosed
	}
	if v.reads.Add(1) >= readsToPublish {
		v.published.Store(v.current)
	}
	return v.current.get(key, now)
}

// holdsMany reports whether the ranges that a batch deletes hold many pairs.
func (v *visibleState) holdsMany(b *Batch) bool {
	if b.ranges > inPlaceMutations {
		return true
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	many, rest := 0, b.mutations()
	for len(rest) > 0 && v.current != nil {
		var m Mutation
		if rest = m.next(rest); m.Kind == MutationDeleteRange {
			v.current.tree.ascend(m.Key, m.End, func(item) bool {
				many++
				return many <= inPlaceMutations
			})
		}
	}
	return many > inPlaceMutations
}

// show makes a layer's commits visible. The caller holds mu.
func (v *visibleState) show(l *layer) {
	if l.state != nil {
		v.replace(l.state)
		return
	}
	next, shared := v.current, v.published.Load() != nil
	if shared && v.ahead == 0 {
		v.ahead = publishAhead
	}
	if shared || l.isLong() {
		v.published.Store(next)
		started := v.clones.start()
		next = next.clone()
		v.clones.stop(started)
	}
	switch next.offset = l.offset; {
	case l.batch.ready != nil:
		l.batch.ready.apply(next)
	case l.decoded != nil:
		next.apply(l.offset, l.decoded)
	default:
		next.applyEncoded(l.offset, l.batch.mutations())
	}
	if l.accepted != 0 {
		next.accepted, next.made = l.accepted, l.made
	}
	v.replace(next)
	if v.ahead > 0 {
		v.ahead--
	}
	if v.ahead > 0 {
		v.published.Store(next)
	}
}

// replace makes a state visible that nothing else will change. The caller holds mu.
func (v *visibleState) replace(next *state) {
	if v.reads.Load() != 0 {
		v.reads.Store(0)
	}
	if next.tree.loose != v.loose.Load() {
		v.loose.Store(next.tree.loose)
	}
	if overdue := next.indexes.overdue(); overdue != v.overdue.Load() {
		v.overdue.Store(overdue)
	}
	v.current = next
	v.published.Store(nil)
	v.offset.Store(next.offset) // After that, so that a Get sees what a watcher was given since this offset is visible.
	v.wake()
	if v.sweep != nil && next.deadlines.len() > 0 {
		v.sweep()
	}
}

// wake wakes what waits for a change. The caller holds mu.
func (v *visibleState) wake() {
	if v.awaited != nil {
		close(v.awaited)
		v.awaited = nil
	}
}

// await waits until a commit is visible. The error says why it never will be, or is ctx's.
func (v *visibleState) await(ctx context.Context, offset uint64) error {
	for v.offset.Load() < offset {
		changed, err := v.change(offset)
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// change returns a channel that is closed once something changes, for callers to which a commit isn't visible yet.
func (v *visibleState) change(offset uint64) (changed <-chan struct{}, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.awaited == nil {
		v.awaited = make(chan struct{})
	}
	changed = v.awaited
	switch {
	case v.offset.Load() >= offset:
		v.wake()
	case v.ended != nil:
		err = v.ended
	}
	return changed, err
}

// end says that nothing more will be visible.
func (v *visibleState) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = err
	v.wake()
}

func (v *visibleState) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = nil
	v.published.Store(nil)
	v.offset.Store(0)
	v.ended = ErrClosed
	v.wake()
}
