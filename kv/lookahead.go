package kv

import "runtime"

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
