package kv

import "errors"

// Has reports whether there is a visible pair with that key. Errors are those of Get, but for ErrNotFound. It allocates nothing.
func (db *DB) Has(key []byte) (bool, error) {
	_, err := db.Get(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Count returns how many pairs of a range are visible, in time that grows with them. Writers don't wait for it. The error is
// ErrClosed.
func (db *DB) Count(r Range) (pairs int, err error) {
	visible := db.visible.load()
	if visible == nil {
		return 0, ErrClosed
	}
	return visible.pairs(r, db.now()), nil
}

// First returns the visible pair of a range with the smallest key, read-only and valid for good. The range's Reverse and Limit
// don't count. The error is ErrNotFound where the range holds no pair, or ErrClosed.
func (db *DB) First(r Range) (key, value []byte, err error) { return db.edge(r, false) }

// Last returns the visible pair of a range with the greatest key, as First does the one with the smallest.
func (db *DB) Last(r Range) (key, value []byte, err error) { return db.edge(r, true) }

func (db *DB) edge(r Range, last bool) (key, value []byte, err error) {
	visible := db.visible.load()
	if visible == nil {
		return nil, nil, ErrClosed
	}
	return visible.edge(r, db.now(), last)
}

// pairs returns how many pairs of a range are visible at an instant.
func (s *state) pairs(r Range, now int64) (count int) {
	s.visit(r, now, func(item) bool {
		count++
		return true
	})
	return count
}

// edge returns the first or the last pair of a range that is visible at an instant, in the order of keys.
func (s *state) edge(r Range, now int64, last bool) (key, value []byte, err error) {
	r.Reverse = false // So that After means the same for both.
	start, end, possible := r.bounds()
	if !possible {
		return nil, nil, ErrNotFound
	}
	err = ErrNotFound
	s.visit(Range{Start: start, End: end, Reverse: last, Limit: 1}, now, func(it item) bool {
		key, value, err = it.key(), it.value(), nil
		return false
	})
	return key, value, err
}
