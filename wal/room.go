package wal

import (
	"errors"
	"time"
)

// reserveSize is kept free after a record: for a mark that proves it, one that truncates the front of a log on a full disk, and the
// seal.
const reserveSize = 3 * boundsFrameSize

// Growth: a store starts small, so that a small log is small on disk, and doubles, in the default mode up to a step that is worth
// a sync: its zeros are written.
const (
	growFraction = 1024
	firstSizeMin = 512
	growStepMax  = 8 << 20
)

// firstSize is how much a new store has allocated.
func (l *Log) firstSize() int64 { return max(firstSizeMin, l.opts.SegmentSize/growFraction) }

// isFull reports whether a store must not take frames of this size any more.
func (l *Log) isFull(s *store, size int64) bool {
	return s.next > s.head.base && s.end+size+boundsFrameSize > l.opts.SegmentSize
}

// makeRoom rolls or grows until frames of this size, and what may have to follow them, fit into the active segment and into space
// that is durably there. An error uses no offset. The submit lock is held.
func (l *Log) makeRoom(size int64) error {
	s := l.segments.active().store
	switch isFull := l.isFull(s, size); {
	case l.ended:
		return ErrClosed
	case !isFull && l.hasSpace(s, size):
		return nil
	case isFull:
		if err := l.roll(l.createNext); err != nil {
			return err
		}
		s = l.segments.active().store
	default:
		if err := l.writable(); err != nil {
			return err
		}
	}
	defer l.meter.checkSpace()
	if err := l.makeSpace(s, l.spaceFor(s, size)-s.end); err != nil {
		return err
	}
	l.mapActive()
	return nil
}

// hasSpace reports whether frames of this size can be laid out in the active store as it is.
func (l *Log) hasSpace(s *store, size int64) bool {
	space := s.allocated.Load()
	if l.storesThroughMap() {
		space = s.mapped
	}
	return l.spaceFor(s, size) <= space
}

// spaceFor returns the length that a store needs for frames of this size and the reserve after them.
func (l *Log) spaceFor(s *store, size int64) int64 {
	space := s.end + size + reserveSize
	if s.sealed.Load() {
		space += boundsFrameSize
	}
	return space
}

// makeSpace makes the store at least size bytes longer than its end.
func (l *Log) makeSpace(s *store, size int64) error {
	need := s.end + size
	if need <= s.allocated.Load() {
		return nil
	}
	return l.sticky(s.grow(need, max(need, l.growTarget(s))))
}

// growTarget returns the size to grow a store to.
func (l *Log) growTarget(s *store) int64 {
	have := s.allocated.Load()
	step := max(have, firstSizeMin)
	if !l.syncsSeldom() {
		step = min(step, growStepMax)
	}
	return min(have+step, max(l.opts.SegmentSize, have))
}

// storesThroughMap reports whether records are stored through a mapping.
func (l *Log) storesThroughMap() bool { return writesThroughMap && l.syncsSeldom() && !l.unmappable }

// mapActive sees to it that everything allocated of the active store is mapped. The submit lock is held.
func (l *Log) mapActive() {
	if !l.storesThroughMap() {
		return
	}
	s := l.segments.active().store
	if err := s.mapAll(l.opts.writeFrom); err != nil {
		l.unmappable = true
		l.opts.Logger.Warn("store can't be mapped; each record is written instead", "path", s.path, "error", err)
	}
}

// growAheadPause is for how long space isn't made ahead after that has failed: on a full disk each try takes all that is left.
const growAheadPause = time.Second

// needsSpace reports whether appends will soon need more space than there is.
func (l *Log) needsSpace(s *store) bool {
	allocated := s.allocated.Load()
	return allocated < l.opts.SegmentSize && allocated-s.written.position() <= min(allocated, growStepMax)/2 &&
		time.Now().UnixNano() >= l.growAgain.Load()
}

// growAhead makes space that appends will need soon. A full disk is an error of the append that runs out of space, later.
func (l *Log) growAhead(s *store) {
	if !l.needsSpace(s) {
		return
	}
	defer l.meter.checkSpace()
	target := l.growTarget(s)
	err := l.sticky(s.grow(target, target))
	if err != nil {
		l.growAgain.Store(time.Now().Add(growAheadPause).UnixNano())
	}
	if errors.Is(err, ErrNoSpace) {
		l.opts.Logger.Warn("log can't allocate ahead", "path", s.path, "error", err)
	}
}
