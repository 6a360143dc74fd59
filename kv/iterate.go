package kv

import (
	"bytes"
	"iter"
)

// Range says which pairs a scan yields, and in what order. The zero Range is every pair in the order of bytes.Compare.
type Range struct {
	Start   []byte // The first key, inclusive; empty is open.
	End     []byte // The key to stop before, exclusive; empty is open.
	Prefix  []byte // Only keys that begin with it; Start and End narrow it further.
	Reverse bool   // Descending order, from the last pair before End to Start.
	Limit   int    // The most pairs to yield; 0 or less is no limit.
	After   []byte // Only keys that come after it in the scan's order: the last key of a scan that this one resumes. Empty is none.
}

// bounds returns the range as one interval, with empty for open, and whether any key can be in it.
func (r Range) bounds() (start, end []byte, possible bool) {
	start, end = r.Start, r.End
	if bytes.Compare(r.Prefix, start) > 0 {
		start = r.Prefix
	}
	after := PrefixEnd(r.Prefix)
	if len(end) == 0 || (len(after) != 0 && bytes.Compare(after, end) < 0) {
		end = after
	}
	switch {
	case len(r.After) == 0:
	case !r.Reverse && bytes.Compare(r.After, start) >= 0:
		start = append(bytes.Clone(r.After), 0) // The smallest key after it.
	case r.Reverse && (len(end) == 0 || bytes.Compare(r.After, end) < 0):
		end = r.After
	}
	return start, end, len(end) == 0 || bytes.Compare(start, end) < 0
}

// PrefixEnd returns the smallest key after all keys with a prefix, for Range.End and DeleteRange. It is empty, which stands for
// past the last key, where there is none: for an empty prefix, and one of bytes 0xff alone.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			after := bytes.Clone(prefix[:i+1])
			after[i]++
			return after
		}
	}
	return nil
}

// scan returns the pairs of a range that are visible at an instant.
func (s *state) scan(r Range, now int64) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if 0 < r.Limit && r.Limit < lookaheadMin { // So few aren't worth what a lookahead costs.
			s.visit(r, now, func(it item) bool { return yield(it.key(), it.value()) })
			return
		}
		ahead := newLookahead(func(p pair) bool { return yield(p.key(), p.value()) })
		s.visit(r, now, func(it item) bool { return ahead.take(it.pair) })
		ahead.flush()
	}
}

// visit calls a function for the items of a range that are visible at an instant, in order, until it returns false.
func (s *state) visit(r Range, now int64, call func(it item) bool) {
	start, end, possible := r.bounds()
	if !possible {
		return
	}
	visited := 0
	walk := s.tree.ascend
	if r.Reverse {
		walk = s.tree.descend
	}
	walk(start, end, func(it item) bool {
		if it.expired(now) {
			return true
		}
		visited++
		return call(it) && visited != r.Limit
	})
}
