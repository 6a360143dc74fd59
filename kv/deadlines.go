package kv

import (
	"math"
	"unsafe"

	"github.com/google/btree"
)

// deadlines is a state's index by deadline: the keys of the pairs that have one, in the order in which they expire. It belongs to
// the state as the tree does, and is cloned with it. So it is exact at every instant: no entry is ever stale, whatever was put
// again, rolled back, replayed or applied apart.
//
// Invariants: there is one entry for each pair of the state's tree that has a deadline and a key of at most MaxKeySize bytes
// (Walnut writes no other); items is nil until the first.
type deadlines struct{ items *btree.BTreeG[deadlineItem] }

// deadlineItem is an entry: 16 bytes, so that a node that is half full, as nodes are when deadlines ascend, takes less than 40
// for each of its entries. It is the address of the pair's memory, where its key is, and one number: the deadline without its
// lowest bits, in an order that suits unsigned numbers, and in place of those bits the size of the key. Addresses tell apart
// what expires within the same unit, since Go's collector doesn't move memory; so no comparison reads a key.
type deadlineItem struct {
	order uint64
	first *byte
}

const (
	// deadlinesDegree is the tree's degree. Its items are smaller than those of the store's tree.
	deadlinesDegree = 2 * treeDegree
	// deadlineKeyBits are the bits of the key's size. A unit of time in the index is as many nanoseconds: 131 µs.
	deadlineKeyBits = 17
	deadlineKeyMask = 1<<deadlineKeyBits - 1
	deadlineSign    = 1 << 63 // Makes of signed numbers unsigned ones in the same order.
)

// A key's size must fit.
const _ = uint(deadlineKeyMask - MaxKeySize)

func newDeadlineItem(p pair) deadlineItem {
	deadline := uint64(p.deadline()) ^ deadlineSign
	return deadlineItem{order: deadline&^deadlineKeyMask | uint64(p.keySize), first: p.first}
}

func (it deadlineItem) less(other deadlineItem) bool {
	if it.order != other.order {
		return it.order < other.order
	}
	return uintptr(unsafe.Pointer(it.first)) < uintptr(unsafe.Pointer(other.first))
}

// key returns the pair's key, which is valid for good.
func (it deadlineItem) key() []byte { return unsafe.Slice(it.first, it.order&deadlineKeyMask) }

// from and to are the first and the last nanosecond that the deadline may be.
func (it deadlineItem) from() int64 { return int64(it.order&^deadlineKeyMask ^ deadlineSign) }
func (it deadlineItem) to() int64   { return int64((it.order | deadlineKeyMask) ^ deadlineSign) }

// count adds a pair that has a deadline, or takes it out where times is -1.
func (d *deadlines) count(p pair, times int) {
	switch {
	case p.keySize > MaxKeySize:
	case times < 0:
		d.items.Delete(newDeadlineItem(p))
	default:
		if d.items == nil {
			d.items = btree.NewG(deadlinesDegree, deadlineItem.less)
		}
		d.items.ReplaceOrInsert(newDeadlineItem(p))
	}
}

// clone counts as a change of the index that is cloned.
func (d deadlines) clone() deadlines {
	if d.items != nil {
		d.items = d.items.Clone()
	}
	return d
}

func (d deadlines) len() int {
	if d.items == nil {
		return 0
	}
	return d.items.Len()
}

// next returns the instant from which on ascend yields something; without an entry it is the last one there is.
func (d deadlines) next() int64 {
	if d.len() == 0 {
		return math.MaxInt64
	}
	first, _ := d.items.Min()
	return first.to()
}

// ascend yields the keys of pairs that have expired at an instant, the earliest deadlines first, until yield returns false. It may
// leave out those that expired in the instant's last unit.
func (d deadlines) ascend(now int64, yield func(key []byte) bool) {
	if d.items != nil {
		d.items.Ascend(func(it deadlineItem) bool { return it.to() <= now && yield(it.key()) })
	}
}

// expired counts the pairs of the state that have expired at an instant, in time that grows with them.
func (s *state) expired(now int64) (count int) {
	if s.deadlines.items == nil {
		return 0
	}
	s.deadlines.items.Ascend(func(it deadlineItem) bool {
		if it.from() > now {
			return false
		}
		if it.to() <= now {
			count++
		} else if found, _ := s.tree.get(it.key()); found.expired(now) {
			count++
		}
		return true
	})
	return count
}
