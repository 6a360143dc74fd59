package kv

import (
	"errors"
	"iter"
	"sync/atomic"
)

// reader reads one state as of one moment, for a Tx or a ReadView. Whether a pair has expired doesn't change while it is used.
type reader struct {
	state  atomic.Pointer[state] // Nil once it is over.
	now    int64                 // Nanoseconds since 1970.
	entry  viewEntry
	among  *viewList // Where entry is; nil in an Update.
	update *update   // Nil but in an Update.
}

// Offset returns the offset of the last commit that it sees, 0 once it is over.
func (r *reader) Offset() uint64 {
	if seen := r.state.Load(); seen != nil {
		return seen.offset
	}
	return 0
}

// Get returns the value of a key, read-only and valid for good. The error is ErrTxDone, or one of DB.Get.
func (r *reader) Get(key []byte) ([]byte, error) {
	seen := r.state.Load()
	if seen == nil {
		return nil, ErrTxDone
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if r.update != nil {
		if m := r.update.pendingFor(key); m != nil {
			return m.outcome(r.now)
		}
	}
	return seen.get(key, func() int64 { return r.now })
}

// Has reports whether there is a pair with that key. Errors are those of Get, but for ErrNotFound.
func (r *reader) Has(key []byte) (bool, error) {
	_, err := r.Get(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Scan yields the pairs of a range in order, read-only and valid for good, as they are seen when the iteration starts: what
// a transaction writes while it iterates does not show in that iteration, so writing while iterating is safe. It
// panics with ErrTxDone if the transaction or view is over when the iteration starts, since no pairs would mean an empty range. An
// iteration in progress ends with its transaction. The range's bounds must not be changed while it goes on.
func (r *reader) Scan(over Range) iter.Seq2[[]byte, []byte] {
	return r.iterate(func(seen *state) iter.Seq2[[]byte, []byte] { return seen.scan(over, r.now) })
}

// ScanIndex is DB.ScanIndex for what the transaction or view sees, as Scan is DB.Scan.
func (r *reader) ScanIndex(name string, over Range) iter.Seq2[[]byte, []byte] {
	return r.iterate(func(seen *state) iter.Seq2[[]byte, []byte] { return seen.scanIndex(name, over, r.now) })
}

// iterate yields the pairs that scan finds in the state as it is when the iteration starts.
func (r *reader) iterate(scan func(seen *state) iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		seen := r.applied()
		if seen == nil {
			panic(ErrTxDone)
		}
		if r.update != nil {
			r.update.scans++
			defer func() {
				if r.state.Load() == seen { // Otherwise a later clone has taken its place.
					r.update.scans--
				}
			}()
		}
		for key, value := range scan(seen) {
			// An iteration may be suspended, by iter.Pull, until others may change the tree that it is in.
			if !yield(key, value) || r.state.Load() == nil {
				return
			}
		}
	}
}

// Count returns how many pairs Scan would yield, in time that grows with them. The error is ErrTxDone.
func (r *reader) Count(over Range) (pairs int, err error) {
	seen := r.applied()
	if seen == nil {
		return 0, ErrTxDone
	}
	return seen.pairs(over, r.now), nil
}

// First returns the pair of a range with the smallest key, read-only and valid for good. The range's Reverse and Limit don't
// count. The error is ErrNotFound where the range holds no pair, or ErrTxDone.
func (r *reader) First(over Range) (key, value []byte, err error) { return r.edge(over, false) }

// Last returns the pair of a range with the greatest key, as First does the one with the smallest.
func (r *reader) Last(over Range) (key, value []byte, err error) { return r.edge(over, true) }

func (r *reader) edge(over Range, last bool) (key, value []byte, err error) {
	seen := r.applied()
	if seen == nil {
		return nil, nil, ErrTxDone
	}
	return seen.edge(over, r.now, last)
}

// applied returns the state with every mutation so far in it, nil once it is over.
func (r *reader) applied() *state {
	seen, u := r.state.Load(), r.update
	if seen == nil || u == nil || len(u.pending) == 0 {
		return seen
	}
	if !u.owned || u.scans > 0 {
		seen = seen.clone()
		r.state.Store(seen)
		u.owned, u.scans = true, 0
	}
	for i := range u.pending {
		seen.mutate(&u.pending[i])
	}
	u.pending = u.pending[:0]
	return seen
}
