package kv

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Snapshot is the store as of one instant, held until Close. It blocks nobody and goes on working when the store is
// closed. It costs the parts of the tree that change while it is held, at most the memory of the pairs that it shows;
// Stats tells how many are open and how old the oldest is. It may be used, and closed, by many goroutines at a time.
type Snapshot struct {
	state atomic.Pointer[state] // Nil once the snapshot is closed.
	now   int64
	entry heldEntry
	among *heldList
}

// Snapshot returns the state that readers see now, and holds it until Snapshot.Close is called: for reads that outlive a
// function. Where View will do, it is the better choice, since it can't be forgotten. The error is ErrClosed.
func (db *DB) Snapshot() (*Snapshot, error) {
	visible := db.visible.load()
	if visible == nil {
		return nil, ErrClosed
	}
	s := &Snapshot{now: db.now(), among: &db.held}
	s.state.Store(visible)
	s.among.add(&s.entry, s.now)
	return s, nil
}

// Close lets the state go. A scan under way goes on with what it sees. Calling Close again does nothing. The error is
// always nil; it is there so that a Snapshot is an io.Closer.
func (s *Snapshot) Close() error {
	if s.state.Swap(nil) != nil {
		s.among.remove(&s.entry)
	}
	return nil
}

// at returns what the snapshot shows, and whether it is still open.
func (s *Snapshot) at() (instant, bool) {
	held := s.state.Load()
	return instant{held, s.now}, held != nil
}

// Get returns the value of a key, read-only and valid for good. The error is ErrNotFound, ErrEmptyKey, ErrKeyTooLarge, or
// ErrTxDone after Close.
func (s *Snapshot) Get(key []byte) ([]byte, error) {
	at, open := s.at()
	if !open {
		return nil, ErrTxDone
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return at.get(key)
}

// Has reports whether there is a pair with that key. Errors are those of Get, but for ErrNotFound.
func (s *Snapshot) Has(key []byte) (bool, error) {
	_, err := s.Get(key)
	return found(err)
}

// Scan yields the pairs of a range in order, read-only and valid for good. After Close it yields nothing.
func (s *Snapshot) Scan(r Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if at, open := s.at(); open {
			at.scan(r)(yield)
		}
	}
}

// Count returns how many pairs Scan would yield, in time that grows with them. After Close it is 0.
func (s *Snapshot) Count(r Range) int {
	at, open := s.at()
	if !open {
		return 0
	}
	return at.count(r)
}

// First returns the pair of a range with the smallest key, whatever the range's Reverse and Limit say. There is none, and
// ok is false, in an empty range and after Close.
func (s *Snapshot) First(r Range) (key, value []byte, ok bool) {
	at, open := s.at()
	if !open {
		return nil, nil, false
	}
	return at.edge(r, false)
}

// Last returns the pair of a range with the greatest key, as First does the one with the smallest.
func (s *Snapshot) Last(r Range) (key, value []byte, ok bool) {
	at, open := s.at()
	if !open {
		return nil, nil, false
	}
	return at.edge(r, true)
}

// Offset returns the offset of the last commit that the snapshot shows. After Close it is 0.
func (s *Snapshot) Offset() uint64 {
	at, open := s.at()
	if !open {
		return 0
	}
	return at.state.offset
}

// heldEntry is the place of a View or a Snapshot in the list of those that are open.
type heldEntry struct {
	newer, older *heldEntry
	since        int64 // Nanoseconds since 1970.
}

// heldList is what is open, linked through the entries themselves so that a View allocates nothing for it. Its lock is
// held for a few instructions, and no other one is taken meanwhile.
type heldList struct {
	mu             sync.Mutex
	oldest, newest *heldEntry
	count          int
}

func (l *heldList) add(e *heldEntry, now int64) {
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

func (l *heldList) remove(e *heldEntry) {
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

// openSnapshots returns how many Views and Snapshots are open, and the age of the oldest.
func (db *DB) openSnapshots() (count int, oldest time.Duration) {
	db.held.mu.Lock()
	defer db.held.mu.Unlock()
	if db.held.oldest == nil {
		return 0, 0
	}
	return db.held.count, max(0, time.Duration(db.now()-db.held.oldest.since))
}
