package kv

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// ReadView is the store as of one instant, held until Close. It blocks nothing and goes on working when the store is
// closed. It costs the parts of the tree that change while it is held, at most the memory of the pairs that it shows;
// Stats says how many are open and how old the oldest is. It may be used, and closed, by many goroutines at a time.
type ReadView struct {
	state atomic.Pointer[state] // Nil once the view is closed.
	now   int64
	entry viewEntry
	among *viewList
}

// ReadView returns the state that readers see now, and holds it until ReadView.Close is called: for reads that outlive a
// function. Where View will do, it is the better choice, since it can't be forgotten. The error is ErrClosed.
func (db *DB) ReadView() (*ReadView, error) {
	visible := db.visible.load()
	if visible == nil {
		return nil, ErrClosed
	}
	return db.newReadView(visible, db.now()), nil
}

// newReadView returns an open view of a state as of a moment.
func (db *DB) newReadView(shown *state, now int64) *ReadView {
	v := &ReadView{now: now, among: &db.views}
	v.state.Store(shown)
	v.among.add(&v.entry, db.now())
	return v
}

// Close lets the state go. A scan in progress goes on with what it sees. Calling Close again does nothing. The error is
// always nil; it is there so that a ReadView is an io.Closer.
func (v *ReadView) Close() error {
	if v.state.Swap(nil) != nil {
		v.among.remove(&v.entry)
	}
	return nil
}

// at returns what the view shows, and whether it is still open.
func (v *ReadView) at() (instant, bool) {
	held := v.state.Load()
	return instant{held, v.now}, held != nil
}

// Get returns the value of a key, read-only and valid for good. The error is ErrNotFound, ErrEmptyKey, ErrKeyTooLarge, or
// ErrTxDone after Close.
func (v *ReadView) Get(key []byte) ([]byte, error) {
	at, open := v.at()
	if !open {
		return nil, ErrTxDone
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return at.get(key)
}

// Has reports whether there is a pair with that key. Errors are those of Get, but for ErrNotFound.
func (v *ReadView) Has(key []byte) (bool, error) {
	_, err := v.Get(key)
	return found(err)
}

// Scan yields the pairs of a range in order, read-only and valid for good. After Close it yields nothing.
func (v *ReadView) Scan(r Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if at, open := v.at(); open {
			at.scan(r)(yield)
		}
	}
}

// Count returns how many pairs Scan would yield, in time that grows with them. After Close it is 0.
func (v *ReadView) Count(r Range) int {
	at, open := v.at()
	if !open {
		return 0
	}
	return at.count(r)
}

// First returns the pair of a range with the smallest key, whatever the range's Reverse and Limit say. There is none, and
// ok is false, in an empty range and after Close.
func (v *ReadView) First(r Range) (key, value []byte, ok bool) { return v.edge(r, false) }

// Last returns the pair of a range with the greatest key, as First does the one with the smallest.
func (v *ReadView) Last(r Range) (key, value []byte, ok bool) { return v.edge(r, true) }

func (v *ReadView) edge(r Range, last bool) (key, value []byte, ok bool) {
	at, open := v.at()
	if !open {
		return nil, nil, false
	}
	return at.edge(r, last)
}

// Offset returns the offset of the last commit that the view shows. After Close it is 0.
func (v *ReadView) Offset() uint64 {
	at, open := v.at()
	if !open {
		return 0
	}
	return at.state.offset
}

// viewEntry is the place of a View or a ReadView in the list of open ones.
type viewEntry struct {
	newer, older *viewEntry
	since        int64 // Nanoseconds since 1970.
}

// viewList holds the open views, linked through the entries themselves so that a View allocates nothing for it. Its lock is
// held for a few instructions, and no other one is taken meanwhile.
type viewList struct {
	mu             sync.Mutex
	oldest, newest *viewEntry
	count          int
}

func (l *viewList) add(e *viewEntry, now int64) {
	e.since = now
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.older = l.newest; e.older == nil {
		l.oldest = e
	} else {
		e.older.newer = e
	}
	l.newest = e
	l.count++
}

func (l *viewList) remove(e *viewEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.older == nil {
		l.oldest = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		l.newest = e.older
	} else {
		e.newer.older = e.older
	}
	e.newer, e.older = nil, nil
	l.count--
}

// open returns how many views are open, and the age of the oldest.
func (l *viewList) open(now int64) (count int, oldest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.oldest == nil {
		return 0, 0
	}
	return l.count, max(0, time.Duration(now-l.oldest.since))
}
