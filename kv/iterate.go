package kv

import (
	"bytes"
	"iter"
	"runtime"
)

// Range says which pairs a scan yields, and in what order. The zero Range is every pair in the order of bytes.Compare.
type Range struct {
	Start   []byte // The first key, inclusive; empty is open.
	End     []byte // The key to stop before, exclusive; empty is open.
	Prefix  []byte // Only keys that begin with it; Start and End narrow it further.
	Reverse bool   // Descending order, from the last pair before End to Start.
	Limit   int    // The most pairs to yield; 0 or less is no limit.
}

// bounds returns the range as one interval, with empty for open, and whether any key can be in it.
func (r Range) bounds() (start, end []byte, possible bool) {
	start, end = r.Start, r.End
	if bytes.Compare(r.Prefix, start) > 0 {
		start = r.Prefix
	}
	after := afterPrefix(r.Prefix)
	if len(end) == 0 || (len(after) != 0 && bytes.Compare(after, end) < 0) {
		end = after
	}
	return start, end, len(end) == 0 || bytes.Compare(start, end) < 0
}

// afterPrefix returns the smallest key after all keys with that prefix; empty if there is none.
func afterPrefix(prefix []byte) []byte {
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

// lookahead stands between a walk over a tree and the consumer of its pairs. A pair that was put at another time than its
// neighbour lies elsewhere in memory, and reading one after the other would wait for each of them. So it gathers some pairs
// from the tree's nodes and reads a byte of each, which the processor does for many at a time, before it hands them on. Where
// pairs lie in the order of their keys, the processor prefetches them by itself: then it stops gathering for a while.
type lookahead struct {
	give   func(pair) bool // Gets the pairs; the walk is over once it returns false.
	pairs  [lookaheadMax]pair
	count  int
	size   int // How many are gathered: few at first, of which a short walk needs more than half.
	direct int // How many are handed on without that.
}

const (
	lookaheadMin = 4
	lookaheadMax = 32
	// directPairs is how many pairs are handed on before lookahead checks again whether they lie in order.
	directPairs = 8 * lookaheadMax
)

func newLookahead(give func(pair) bool) *lookahead { return &lookahead{give: give, size: lookaheadMin} }

// take takes the walk's next pair, and reports whether it should go on.
func (l *lookahead) take(p pair) bool {
	if l.direct > 0 {
		l.direct--
		return l.give(p)
	}
	l.pairs[l.count] = p
	l.count++
	return l.count < l.size || l.flush()
}

// flush hands on what was gathered, which is nothing where the walk was ended by give. It has to follow every walk.
func (l *lookahead) flush() bool {
	gathered := l.pairs[:l.count]
	l.count, l.size = 0, min(2*l.size, lookaheadMax)
	if touch(gathered) {
		l.direct = directPairs
	}
	for _, p := range gathered {
		if !l.give(p) {
			return false
		}
	}
	return true
}

// touch reads a byte of each pair's first two cache lines, and reports whether most of the pairs lie beside each other.
func touch(pairs []pair) (inOrder bool) {
	const cacheLine = 64
	neighbours, sum := 0, byte(0)
	for i, p := range pairs {
		memory := p.memory()
		if len(memory) > 0 {
			sum += memory[0]
		}
		if len(memory) > cacheLine {
			sum += memory[cacheLine]
		}
		if i > 0 && p.near(pairs[i-1]) {
			neighbours++
		}
	}
	runtime.KeepAlive(sum) // Otherwise the reads would be left out.
	return neighbours > len(pairs)/2
}
