package kv

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
)

// indexEntry is one index key of a pair, with eight bytes of it beside it as a number, as in item.
type indexEntry struct {
	order uint64 // By keyOrder, without a common prefix.
	key   pair   // The index key, as a probe: what it points to is the pair's own memory, or a copy that nothing changes.
	pair  pair   // The zero pair, of an entry to search with, comes before all others.
}

func newIndexEntry(indexKey []byte, p pair) indexEntry {
	return indexEntry{order: keyOrder(indexKey, nil), key: probe(indexKey), pair: p}
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
	if e.order != other.order {
		return cmp.Compare(e.order, other.order)
	}
	// Of eight bytes at most the number says everything but the length, so nothing has to be read from elsewhere.
	if size := e.key.keySize; size != other.key.keySize || size > 8 {
		return bytes.Compare(e.key.key(), other.key.key())
	}
	return 0
}

func (e indexEntry) less(other indexEntry) bool {
	if e.order != other.order {
		return e.order < other.order
	}
	return e.compare(other) < 0
}

// indexTree is an index of one state.
//
// Invariant: entries are those of every pair of the state, in memory of these very pairs, except for the pairs that failed.
type indexTree struct {
	*Index
	entries *entryTree
	failed  int  // Pairs that the function failed for. After a start there are none.
	impure  bool // The function has made other keys of a pair than before, so the invariant may not hold.
}

// change replaces a pair by another one with the same key. No pair is the zero pair. It returns what the function failed with.
func (t *indexTree) change(old, made pair) (err error) {
	var come, gone []indexEntry
	if made.keySize != 0 {
		k := t.keying(made.key(), made.value(), made)
		defer k.recycle()
		if come = k.entries; k.err != nil {
			t.failed, err = t.failed+1, k.err
		}
	}
	if old.keySize != 0 {
		k := t.keying(old.key(), old.value(), old)
		defer k.recycle()
		if gone = k.entries; k.err != nil {
			t.failed, err = t.failed-1, k.err // It failed for this pair when that was added, too.
		}
	}
	t.replace(gone, come)
	return err
}

// replace replaces entries of one pair by others. Both are in order.
func (t *indexTree) replace(gone, come []indexEntry) {
	replaced := 0
	for _, e := range come {
		if _, found := t.entries.ReplaceOrInsert(e); found {
			replaced++
		}
	}
	for _, e := range gone {
		for len(come) > 0 && come[0].less(e) {
			come = come[1:]
		}
		if len(come) > 0 && !e.less(come[0]) {
			replaced--
		} else if _, found := t.entries.Delete(e); !found {
			t.impure = true
		}
	}
	if replaced != 0 { // More or fewer than those that both pairs have.
		t.impure = true
	}
}

func (t *indexTree) clear() { t.entries, t.failed = newEntryTree(), 0 }

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
type indexes struct {
	trees    []indexTree
	starting *indexStart // Gets the changes while a start loads and replays; nil afterwards.
}

func (x *indexes) clone() *indexes {
	if x == nil {
		return nil
	}
	second := &indexes{trees: make([]indexTree, len(x.trees))}
	for i, t := range x.trees {
		t.entries = t.entries.Clone()
		second.trees[i] = t
	}
	return second
}

// change says that a pair of the state was replaced by another one with the same key. No pair is the zero pair.
func (x *indexes) change(old, made pair) {
	if x == nil || old.keySize == 0 && made.keySize == 0 {
		return
	}
	if x.starting != nil {
		x.starting.add(indexChange{old, made})
		return
	}
	for i := range x.trees {
		if t := &x.trees[i]; t.change(old, made) != nil {
			t.impure = true // It didn't fail for these pairs when they were committed.
		}
	}
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
			switch t := &x.trees[i]; {
			case t.Name != name:
			case t.impure:
				panic(fmt.Sprintf("kv: index %q can't be scanned: its function isn't pure", name))
			default:
				return t
			}
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
