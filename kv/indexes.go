package kv

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// indexEntry is one index key of a pair, with eight bytes of it beside it as a number, as in item.
type indexEntry struct {
	order uint64 // By keyOrder, without a common prefix.
	key   piece  // The index key: a part of the pair's own memory, or a copy. Of up to orderSize bytes only the size is kept. Its note is the rank.
	pair  pair   // The zero pair, of an entry to search with, comes before all others.
}

// orderSize is up to how many bytes of an index key the order number says everything but their number.
const orderSize = 8

func newIndexEntry(indexKey []byte, p pair) indexEntry {
	e := indexEntry{order: keyOrder(indexKey, nil), pair: p}
	if e.key.size = uint32(min(len(indexKey), pairSizeMax)); len(indexKey) > orderSize {
		e.key = newPiece(indexKey[:e.key.size])
	}
	return e
}

// compare orders entries by index key, then by the pair's key.
func (e indexEntry) compare(other indexEntry) int {
	if order := e.compareKeys(&other); order != 0 {
		return order
	}
	return bytes.Compare(e.pair.key(), other.pair.key())
}

// compareKeys compares the index keys alone.
func (e *indexEntry) compareKeys(other *indexEntry) int {
	switch {
	case e.order != other.order:
		return cmp.Compare(e.order, other.order)
	case e.key.size > orderSize && other.key.size > orderSize:
		return bytes.Compare(e.key.bytes(), other.key.bytes())
	}
	return cmp.Compare(e.key.size, other.key.size) // The shorter one is what the other one begins with.
}

// less reports whether the entry comes first. Two that a start has ranked are compared without a look at their pairs.
func (e indexEntry) less(other indexEntry) bool {
	if e.order != other.order {
		return e.order < other.order
	}
	if e.key.note != 0 && other.key.note != 0 {
		return e.key.note < other.key.note
	}
	return e.compare(other) < 0
}

// indexTree is an index of one state.
//
// Invariant: entries, once they are loaded and waiting is applied, are those of every pair of the state, in memory of these very pairs,
// except for the pairs that failed. Entries with a rank were loaded together, and are ranked in their order. While they are loading,
// several states may have waiting in the same memory, which none of them changes, and one of them alone has the room after it.
type indexTree struct {
	*Index
	entries *entryTree
	loading *indexLoad // Where entries come from after a start; nil once it has them.
	waiting []indexStep
	failed  int  // Pairs that the function failed for. After a start there are none.
	impure  bool // The function has made other keys of a pair than before, so the invariant may not hold.
}

// indexStep is a step on the way from a state's entries to those of the next state.
type indexStep struct {
	indexEntry
	kind stepKind
}

type stepKind uint8

const (
	stepAdd     stepKind = iota
	stepReplace          // By an equal one, of another pair with the same key.
	stepRemove
)

// waitingMax is how many steps wait until they are applied together, which takes a fraction of a millisecond. Together they take less
// time than one by one, as long as nothing reads the index: in their order they meet the same nodes again.
const waitingMax = 512

// waitingToLoad is how many steps wait while a start's entries are loading, until further commits wait for that, before they hold a lock. A
// commit that comes to waitingAtMost waits wherever it is, and with it what waits for its locks.
const (
	waitingToLoad = 64 * waitingMax
	waitingAtMost = 4 * waitingToLoad
)

// change replaces a pair by another one with the same key. No pair is the zero pair. come are the entries of the pair that is made,
// if they are known. It returns what the function failed with.
func (t *indexTree) change(k *keying, old, made pair, come []indexEntry, known bool) (err error) {
	var gone []indexEntry
	if made.keySize != 0 && !known {
		if come, err = k.add(t.Index, made.key(), made.value(), made); err != nil {
			t.failed++
		}
	}
	if old.keySize != 0 {
		failed := error(nil)
		if gone, failed = k.add(t.Index, old.key(), old.value(), old); failed != nil {
			t.failed, err = t.failed-1, failed // It failed for this pair when that was added, too.
		}
	}
	t.replace(gone, come)
	return err
}

// replace replaces entries of one pair by others, both in order, once that can't wait any more.
func (t *indexTree) replace(gone, come []indexEntry) {
	for _, e := range gone {
		for len(come) > 0 && come[0].less(e) {
			t.waiting = append(t.waiting, indexStep{come[0], stepAdd})
			come = come[1:]
		}
		if len(come) > 0 && !e.less(come[0]) {
			t.waiting = append(t.waiting, indexStep{come[0], stepReplace})
			come = come[1:]
		} else {
			t.waiting = append(t.waiting, indexStep{e, stepRemove})
		}
	}
	for _, e := range come {
		t.waiting = append(t.waiting, indexStep{e, stepAdd})
	}
	if len(t.waiting) >= waitingAtMost || len(t.waiting) >= waitingMax && (t.loading == nil || t.loading.isDone()) {
		t.settle()
	}
}

// settle applies the steps that wait, those of one entry in the order in which they came, to entries that are loaded.
func (t *indexTree) settle() {
	if t.loading != nil {
		t.entries, t.loading = t.loading.take(), nil
		t.waiting = slices.Clone(t.waiting)
	}
	if len(t.waiting) == 0 {
		return
	}
	places := make([]indexPlace, len(t.waiting))
	for i := range t.waiting {
		places[i] = indexPlace{t.waiting[i].order, uint64(i)}
	}
	slices.SortFunc(places, indexPlace.compare)
	for _, p := range places {
		t.step(&t.waiting[p.place])
	}
	clear(t.waiting)
	if t.waiting = t.waiting[:0]; cap(t.waiting) > 2*waitingMax {
		t.waiting = nil
	}
}

func (t *indexTree) step(s *indexStep) {
	var found bool
	if s.kind == stepRemove {
		_, found = t.entries.Delete(s.indexEntry)
	} else {
		_, found = t.entries.ReplaceOrInsert(s.indexEntry)
	}
	if found == (s.kind == stepAdd) {
		t.impure = true
	}
}

func (t *indexTree) clear() { t.entries, t.loading, t.waiting, t.failed = newEntryTree(), nil, nil, 0 }

// visit calls a function for the visible pairs of a range of index keys, in order, until it returns false.
func (t *indexTree) visit(r Range, now int64, call func(p pair) bool) {
	start, end, possible := r.bounds()
	if !possible {
		return
	}
	visited, lower, upper := 0, newIndexEntry(start, pair{}), newIndexEntry(end, pair{})
	take := func(e indexEntry) bool {
		if e.pair.expired(now) {
			return true
		}
		visited++
		return call(e.pair) && visited != r.Limit
	}
	switch downTo := func(e indexEntry) bool { return !e.less(lower) && take(e) }; {
	case r.Reverse && len(end) == 0:
		t.entries.Descend(downTo)
	case r.Reverse: // No entry is equal to upper, which has no pair.
		t.entries.DescendLessOrEqual(upper, downTo)
	case len(end) == 0:
		t.entries.AscendGreaterOrEqual(lower, take)
	default:
		t.entries.AscendRange(lower, upper, take)
	}
}

// indexes are the indexes of one state, which change with its pairs. A store without indexes has nil, on which all methods work.
//
// A state that readers have isn't changed, but what waits in its indexes is applied by the first that reads one, or by clone unless
// it is loading.
type indexes struct {
	settling sync.Mutex // Held while that is done.
	trees    []indexTree
	starting *indexStart // Gets the changes while a start loads and replays; nil afterwards.
}

// settle applies what waits in an index, before it is read. Where the index is loading, the lock is free until it is loaded, since the next
// commit, which clones the state, and readers of other indexes don't wait for that.
func (x *indexes) settle(t *indexTree) {
	x.settling.Lock()
	loading := t.loading
	x.settling.Unlock()
	loading.wait()
	x.settling.Lock()
	defer x.settling.Unlock()
	t.settle()
}

func (x *indexes) clone() *indexes {
	if x == nil {
		return nil
	}
	x.settling.Lock()
	defer x.settling.Unlock()
	second := &indexes{trees: make([]indexTree, len(x.trees))}
	for i := range x.trees {
		t := &x.trees[i]
		if t.loading.share() {
			second.trees[i] = *t
			t.waiting = slices.Clip(t.waiting) // The room after them is the clone's, which changes next.
			continue
		}
		t.settle()
		second.trees[i] = *t
		second.trees[i].entries = t.entries.Clone()
		t.waiting = nil // As above.
	}
	return second
}

// overdue returns what further commits should wait for, nil where nothing.
func (x *indexes) overdue() *indexLoad {
	if x == nil {
		return nil
	}
	for i := range x.trees {
		if t := &x.trees[i]; t.loading != nil && len(t.waiting) >= waitingToLoad {
			return t.loading
		}
	}
	return nil
}

// change says that a pair of the state was replaced by another one with the same key. No pair is the zero pair. made's entries may be
// known; otherwise known is nil.
func (x *indexes) change(old, made pair, known *keying) {
	if x == nil || old.keySize == 0 && made.keySize == 0 {
		return
	}
	if x.starting != nil {
		x.starting.add(indexChange{old, made})
		return
	}
	k := keyings.Get().(*keying)
	for i := range x.trees {
		come, isKnown := known.of(i)
		if t := &x.trees[i]; t.change(k, old, made, come, isKnown) != nil {
			t.impure = true // It didn't fail for these pairs when they were committed.
		}
	}
	k.recycle()
}

// clear says that the state has no pairs any more.
func (x *indexes) clear() {
	switch {
	case x == nil:
	case x.starting != nil:
		x.starting.add(indexChange{})
	default:
		for i := range x.trees {
			x.trees[i].clear()
		}
	}
}

// named returns the index with a name, if it can be relied on.
func (x *indexes) named(name string) *indexTree {
	if x != nil {
		for i := range x.trees {
			t := &x.trees[i]
			if t.Name != name {
				continue
			}
			if x.settle(t); t.impure {
				panic(fmt.Sprintf("kv: index %q can't be scanned: its function isn't pure", name))
			}
			return t
		}
	}
	panic(fmt.Sprintf("kv: there is no index %q in Options.Indexes", name))
}

// scanIndex returns the pairs of a range of index keys that are visible at an instant.
func (s *state) scanIndex(name string, r Range, now int64) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		ahead := newLookahead(func(p pair) bool { return yield(p.key(), p.value()) })
		s.indexes.named(name).visit(r, now, ahead.take)
		ahead.flush()
	}
}
