package kv

import (
	"bytes"

	"github.com/google/btree"
)

// treeDegree is the branching of the tree: a node holds up to twice as many items, less one.
const treeDegree = 32

// item is a pair as the tree holds it. Invariant: nothing that key and value point to is ever changed, so that a reader
// can be given it without a copy, and trees can share it.
type item struct {
	key, value []byte
	deadline   int64 // Nanoseconds since 1970; 0 is none.
}

// expired reports whether the item's deadline has passed.
func (it item) expired(now int64) bool { return it.deadline != 0 && it.deadline <= now }

// size returns what the item counts in Stats.DataBytes.
func (it item) size() int64 { return int64(len(it.key) + len(it.value)) }

// tree is an ordered map from key to item. A tree is read by many goroutines at a time, or changed by one. clone makes a
// second tree in constant time, which shares nodes with the first until one of the two is changed: the one can then be
// read while the other is changed.
type tree struct {
	items *btree.BTreeG[item]
}

func newTree() tree {
	return tree{items: btree.NewG(treeDegree, func(a, b item) bool { return bytes.Compare(a.key, b.key) < 0 })}
}

// clone changes the tree's own bookkeeping, so it counts as a change of it.
func (t tree) clone() tree { return tree{items: t.items.Clone()} }

func (t tree) len() int { return t.items.Len() }

func (t tree) get(key []byte) (item, bool) { return t.items.Get(item{key: key}) }

// put returns the item that had the key before, if there was one.
func (t tree) put(it item) (item, bool) { return t.items.ReplaceOrInsert(it) }

// remove returns the item that was removed, if there was one.
func (t tree) remove(key []byte) (item, bool) { return t.items.Delete(item{key: key}) }

// ascend yields the items with start <= key < end in order, until yield returns false. An empty bound is open.
func (t tree) ascend(start, end []byte, yield func(item) bool) {
	switch {
	case len(start) == 0 && len(end) == 0:
		t.items.Ascend(yield)
	case len(end) == 0:
		t.items.AscendGreaterOrEqual(item{key: start}, yield)
	default:
		t.items.AscendRange(item{key: start}, item{key: end}, yield)
	}
}

// descend yields what ascend does, in the opposite order. The B-tree's own descending range includes its upper and
// excludes its lower bound, so both bounds are judged here.
func (t tree) descend(start, end []byte, yield func(item) bool) {
	inRange := func(it item) bool {
		if len(end) != 0 && bytes.Equal(it.key, end) {
			return true
		}
		return bytes.Compare(it.key, start) >= 0 && yield(it)
	}
	if len(end) == 0 {
		t.items.Descend(inRange)
		return
	}
	t.items.DescendLessOrEqual(item{key: end}, inRange)
}

// removeRange removes the items with start <= key < end and calls removed for each. It works in chunks, because the tree
// can't be changed while it is being walked.
func (t tree) removeRange(start, end []byte, removed func(item)) {
	const chunkSize = 1024
	var chunk []item
	for {
		chunk = chunk[:0]
		t.ascend(start, end, func(it item) bool {
			chunk = append(chunk, it)
			return len(chunk) < chunkSize
		})
		for _, it := range chunk {
			t.remove(it.key)
			removed(it)
		}
		if len(chunk) < chunkSize {
			return
		}
	}
}
