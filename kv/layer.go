package kv

// largeCommit is from how many mutations on a commit is applied to a state that no reader has to wait for.
const largeCommit = 1024

// layer is commits that the log has and that readers don't see yet, one behind the other. Most are only ever applied to
// the visible state once they are durable. Who needs the state after them before that, as an Update does, makes it.
//
// Invariant: where state is set it has the mutations of every commit, and mutations is empty.
type layer struct {
	offset    uint64 // Of the last commit; 0 where there is none.
	mutations []Mutation
	state     *state
}

// add takes a commit, which has been applied already where worked is its state.
func (l *layer) add(offset uint64, mutations []Mutation, worked *state) {
	l.offset = offset
	switch {
	case worked != nil:
		worked.offset = offset
		l.state = worked
		l.forget()
	case l.state != nil:
		l.state.apply(offset, mutations)
	default:
		l.mutations = append(l.mutations, mutations...)
	}
}

// on returns the state after the layer's commits, which come on top of a state that is left as it is.
func (l *layer) on(below *state) *state {
	if l.offset == 0 {
		return below
	}
	if l.state == nil {
		l.state = below.clone()
		l.state.apply(l.offset, l.mutations)
		l.forget()
	}
	return l.state
}

// forget lets go of the mutations, but not of their array.
func (l *layer) forget() {
	clear(l.mutations)
	l.mutations = l.mutations[:0]
}

// reset makes the layer empty, for use again. The array of a large one is let go.
func (l *layer) reset() {
	l.forget()
	l.offset, l.state = 0, nil
	if cap(l.mutations) > largeCommit {
		l.mutations = nil
	}
}

// isLarge reports whether mutations may take long to apply: they are many, or may remove many pairs.
func isLarge(mutations []Mutation) bool {
	if len(mutations) >= largeCommit {
		return true
	}
	for i := range mutations {
		if mutations[i].Kind == MutationDeleteRange {
			return true
		}
	}
	return false
}
