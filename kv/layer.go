package kv

import (
	"slices"
	"sync"
)

// inPlaceMutations and inPlaceBytes are up to how much is applied to a state while its readers wait: some milliseconds.
const (
	inPlaceMutations = 4096
	inPlaceBytes     = 1 << 20
)

// layer is commits that the log has and that readers don't see yet: in the default mode those of one of the log's groups,
// which land together. They are applied to the visible state once they are durable, or to a clone before that for an Update.
//
// Invariant: where state is set it has the mutations of every commit, and batch is empty.
type layer struct {
	group  uint64 // The log's name for it.
	offset uint64 // Of the last commit.
	batch  Batch  // All their mutations.
	state  *state

	decoded []Mutation // In a follower, or of another replica: its mutations, in place of a batch.

	accepted uint64 // In a replica: what the state gets; otherwise 0.
	made     int64
}

// layerPool holds layers for use again.
var layerPool = sync.Pool{New: func() any { return new(layer) }}

// add takes a commit, which has been applied already where worked is its state. The batch may be changed afterwards.
func (l *layer) add(offset uint64, b *Batch, worked *state) {
	l.offset = offset
	switch {
	case worked != nil:
		l.state = worked
		l.batch.Reset()
	case l.state != nil:
		l.state.applyEncoded(offset, b.mutations())
	default:
		l.batch.append(b)
	}
}

// on returns the state after the layer's commits, which come on top of a state that is left as it is.
func (l *layer) on(below *state) *state {
	if l.state == nil {
		l.state = below.clone()
		l.state.applyEncoded(l.offset, l.batch.mutations())
		l.batch.Reset()
	}
	return l.state
}

// isLong reports whether readers should not wait while the layer is applied.
func (l *layer) isLong() bool { return l.batch.ranges > 0 || l.batch.isLong() || isLong(l.decoded) }

// isLong reports whether it takes long to apply mutations.
func isLong(decoded []Mutation) bool {
	return len(decoded) > inPlaceMutations || slices.ContainsFunc(decoded, func(m Mutation) bool { return m.Kind == MutationDeleteRange })
}

// recycle makes the layer empty, for use again. The memory of a large one is let go.
func (l *layer) recycle() {
	if cap(l.batch.record) > inPlaceBytes {
		l.batch.record = nil
	}
	l.batch.Reset()
	*l = layer{batch: l.batch}
	layerPool.Put(l)
}
