package kv

// state is what a store holds after a commit: the pairs, and the commit's offset. The same commits in the same order make the
// same state: no clock and no chance is in it, and a pair whose deadline has passed stays until a mutation removes it.
//
// A state is changed by one goroutine alone, or read by any number. Invariants: applied offsets only grow; dataBytes and sum are
// sums over all items of the tree, deadlines the index of those that have one; indexes, where there are any, have the tree's pairs.
type state struct {
	tree      tree
	offset    uint64 // The last commit applied, 0 before the first; in a replica, the last entry.
	accepted  uint64 // In a replica: the last commit applied.
	made      int64  // In a replica: when that was made, in nanoseconds since 1970.
	dataBytes int64  // Bytes of keys and values.
	sum       uint64 // Of pairSum, modulo 2^64.
	deadlines deadlines
	indexes   *indexes
}

func newState() *state { return &state{tree: newTree()} }

// clone returns a second, equal state in constant time. It counts as a change of the first one.
func (s *state) clone() *state {
	second := *s
	second.tree, second.deadlines, second.indexes = s.tree.clone(), s.deadlines.clone(), s.indexes.clone()
	return &second
}

// apply makes the commit of that offset. What the mutations point to belongs to the state and must never be changed.
func (s *state) apply(offset uint64, mutations []Mutation) {
	for i := range mutations {
		s.mutate(&mutations[i])
	}
	s.offset = offset
}

// applyEncoded is apply for the mutations of batches. It copies what the state keeps.
func (s *state) applyEncoded(offset uint64, mutations []byte) {
	var m Mutation
	for len(mutations) > 0 {
		mutations = m.next(mutations)
		s.mutate(&m)
	}
	s.offset = offset
}

func (s *state) mutate(m *Mutation) {
	switch m.Kind {
	case MutationPut:
		s.put(m.ownedPair(), nil)
	case MutationDelete:
		s.remove(m.Key)
	case MutationDeleteRange:
		s.removeRange(m.Key, m.End, nil)
	}
}

// put puts a pair, whose index entries may be known; otherwise known is nil.
func (s *state) put(p pair, known *keying) {
	old, _ := s.tree.put(p)
	s.count(old.pair, -1)
	s.count(p, 1)
	s.indexes.change(old.pair, p, known)
}

// remove removes the pair with a key, if there is one.
func (s *state) remove(key []byte) {
	old, _ := s.tree.remove(key)
	s.count(old.pair, -1)
	s.indexes.change(old.pair, pair{}, nil)
}

// removeRange removes the pairs with start <= key < end, but for those that keep wants to stay, if it is set.
func (s *state) removeRange(start, end []byte, keep func(key []byte) bool) {
	if len(start) == 0 && len(end) == 0 && keep == nil {
		s.indexes.clear()
		*s = state{tree: newTree(), offset: s.offset, accepted: s.accepted, made: s.made, indexes: s.indexes}
		return
	}
	s.tree.removeRange(start, end, func(it item) bool {
		if keep != nil && keep(it.key()) {
			return false
		}
		s.count(it.pair, -1)
		s.indexes.change(it.pair, pair{}, nil)
		return true
	})
}

// count adds a pair to the sums, or takes it out of them where times is -1. No pair is the zero pair.
func (s *state) count(p pair, times int) {
	if p.keySize == 0 {
		return
	}
	s.dataBytes += int64(times) * p.size()
	s.sum += uint64(times) * pairSum(p.key(), p.value(), p.deadline())
	if p.hasDeadline() {
		s.deadlines.count(p, times)
	}
}

// get returns the value of a key at an instant that now returns. It asks for the instant only where a deadline needs it.
func (s *state) get(key []byte, now func() int64) ([]byte, error) {
	it, found := s.tree.get(key)
	if !found || (it.hasDeadline() && it.expired(now())) {
		return nil, ErrNotFound
	}
	return it.value(), nil
}
