package kv

import (
	"bytes"
	"iter"

	"github.com/google/btree"
)

// treeDegree is the branching of the tree: a node holds up to twice as many items, less one.
const treeDegree = 32

// entryTree is the B-tree of an index. Only this file knows whose B-tree it is.
type entryTree = btree.BTreeG[indexEntry]

func newEntryTree() *entryTree { return btree.NewG(treeDegree, indexEntry.less) }

// tree is an ordered map from key to item. A tree is read by many goroutines at a time, or changed by one. Only clone copies it,
// in constant time: the two share nodes until one of them is changed.
type tree struct {
	items  *btree.BTreeG[item]
	common []byte // The items' common prefix, see keyOrder; nil until it is chosen.
	review int    // The number of keys from which the common prefix is looked at again.
	loose  bool   // The common prefix is no longer common, and the tree is too large for put to choose another.
}

func newTree() tree { return tree{items: btree.NewG(treeDegree, item.less), review: commonSample} }

// clone changes the tree's own bookkeeping, so it counts as a change of it.
func (t tree) clone() tree {
	t.items = t.items.Clone()
	return t
}

// item returns a pair as this tree orders it.
func (t tree) item(p pair) item { return item{order: keyOrder(p.key(), t.common), pair: p} }

func (t tree) len() int { return t.items.Len() }

func (t tree) get(key []byte) (item, bool) { return t.items.Get(t.item(probe(key))) }

// put returns the item that had the key before, if there was one.
func (t *tree) put(p pair) (item, bool) {
	if t.items.Len() >= t.review {
		t.reviewCommon()
	}
	return t.items.ReplaceOrInsert(t.item(p))
}

const (
	// commonSample is how many keys the common prefix is chosen from, and the number of keys from which there is one.
	commonSample = 1024
	// commonGrowth is by how much a tree grows until its common prefix is looked at again.
	commonGrowth = 2
	// commonInline is up to how many keys put makes all items again where the prefix is no longer common, which takes it
	// about 10 ms. A larger tree is loose then, until tighten is called where nothing waits for it.
	commonInline = 64 * commonSample
)

// reviewCommon chooses the common prefix, again where later keys don't have it.
func (t *tree) reviewCommon() {
	t.review = t.items.Len() * commonGrowth
	switch {
	case t.fits():
	case t.items.Len() <= commonInline:
		t.chooseCommon()
	default:
		t.loose = true
	}
}

// fits reports whether there is a common prefix and all keys have it.
func (t *tree) fits() bool {
	first, _ := t.items.Min()
	last, _ := t.items.Max()
	return t.common != nil && bytes.HasPrefix(first.key(), t.common) && bytes.HasPrefix(last.key(), t.common)
}

// tighten chooses the common prefix again where that of a large tree doesn't fit, in time that grows with the tree.
func (t *tree) tighten() {
	if t.items.Len() >= commonSample && !t.fits() {
		t.chooseCommon()
	}
}

// chooseCommon chooses the common prefix from a sample of all keys: neighbours, which say how many bytes tell keys apart.
func (t *tree) chooseCommon() {
	var sample [][]byte
	stride, i := max(t.items.Len()/(commonSample/2), 2), 0
	t.items.Ascend(func(it item) bool {
		if i++; i%stride <= 1 {
			sample = append(sample, it.key())
		}
		return true
	})
	last, _ := t.items.Max()
	chosen := newTree()
	chosen.common, chosen.review = commonPrefix(append(sample, last.key())), t.review
	if !bytes.Equal(chosen.common, t.common) {
		chosen.load(func(yield func(p pair) bool) { t.items.Ascend(func(it item) bool { return yield(it.pair) }) }, nil)
		t.items = chosen.items
	}
	t.common, t.loose = chosen.common, false
}

// loadChunk is how many pairs load gathers. Chunks of 4096 fill the nodes as well as one chunk of everything does.
const loadChunk = 4096

// load puts pairs that come in ascending order, each key once, so that the tree's nodes end up full. Put one by one they
// would be left half empty, since a full node is split in the middle and its first half never meets a key again. So of
// each chunk every second pair goes first. The common prefix is chosen from the first pairs and nearEnd, one of the last keys, unless that is nil.
func (t *tree) load(ascending iter.Seq[pair], nearEnd []byte) {
	chunk := make([]pair, 0, loadChunk)
	for p := range ascending {
		if len(chunk) == loadChunk {
			t.chooseFor(chunk, nearEnd)
			t.putAlternating(chunk)
			chunk = chunk[:0]
		}
		chunk = append(chunk, p)
	}
	t.putAlternating(chunk)
}

// chooseFor chooses the common prefix of an empty tree that begins with these pairs.
func (t *tree) chooseFor(pairs []pair, nearEnd []byte) {
	if t.common != nil || t.items.Len() > 0 || len(nearEnd) == 0 {
		return
	}
	var sample [][]byte
	for _, p := range pairs {
		sample = append(sample, p.key())
	}
	t.common = commonPrefix(append(sample, nearEnd))
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

// removeRange removes those items with start <= key < end that a function wants removed. It works in chunks, because the tree can't
// be changed while it is being walked.
func (t tree) removeRange(start, end []byte, remove func(item) bool) {
	const chunkSize = 1024
	var chunk []item
	for more := true; more; {
		chunk = chunk[:0]
		t.ascend(start, end, func(it item) bool {
			chunk = append(chunk, it)
			return len(chunk) < chunkSize
		})
		for _, it := range chunk {
			if remove(it) {
				t.items.Delete(it)
			}
		}
		if more = len(chunk) == chunkSize; more {
			start = append(chunk[chunkSize-1].key(), 0)
		}
	}
}
