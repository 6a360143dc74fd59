package kv

import (
	"iter"
	"sync"
	"time"
)

// ReadView is the store as of one instant, held until Close. It blocks nothing and goes on working when the store is
// closed. It costs the parts of the tree that change while it is held, a node of up to 1.5 KB for a change, and at most the memory of the
// pairs that it shows. Of many views each costs that for the changes up to the next one: a hundred views of a store, between two of
// which a hundredth of its pairs was overwritten, take nine times its memory. Stats says how many are open and how old the oldest is. It may be used, and closed, by many goroutines at a time. After
// Close its methods return ErrTxDone, and starting a Scan panics with it.
type ReadView struct{ reader }

// ReadView returns what readers see now, and holds it until its Close, which a View doesn't need. The error is ErrClosed.
func (db *DB) ReadView() (*ReadView, error) {
	visible := db.visible.load()
	if visible == nil {
		return nil, ErrClosed
	}
	now := db.now()
	return db.newReadView(visible, now, now), nil
}

// newReadView returns a view, open from now on, of a state as of a moment.
func (db *DB) newReadView(shown *state, moment, now int64) *ReadView {
	v := &ReadView{reader{now: moment, among: &db.views}}
	v.state.Store(shown)
	v.among.add(&v.entry, now)
	return v
}

// Scan is DB.Scan for what the view shows. After Close it panics with ErrTxDone, but a scan in progress goes on with what it sees.
func (v *ReadView) Scan(over Range) iter.Seq2[[]byte, []byte] {
	return v.pairs(func(seen *state) iter.Seq2[[]byte, []byte] { return seen.scan(over, v.now) })
}

// ScanIndex is DB.ScanIndex for what the view shows. After Close it is as Scan.
func (v *ReadView) ScanIndex(name string, over Range) iter.Seq2[[]byte, []byte] {
	return v.pairs(func(seen *state) iter.Seq2[[]byte, []byte] { return seen.scanIndex(name, over, v.now) })
}

// pairs yields the pairs that scan finds in the state.
func (v *ReadView) pairs(scan func(seen *state) iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		seen := v.state.Load()
		if seen == nil {
			panic(ErrTxDone)
		}
		scan(seen)(yield)
	}
}

// Close lets the state go. Calling it again does nothing. The error is always nil: it makes a ReadView an io.Closer.
func (v *ReadView) Close() error {
	if v.state.Swap(nil) != nil {
		v.among.remove(&v.entry)
	}
	return nil
}

// viewEntry is an open View or ReadView in the list of them.
type viewEntry struct {
	since int64 // Nanoseconds since 1970.
	place int   // In the list.
}

// viewList holds the open views, in no order. Its lock is held for a few instructions, and no other one is taken meanwhile.
type viewList struct {
	mu   sync.Mutex
	list []*viewEntry
}

func (l *viewList) add(e *viewEntry, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.since, e.place = now, len(l.list)
	l.list = append(l.list, e)
}

func (l *viewList) remove(e *viewEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.list) - 1
	l.list[e.place], l.list[last].place = l.list[last], e.place
	l.list[last] = nil
	l.list = l.list[:last]
}

// open returns how many views are open, and the age of the oldest.
func (l *viewList) open(now int64) (count int, oldest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		oldest = max(oldest, time.Duration(now-e.since))
	}
	return len(l.list), oldest
}
