package wal

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// segments is the list of a log's segments, in order. Each is followed by the next one, and the last is active.
//
// Invariant: it is changed under the log's submit lock only, so that its holder may read it without mu. In a log that follows its
// writer, nothing but the tracker changes it.
type segments struct {
	first       atomic.Uint64 // The first offset held.
	epoch       atomic.Uint64 // Changes when offsets are given out again.
	activeStore atomic.Pointer[store]

	mu     sync.RWMutex
	list   []*segment
	closed bool
}

// active returns the last segment, the only one that is written to. The submit lock is held.
func (s *segments) active() *segment { return s.list[len(s.list)-1] }

// add makes a segment the last one.
func (s *segments) add(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.list); n > 0 {
		s.list[n-1].next.Store(g)
	}
	s.list = append(slices.Clip(s.list), g)
	s.activeStore.Store(g.store)
}

// replace makes the first keep segments, and then one more, the log's, and returns those that no longer are. Offsets may be
// given out again from here on, so readers look for their segments again.
func (s *segments) replace(keep int, g *segment) (removed []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	removed = slices.Clone(s.list[keep:])
	s.list = append(slices.Clone(s.list[:keep]), g)
	if keep > 0 {
		s.list[keep-1].next.Store(g)
	}
	s.activeStore.Store(g.store)
	s.epoch.Add(1)
	return removed
}

// take makes other segments the log's, in order, and returns those that no longer are.
func (s *segments) take(list []*segment) (removed []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range list[1:] {
		list[i].next.Store(g)
	}
	removed, s.list = s.list, list
	s.activeStore.Store(list[len(list)-1].store)
	s.epoch.Add(1)
	return removed
}

// dropFront lets the first n segments go and returns them.
func (s *segments) dropFront(n int) (removed []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	removed = slices.Clone(s.list[:n])
	s.list = slices.Clone(s.list[n:])
	return removed
}

// basesOf returns the bases of segments.
func basesOf(list []*segment) (bases []uint64) {
	for _, g := range list {
		bases = append(bases, g.base())
	}
	return bases
}

// close lets every segment go, and releases it.
func (s *segments) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return each(s.list, (*segment).release)
}

// holder returns the number of the segment that would hold an offset: the last one whose base isn't greater, or the first.
func (s *segments) holder(offset uint64) int {
	return max(0, sort.Search(len(s.list), func(i int) bool { return s.list[i].base() > offset })-1)
}

// use returns the segment that holds an offset, for use until it is released. last is the last offset there is.
func (s *segments) use(offset uint64, last func() uint64) (*segment, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch first := s.first.Load(); {
	case s.closed:
		return nil, ErrClosed
	case offset < first || offset < s.list[0].base():
		return nil, fmt.Errorf("offset %d, the first held is %d: %w", offset, first, ErrTruncated)
	case offset > last():
		return nil, fmt.Errorf("offset %d, the last is %d: %w", offset, last(), ErrOutOfRange)
	}
	g := s.list[s.holder(offset)]
	g.users.Add(1)
	return g, nil
}
