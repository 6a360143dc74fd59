package kv

import (
	"bytes"
	"encoding/binary"
	"math"
)

// item is a pair as the tree holds it, with eight bytes of its key beside it as a number. Most comparisons on a search's
// way then end within the node, rather than with a read of a key that lies anywhere in memory.
//
// Invariant: all items of a tree, and those it is searched with, have their order numbers from the same common prefix.
type item struct {
	order uint64 // By keyOrder.
	pair
}

func (it item) less(other item) bool {
	if it.order != other.order {
		return it.order < other.order
	}
	return bytes.Compare(it.key(), other.key()) < 0
}

// keyOrder returns a number that never orders two keys the wrong way round, while equal numbers say nothing. It is made
// of the eight bytes after a common prefix; keys without that prefix get the lowest number or the highest.
func keyOrder(key, common []byte) uint64 {
	rest, found := bytes.CutPrefix(key, common)
	switch {
	case !found && bytes.Compare(key, common) < 0:
		return 0
	case !found:
		return math.MaxUint64
	case len(rest) >= 8:
		return binary.BigEndian.Uint64(rest)
	}
	var filled [8]byte
	copy(filled[:], rest)
	return binary.BigEndian.Uint64(filled[:])
}

// commonMargin is how many bytes more than a sample needs its larger tree is taken to need.
const commonMargin = 2

// commonPrefix returns a prefix for keyOrder, chosen from a sample of keys in ascending order. It is no longer than it must be for
// the eight bytes after it to tell them apart: the keys of a counter share more than those that will follow.
func commonPrefix(ascending [][]byte) []byte {
	if len(ascending) == 0 {
		return []byte{}
	}
	first := ascending[0]
	shared, needed, longest := sharedSize(first, ascending[len(ascending)-1]), 0, len(first)
	for i := 1; i < len(ascending); i++ {
		needed = max(needed, sharedSize(ascending[i-1], ascending[i])+1)
		longest = max(longest, len(ascending[i]))
	}
	end := min(needed+commonMargin, longest)
	return append([]byte{}, first[:min(shared, max(end-8, 0))]...)
}

func sharedSize(a, b []byte) int {
	size := min(len(a), len(b))
	for i := range size {
		if a[i] != b[i] {
			return i
		}
	}
	return size
}
