package kv

import (
	"bytes"
	"container/heap"
	"slices"
)

// removal is a range delete among mutations that are numbered: it comes before that of its number.
type removal struct {
	span
	before uint64
}

// removals says whether a mutation was undone by a later range delete. It is asked about keys in ascending order.
type removals struct {
	next []removal   // In the order of their starts.
	open latestFirst // Those that begin with or before the last key, apart from some that end there.
}

func newRemovals(list []removal) *removals {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b removal) int { return bytes.Compare(a.start, b.start) })
	return &removals{next: list}
}

func (r *removals) has(key []byte, number uint64) bool {
	for len(r.next) > 0 && bytes.Compare(r.next[0].start, key) <= 0 {
		heap.Push(&r.open, r.next[0])
		r.next = r.next[1:]
	}
	for len(r.open) > 0 && !r.open[0].precedesEnd(key) {
		heap.Pop(&r.open)
	}
	return len(r.open) > 0 && number < r.open[0].before
}

// latestFirst is a heap of removals.
type latestFirst []removal

func (h latestFirst) Len() int           { return len(h) }
func (h latestFirst) Less(i, j int) bool { return h[i].before > h[j].before }
func (h latestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *latestFirst) Push(r any)        { *h = append(*h, r.(removal)) }

func (h *latestFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
