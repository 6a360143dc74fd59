package wal

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A segment begins in one way: its header names the place that it follows, and is durable before the file has its name. What
// the log held after that place is then no longer the log's.

// roll ends the active segment and starts the next one. Recovery relies on the order: the old records are durable before the new
// segment, that before the old seal, and the seal before the new one's first frame, unless that has a prepared record. The submit
// lock is held.
func (l *Log) roll(create func(head storeHead) (*store, error)) error {
	if err := l.settle(); err != nil {
		return err
	}
	active := l.segments.active()
	s := active.store
	g, err := l.begin(l.after(s, s.end, s.next, s.chain), create)
	if err != nil {
		return err
	}
	if err := errors.Join(s.seal(kindRolled, l.First()), s.unmap()); err != nil {
		return l.failWith(errors.Join(err, g.release()))
	}
	l.mu.Lock()
	l.stats.Rolls++
	l.mu.Unlock()
	l.segments.add(g)
	active.wrong.Store(true)
	l.indexDue.Store(true)
	if l.opts.foreground {
		l.keepIndexes()
	}
	l.opts.Logger.Debug("log rolled", "dir", l.dir, "base", g.base(), "sealed_bytes", s.end)
	return nil
}

// after returns the header, without its salt, of a segment that follows a store after a record or the header.
func (l *Log) after(s *store, end int64, next uint64, chain uint32) storeHead {
	return storeHead{
		id: s.head.id, base: next, first: l.First(), generation: s.head.generation, prevSalt: s.head.salt, prevEnd: end, prevChain: chain,
	}
}

// begin makes a segment, durably.
func (l *Log) begin(head storeHead, create func(head storeHead) (*store, error)) (*segment, error) {
	head.salt = newSalt()
	s, err := create(head)
	if err != nil {
		return nil, l.sticky(fmt.Errorf("begin segment %d: %w", head.base, err))
	}
	return l.newSegment(s, &index{anchored: true}), nil
}

// TruncateBack removes the records after last, which may be the offset before the first one to empty the log. Later records get
// the removed ones' offsets again: like a consensus log, the caller must know that they were never agreed upon. They never get
// into an archive. A crash leaves the log as it was or truncated. ErrNoSpace, of the space for a new segment's header, changes
// nothing. Readers that have passed last go on at their offset once it is there again.
func (l *Log) TruncateBack(last uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if last >= l.segments.active().store.next-1 {
		return nil
	}
	if first := l.First(); last+1 < first {
		return fmt.Errorf("truncate after %d, the first held is %d: %w", last, first, ErrTruncated)
	}
	if err := l.settle(); err != nil {
		return err
	}
	keep, head, err := l.placeAfter(last)
	if err != nil {
		return err
	}
	if err := l.unarchive(l.segments.list[max(0, keep-1):]); err != nil {
		return err
	}
	return l.cut(keep, head)
}

// maxReset leaves a log more offsets than it will ever give out.
const maxReset = math.MaxInt64 / 2

// Reset empties the log and lets it start over: its next record gets the given offset, from 1 to 1<<62 - 1. A replica does
// that when it starts from a snapshot made elsewhere. A crash leaves the log as it was or empty. An archive keeps
// what it has, and gets nothing of what the log loses here. After a reset to a later offset the archive goes on with a gap, which readers
// meet. After one to an offset that it has, the log needs another archive: TruncateFront refuses to replace a segment that is there.
func (l *Log) Reset(first uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if first == 0 || first > maxReset {
		return fmt.Errorf("first offset %d, want 1 to %d: %w", first, uint64(maxReset), ErrOutOfRange)
	}
	if l.First() == first && l.segments.active().store.next == first {
		return nil
	}
	if err := l.settle(); err != nil {
		return err
	}
	return l.cut(0, storeHead{id: l.ID(), base: first, first: first})
}

// placeAfter returns how many segments stay up to a record, and the header of one that follows it. Everything was synced.
func (l *Log) placeAfter(last uint64) (keep int, head storeHead, err error) {
	i := l.segments.holder(last)
	g := l.segments.list[i]
	s := g.store
	switch {
	case last+1 == g.base(): // Nothing of it stays: the new segment takes its place.
		head = s.head
		head.first = l.First()
		return i, head, nil
	case last == s.next-1:
		return i + 1, l.after(s, s.end, s.next, s.chain), nil
	}
	sc := s.scan(s.end)
	if position, number, chain, ok := g.index.Load().anchor(last - g.base()); ok {
		sc.position, sc.next, sc.chain = position, g.base()+number, chain
	}
	for sc.next <= last {
		if _, err := sc.frame(); err != nil {
			return 0, head, readError(s.path, sc.position, sc.next, err)
		}
	}
	return i + 1, l.after(s, sc.position, last+1, sc.chain), nil
}

// cut lets the log go on at another place, after the first segments. The new segment's name is what makes it so. The submit lock
// is held, and everything was written and synced.
func (l *Log) cut(keep int, head storeHead) error {
	head.generation = l.segments.active().store.head.generation + 1
	g, err := l.begin(head, l.createStore)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.segments.epoch.Add(1) // A reader that fails since less is acknowledged must see another epoch, too.
	l.restart(head.base)
	l.segments.first.Store(head.first)
	removed := l.segments.replace(keep, g)
	l.mu.Unlock()
	if keep > 0 {
		l.endWhere(l.segments.list[keep-1], g.store)
	}
	// The new segment may have taken the name of one of these.
	l.dropped = slices.DeleteFunc(append(l.dropped, basesOf(removed)...), func(base uint64) bool { return base == g.base() })
	l.removeDropped()
	// Those that follow may get the names of these. They are left to the next open.
	l.dropped = slices.DeleteFunc(l.dropped, func(base uint64) bool { return base > g.base() })
	return each(removed, (*segment).release)
}

// endWhere lets a segment end where a new one follows, and its index say as much: that takes the place of a seal. Not a byte of
// the records that were truncated is touched, since another process may be reading them. The space after them is given back.
func (l *Log) endWhere(g *segment, next *store) {
	if s := g.store; s.end != next.head.prevEnd || !s.sealed.Load() { // Otherwise it ends there already.
		s.giveBack()
		s.endWith(next)
		l.keepIndex(g, true)
	}
}
