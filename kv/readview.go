package kv

import (
	"iter"
	"sync"
	"time"
)

// ReadView is the store as of one instant, held until Close. It blocks nothing and goes on working when the store is
// closed. It costs the parts of the tree that change while it is held, at most the memory of the pairs that it shows;
// Stats says how many are open and how old the oldest is. It may be used, and closed, by many goroutines at a time. After
// Close its methods return ErrTxDone, or nothing where they have no error.
type ReadView struct {
	reader
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
	v := &ReadView{reader{now: now}, &db.views}
	v.state.Store(shown)
	v.among.add(&v.entry, db.now())
	return v
}

// Scan yields the pairs of a range in order, read-only and valid for good. After Close it yields nothing, but a scan in progress
// goes on with what it sees.
func (v *ReadView) Scan(over Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if seen := v.state.Load(); seen != nil {
			seen.scan(over, v.now)(yield)
		}
	}
}

// Close lets the state go. A scan in progress goes on with what it sees. Calling Close again does nothing. The error is
// always nil; it is there so that a ReadView is an io.Closer.
func (v *ReadView) Close() error {
	if v.state.Swap(nil) != nil {
		v.among.remove(&v.entry)
	}
	return nil
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
