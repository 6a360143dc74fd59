package kv

import (
	"sync"
	"sync/atomic"
)

// readsToPublish is how many reads of a key have to find nothing published, with no commit between them, before one of
// them publishes. Where commits come as fast as reads, a clone for each read would cost a commit several times its price.
const readsToPublish = 32

// publishAhead is the commits, from one that found the state published, until readers have to ask again: the states of those
// between are published at once. Where many read, each of them would otherwise ask under the lock after every commit, and
// whoever of them loses his processor there holds up the next commit.
const publishAhead = 16

// visibleState is the state that readers see, and how the next commits get into it.
//
// A commit is applied in place while nobody else has the state, so that a put costs no more than its item. Whoever needs the
// state for longer than a moment publishes it, and so do many reads of keys: from then on reading is loading a pointer, and
// the next commit goes into a clone. The clones of a few commits are published at once, since those who read do so again, and
// then none is before somebody asks. So clones are made for those who read, and a writer alone makes none.
//
// Invariants:
//   - published is nil or current, and what it points to is never changed;
//   - current is changed, or replaced, by one goroutine at a time, which holds mu;
//   - current is nil once the store is closed.
type visibleState struct {
	published atomic.Pointer[state]
	offset    atomic.Uint64 // Of the last visible commit.
	reads     atomic.Int32  // Reads of a key that found nothing published since the last commit.
	clones    timer         // How long clones take.

	mu      sync.RWMutex // Held while commits are applied in place, and shared to read or publish what isn't published.
	current *state
	ahead   int // Of the commits in publishAhead, those to come; changed with current.
}

// start makes a state visible before anybody else has the store.
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

// get returns the value of a key, or ErrClosed.
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

// settled returns the state after every commit that is visible, or being made so, for the one goroutine that decides
// what comes next.
func (v *visibleState) settled() *state {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.current
}

// shared reports whether readers have the state as it is. The caller holds mu.
func (v *visibleState) shared() bool { return v.published.Load() != nil }

// apply makes commits visible, the last of which has that offset. Those who have read the published state go on reading
// it meanwhile, others wait. The caller holds mu.
func (v *visibleState) apply(offset uint64, mutations []Mutation) {
	next := v.current
	if v.shared() {
		started := v.clones.start()
		next = next.clone()
		v.clones.stop(started)
		if v.ahead == 0 {
			v.ahead = publishAhead
		}
	}
	next.apply(offset, mutations)
	v.replace(next)
	if v.ahead > 0 {
		v.ahead--
	}
	if v.ahead > 0 {
		v.published.Store(next)
	}
}

// replace makes a state visible that nobody else will change. The caller holds mu.
func (v *visibleState) replace(next *state) {
	v.offset.Store(next.offset)
	if v.reads.Load() != 0 {
		v.reads.Store(0)
	}
	v.current = next
	v.published.Store(nil)
}

// close lets the state go.
func (v *visibleState) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = nil
	v.published.Store(nil)
	v.offset.Store(0)
}
