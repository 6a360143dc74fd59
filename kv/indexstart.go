package kv

import (
	"fmt"
	"iter"
)

const (
	indexChunk  = 4096 // Changes in a chunk.
	indexChunks = 8    // Chunks that an index may have to catch up with, before a start waits for it.
)

// indexChange is a pair that was replaced by another one with the same key. No pair is the zero pair; two of them stand for all
// pairs that there were.
type indexChange struct{ old, made pair }

// indexStart makes indexes beside a start: it gathers what changes in the state, and each index applies that in goroutines
// of its own, a chunk after the other. They end by themselves, however the start ends.
type indexStart struct {
	changes []indexChange
	lanes   []indexLane
}

// indexLane is the chunks on their way into an index.
type indexLane struct {
	tree *indexTree
	room chan struct{} // Holds a token for each chunk that isn't applied.
	last chan struct{} // Closed when the last chunk is applied.
}

// startIndexes returns the indexes of a start from nothing, nil for a store without.
func startIndexes(list []Index) *indexes {
	if len(list) == 0 {
		return nil
	}
	x := &indexes{trees: make([]indexTree, len(list)), starting: &indexStart{}}
	for i := range list {
		x.trees[i] = indexTree{Index: &list[i], entries: newEntryTree()}
		none := make(chan struct{})
		close(none)
		x.starting.lanes = append(x.starting.lanes, indexLane{&x.trees[i], make(chan struct{}, indexChunks), none})
	}
	return x
}

// following returns the pairs of a snapshot, which get into the indexes as they are taken.
func (x *indexes) following(pairs iter.Seq2[pair, error]) iter.Seq2[pair, error] {
	if x == nil {
		return pairs
	}
	return func(yield func(pair, error) bool) {
		for p, err := range pairs {
			if err == nil {
				x.change(pair{}, p)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

func (s *indexStart) add(c indexChange) {
	if s.changes = append(s.changes, c); len(s.changes) == indexChunk {
		s.flush()
	}
}

func (s *indexStart) flush() {
	for i := range s.lanes {
		s.lanes[i].take(s.changes)
	}
	s.changes = make([]indexChange, 0, indexChunk)
}

// take has a chunk applied after the ones before it.
func (l *indexLane) take(changes []indexChange) {
	before, done := l.last, make(chan struct{})
	l.room <- struct{}{}
	l.last = done
	go func() {
		applied := false
		defer func() {
			if !applied { // The function has ended the goroutine.
				l.tree.impure = true
			}
			<-l.room
			close(done)
		}()
		<-before
		for _, c := range changes {
			l.tree.apply(c)
		}
		applied = true
	}()
}

func (t *indexTree) apply(c indexChange) {
	if c == (indexChange{}) {
		t.clear()
		return
	}
	_ = t.change(c.old, c.made) // If the pair is gone when the start ends, it doesn't matter.
}

// finishIndexes ends a start: from here on the indexes change with the state. The error is ErrIndex, and names a pair that can't be
// indexed.
func (s *state) finishIndexes() error {
	x := s.indexes
	if x == nil || x.starting == nil {
		return nil
	}
	x.starting.flush()
	for _, lane := range x.starting.lanes {
		<-lane.last
	}
	x.starting = nil
	for i := range x.trees {
		if t := &x.trees[i]; t.impure || t.failed != 0 {
			return s.notIndexed(t)
		}
	}
	return nil
}

// notIndexed returns why an index lacks pairs.
func (s *state) notIndexed(t *indexTree) error {
	var err error
	s.tree.ascend(nil, nil, func(it item) bool {
		err = t.each(it.key(), it.value(), func([]byte) {})
		return err == nil
	})
	if err == nil {
		err = fmt.Errorf("%w: index %q: its function isn't pure", ErrIndex, t.Name)
	}
	return err
}
