package kv

import (
	"context"
	"fmt"
	"iter"
	"sync"
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
	ctx     context.Context // The start's. Once it is done, changes are left out, and the start fails.
	changes []indexChange
	lanes   []*indexLane
}

// indexLane is the chunks on their way into an index. As long as pairs are only added their entries are gathered: sorting them, and putting
// them in their order, takes a fraction of the time that putting them one by one does.
type indexLane struct {
	tree     *indexTree
	gathered gathered
	loaded   bool // The entries that were gathered are in the tree, and so are later ones.
	made     keying

	room chan struct{} // Holds a token for each chunk that isn't applied.
	last chan struct{} // Closed when the last chunk is applied.
}

// startIndexes returns the indexes of a start from nothing, which ctx may end; nil for a store without.
func startIndexes(ctx context.Context, list []Index) *indexes {
	if len(list) == 0 {
		return nil
	}
	x := &indexes{trees: make([]indexTree, len(list)), starting: &indexStart{ctx: ctx}}
	for i := range list {
		x.trees[i] = indexTree{Index: &list[i], entries: newEntryTree()}
		none := make(chan struct{})
		close(none)
		x.starting.lanes = append(x.starting.lanes, &indexLane{tree: &x.trees[i], room: make(chan struct{}, indexChunks), last: none})
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
				x.change(pair{}, p, nil)
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
	for _, lane := range s.lanes {
		lane.take(s.ctx, s.changes)
	}
	s.changes = make([]indexChange, 0, indexChunk)
}

// take has a chunk applied after the ones before it, unless the start's context is done.
func (l *indexLane) take(ctx context.Context, changes []indexChange) {
	select {
	case l.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	before, done := l.last, make(chan struct{})
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
		for len(changes) > 0 {
			changes = changes[l.apply(changes):]
		}
		applied = true
	}()
}

// apply applies changes, and returns how many: all, or up to one for which the function panicked. To recover for many calls at once takes
// less time than for each. If a pair that the function fails for is gone when the start ends, it doesn't matter.
func (l *indexLane) apply(changes []indexChange) (applied int) {
	calling := false
	defer func() {
		if calling && recover() != nil {
			l.tree.failed++
			applied++
		}
	}()
	for ; applied < len(changes); applied++ {
		switch c := changes[applied]; {
		case c == (indexChange{}):
			l.gathered, l.loaded = gathered{}, false
			l.tree.clear()
		case c.old.keySize != 0 || l.loaded:
			l.load()
			_ = l.tree.change(&l.made, c.old, c.made, nil, false)
			l.made.reset()
		default:
			l.made.reset()
			l.made.pair, calling = c.made, true
			err := l.made.run(l.tree.Index, c.made.key(), c.made.value())
			if calling = false; err != nil {
				l.tree.failed++
			} else {
				l.gathered.add(l.made.sorted(0))
			}
		}
	}
	return applied
}

// load puts what was gathered into the tree.
func (l *indexLane) load() {
	if !l.loaded {
		l.gathered.load(l.tree.entries)
		l.gathered, l.loaded = gathered{}, true
	}
}

// finishIndexes ends a start: from here on the indexes change with the state. What was gathered is loaded meanwhile. The error is
// ErrIndex, and names a pair that can't be indexed, or that of the start's context.
func (s *state) finishIndexes() error {
	x := s.indexes
	if x == nil || x.starting == nil {
		return nil
	}
	x.starting.flush()
	for _, lane := range x.starting.lanes {
		select {
		case <-lane.last:
		case <-x.starting.ctx.Done():
		}
		if x.starting.ctx.Err() != nil {
			return context.Cause(x.starting.ctx)
		}
		if !lane.loaded {
			lane.tree.loading = beginLoad(&lane.gathered)
		}
	}
	x.starting = nil
	for i := range x.trees {
		if t := &x.trees[i]; t.impure || t.failed != 0 {
			return s.notIndexed(t)
		}
	}
	return nil
}

// notIndexed returns why an index lacks pairs. It calls the function in another goroutine, which that may end.
func (s *state) notIndexed(t *indexTree) error {
	err := fmt.Errorf("%w: index %q: its function isn't pure", ErrIndex, t.Name)
	var checking sync.WaitGroup
	checking.Go(func() {
		s.tree.ascend(nil, nil, func(it item) bool {
			failed := t.check(it.key(), it.value())
			if failed != nil {
				err = failed
			}
			return failed == nil
		})
	})
	checking.Wait()
	return err
}
