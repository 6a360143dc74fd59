package kv

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
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
	changes []indexChange
	lanes   []*indexLane
}

// indexLane is the chunks on their way into an index. As long as pairs are only added their entries are gathered: sorting them, and putting
// them in their order, takes a fraction of the time that putting them one by one does.
type indexLane struct {
	tree     *indexTree
	gathered indexGathered

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
	for _, lane := range s.lanes {
		lane.take(s.changes)
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
			l.apply(c)
		}
		applied = true
	}()
}

// apply applies a change. If a pair that the function fails for is gone when the start ends, it doesn't matter.
func (l *indexLane) apply(c indexChange) {
	switch t := l.tree; {
	case c == (indexChange{}):
		l.gathered = indexGathered{}
		t.clear()
	case c.old.keySize != 0 || t.entries.Len() > 0:
		l.gathered.load(t)
		_ = t.change(c.old, c.made)
	default:
		k := t.keying(c.made.key(), c.made.value(), c.made)
		if l.gathered.add(k.entries); k.err != nil {
			t.failed++
		}
		k.recycle()
	}
}

// indexGathered is the entries of different pairs, in the order in which they came.
type indexGathered struct {
	entries  []indexEntry
	unsorted bool // The keys of the pairs, which those of a snapshot are in the order of, aren't in order.
}

func (g *indexGathered) add(entries []indexEntry) {
	if last := len(g.entries) - 1; last >= 0 && len(entries) > 0 && !g.unsorted {
		g.unsorted = bytes.Compare(g.entries[last].pair.key(), entries[0].pair.key()) > 0
	}
	if len(g.entries)+len(entries) > cap(g.entries) {
		g.entries = slices.Grow(g.entries, len(g.entries)+len(entries)) // Twice as many: append would copy more often.
	}
	g.entries = append(g.entries, entries...)
}

// load puts the entries into an empty tree, and lets them go. Of each chunk every second entry goes first, as in tree.load.
func (g *indexGathered) load(t *indexTree) {
	sorted := g.sorted()
	for chunk := range slices.Chunk(sorted, loadChunk) {
		for first := range 2 {
			for i := first; i < len(chunk); i += 2 {
				t.entries.ReplaceOrInsert(g.entries[chunk[i].at])
			}
		}
	}
	*g = indexGathered{}
}

// indexPlace is a gathered entry's order number and place. Sorting them moves fewer bytes, and no pointers.
type indexPlace struct {
	order uint64
	at    int
}

// sorted returns the places of the entries in their order.
func (g *indexGathered) sorted() []indexPlace {
	places := make([]indexPlace, len(g.entries))
	for i := range g.entries {
		places[i] = indexPlace{g.entries[i].order, i}
	}
	slices.SortFunc(places, func(a, b indexPlace) int {
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		one, other := &g.entries[a.at], &g.entries[b.at]
		if !g.unsorted && one.compareKeys(other) == 0 {
			return cmp.Compare(a.at, b.at)
		}
		return one.compare(*other)
	})
	return places
}

// finishIndexes ends a start: from here on the indexes change with the state. The error is ErrIndex, and names a pair that can't be
// indexed.
func (s *state) finishIndexes() error {
	x := s.indexes
	if x == nil || x.starting == nil {
		return nil
	}
	x.starting.flush()
	var loading sync.WaitGroup
	for _, lane := range x.starting.lanes {
		loading.Go(func() {
			<-lane.last
			lane.gathered.load(lane.tree)
		})
	}
	loading.Wait()
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
