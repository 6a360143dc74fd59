package kv

import (
	"iter"

	"github.com/google/btree"
)

// treeDegree is the branching of the tree: a node holds up to twice as many items, less one.
const treeDegree = 32

// tree is an ordered map from key to item. A tree is read by many goroutines at a time, or changed by one. clone makes a
// second tree in constant time, which shares nodes with the first until one of the two is changed: the one can then be
// read while the other is changed. A tree is not copied in any other way.
type tree struct {
	items  *btree.BTreeG[item]
	common []byte // The items' common prefix, see keyOrder; nil until it is chosen.
}

func newTree() tree { return tree{items: btree.NewG(treeDegree, item.less)} }

// clone changes the tree's own bookkeeping, so it counts as a change of it.
func (t tree) clone() tree { return tree{items: t.items.Clone(), common: t.common} }

// item returns a pair as this tree orders it.
func (t tree) item(p pair) item { return item{order: keyOrder(p.key(), t.common), pair: p} }

func (t tree) len() int { return t.items.Len() }

func (t tree) get(key []byte) (item, bool) { return t.items.Get(t.item(probe(key))) }

// put returns the item that had the key before, if there was one.
func (t *tree) put(p pair) (item, bool) {
	if t.common == nil && t.items.Len() == commonSample {
		t.chooseCommon()
	}
	return t.items.ReplaceOrInsert(t.item(p))
}

// commonSample is the number of keys from which the common prefix is chosen. It is never chosen again, because all items
// have to be made anew with it, and a large tree would stop the writer for that long; these few take less than a millisecond.
const commonSample = 1024

// chooseCommon chooses the common prefix from the keys that are there.
func (t *tree) chooseCommon() {
	var pairs []pair
	var keys [][]byte
	t.items.Ascend(func(it item) bool {
		pairs, keys = append(pairs, it.pair), append(keys, it.key())
		return true
	})
	t.common = commonPrefix(keys)
	if len(t.common) == 0 {
		return
	}
	t.items = newTree().items
	for _, p := range pairs {
		t.items.ReplaceOrInsert(t.item(p))
	}
}

// loadChunk is how many pairs load gathers. Chunks of 4096 fill the nodes as well as one chunk of everything does.
const loadChunk = 4096

// load puts pairs that come in ascending order, each key once, so that the tree's nodes end up full. Put one by one they
// would be left half empty, since a full node is split in the middle and its first half never meets a key again. So of
// each chunk every second pair goes first, and the others then fill what the splits have left.
func (t *tree) load(ascending iter.Seq[pair]) {
	chunk := make([]pair, 0, loadChunk)
	for p := range ascending {
		if len(chunk) == loadChunk {
			t.putAlternating(chunk)
			chunk = chunk[:0]
		}
		chunk = append(chunk, p)
	}
	t.putAlternating(chunk)
}

func (t *tree) putAlternating(chunk []pair) {
	for first := range 2 {
		for i := first; i < len(chunk); i += 2 {
			t.put(chunk[i])
		}
	}
}

// remove returns the item that was removed, if there was one.
func (t tree) remove(key []byte) (item, bool) { return t.items.Delete(t.item(probe(key))) }

// ascend yields the items with start <= key < end in order, until yield returns false. An empty bound is open.
func (t tree) ascend(start, end []byte, yield func(item) bool) {
	switch {
	case len(start) == 0 && len(end) == 0:
		t.items.Ascend(yield)
	case len(end) == 0:
		t.items.AscendGreaterOrEqual(t.item(probe(start)), yield)
	default:
		t.items.AscendRange(t.item(probe(start)), t.item(probe(end)), yield)
	}
}

// descend yields what ascend does, in the opposite order. The B-tree's own descending range includes its upper and
// excludes its lower bound, so both bounds are judged here, as items: as a rule that needs no look at a pair's key.
func (t tree) descend(start, end []byte, yield func(item) bool) {
	lower, upper := t.item(probe(start)), t.item(probe(end))
	if len(end) == 0 {
		t.items.Descend(func(it item) bool { return !it.less(lower) && yield(it) })
		return
	}
	t.items.DescendLessOrEqual(upper, func(it item) bool {
		return !it.less(upper) || !it.less(lower) && yield(it)
	})
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
			t.remove(it.key())
			removed(it)
		}
		if len(chunk) < chunkSize {
			return
		}
	}
}
