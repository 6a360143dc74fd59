package kv

import (
	"errors"
	"iter"
)

// instant is a state as of a moment: what a View, an Update or a ReadView reads. Pairs whose deadline is behind that
// moment are not in it, whatever the clock says later, so that it looks the same for as long as it is held.
type instant struct {
	state *state
	now   int64 // Nanoseconds since 1970.
}

func (at instant) get(key []byte) ([]byte, error) {
	return at.state.get(key, func() int64 { return at.now })
}

func (at instant) scan(r Range) iter.Seq2[[]byte, []byte] { return at.state.scan(r, at.now) }

// count walks the range, since a pair that has expired is in the tree and doesn't count.
func (at instant) count(r Range) int {
	pairs := 0
	at.state.visit(r, at.now, func(item) bool {
		pairs++
		return true
	})
	return pairs
}

// edge returns the first pair of a range in ascending order of keys, or the last.
func (at instant) edge(r Range, last bool) (key, value []byte, ok bool) {
	r.Reverse, r.Limit = last, 1
	for key, value := range at.scan(r) {
		return key, value, true
	}
	return nil, nil, false
}

// found turns the outcome of a get into whether there is such a pair.
func found(err error) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
