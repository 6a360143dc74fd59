package wal

import (
	"sync"
	"time"
)

// background is the log's one goroutine, which does what callers should not have to wait for.
type background struct {
	stop    chan struct{}
	wake    chan struct{} // Gets a token when the active store is running out of space.
	stopped sync.WaitGroup
}

// startBackground starts the goroutine, where there is something to do.
func (l *Log) startBackground() {
	l.wake = make(chan struct{}, 1)
	if l.opts.ReadOnly || l.opts.foreground {
		return
	}
	l.stop = make(chan struct{})
	l.stopped.Go(l.runBackground)
}

func (l *Log) stopBackground() {
	if l.stop != nil {
		close(l.stop)
		l.stopped.Wait()
	}
}

func (l *Log) runBackground() {
	var syncs, idles <-chan time.Time
	if l.opts.Sync == SyncInterval {
		ticker := time.NewTicker(l.opts.SyncInterval)
		defer ticker.Stop()
		syncs = ticker.C
	}
	if l.opts.IdleMark > 0 {
		ticker := time.NewTicker(l.opts.IdleMark)
		defer ticker.Stop()
		idles = ticker.C
	}
	seen := l.Last()
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
			l.workAhead()
		case <-syncs:
			_ = l.syncAcknowledged() // A failure is in the log now: every later call returns it.
		case <-idles:
			if last := l.Last(); last != seen {
				seen = last
				continue
			}
			l.markIdle()
		}
	}
}

// The modes that sync seldom let so many bytes gather before the background syncs them: the disk then works while records
// are appended. Towards the end of a segment the step shrinks with what is left of it, down to the smaller one, so that the
// append that fills the segment, which has to wait for a sync, finds little left to do.
const (
	writebackStep    = 8 << 20
	writebackStepMin = 1 << 20
)

// needsWriteback reports whether the background should sync a store, in the modes that sync seldom.
func (l *Log) needsWriteback(s *store) bool {
	written := s.written.Load()
	step := min(writebackStep, max(writebackStepMin, l.opts.SegmentSize-written))
	return l.syncsSeldom() && written-s.durable.Load() >= step
}

// wakeBackground asks for more space, or for a sync, before appends run into either. l.mu is held.
func (l *Log) wakeBackground() {
	store := l.active.store
	allocated, written := store.allocated.Load(), store.written.Load()
	needsSpace := allocated < l.opts.SegmentSize && allocated-written <= min(allocated, growStepMax)/2
	if !needsSpace && !l.needsWriteback(store) {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// workAhead makes space that appends will need soon, and syncs what a roll would have to. That the disk is full is for
// the append to say that runs out of space; it may be a long time till then.
func (l *Log) workAhead() {
	u, err := l.unsynced()
	if err != nil {
		return
	}
	defer func() { _ = u.segment.release() }() // Its files are closed here only where a truncation has just removed them.
	store := u.segment.store
	if l.needsWriteback(store) {
		_ = l.syncRecords(u) // A failure is in the log now: every later call returns it.
	}
	allocated := store.allocated.Load()
	if allocated >= l.opts.SegmentSize || allocated-store.written.Load() > min(allocated, growStepMax)/2 {
		return
	}
	defer l.watchSpace()
	if err := l.sticky(store.grow(l.growTarget(store, 0))); err != nil {
		l.opts.Logger.Warn("log can't allocate ahead", "path", store.path, "error", err)
	}
}

// markIdle writes the mark that proves the last group durable, once nothing more comes. Whoever appends meanwhile does
// that as well as a mark would.
func (l *Log) markIdle() {
	if !l.submitMu.TryLock() {
		return
	}
	defer l.submitMu.Unlock()
	_ = l.mark() // A failure is in the log now: every later call returns it.
}

// mark writes and syncs a mark, if a record came after the last one and every record is durable. The submit lock is
// held.
func (l *Log) mark() error {
	if l.marked || l.opts.Sync == SyncNever || l.Durable() < l.submitted {
		return nil
	}
	return l.writeMark(l.first.Load(), l.submitted)
}

// writeMark writes and syncs a mark that says these bounds. The submit lock is held.
func (l *Log) writeMark(first, last uint64) error {
	if err := l.drain(); err != nil {
		return err
	}
	store := l.active.store
	if err := l.roomForMark(store); err != nil {
		return err
	}
	l.mu.Lock()
	g := l.formingAt(store.end)
	g.force = true
	g.buffer = store.layOutBounds(g.buffer, kindMark, first, last)
	store.sealed.Store(false)
	l.marked = true
	return l.waitFor(g)
}

// putMark is writeMark for those who wait for the mark when they have given the submit lock back. Records may stand in front
// of it that aren't durable yet, and behind it.
func (l *Log) putMark(first, last uint64) (durable func() error, err error) {
	store := l.active.store
	if err := l.roomForMark(store); err != nil {
		return nil, err
	}
	if l.storesThroughMap() {
		l.mapActive()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	if l.syncsSeldom() {
		return l.giveMark(first, last)
	}
	g := l.formingAt(store.end)
	g.wait() // So that it isn't used again before it was looked at.
	g.force = true
	g.buffer = store.layOutBounds(g.buffer, kindMark, first, last)
	store.sealed.Store(false)
	l.marked = true
	return func() error {
		l.mu.Lock()
		return l.waitFor(g)
	}, nil
}

// giveMark gives a mark to the kernel. The submit lock and l.mu are held.
func (l *Log) giveMark(first, last uint64) (durable func() error, err error) {
	store := l.active.store
	payload := bounds{first: first, last: last, chain: store.chain}.encode()
	if err := store.giveFrame(kindMark, payload[:], payloadSum(payload[:])); err != nil {
		l.fail(err)
		return nil, l.failed
	}
	store.sealed.Store(false)
	// Its caller keeps other truncations away, so the segment stays in use.
	u := l.acknowledgedNow()
	return func() error { return l.syncRecords(u) }, nil
}

// roomForMark makes room for a mark and the seal behind it. What is kept in reserve does in most cases.
func (l *Log) roomForMark(store *store) error {
	need := store.end + 2*boundsFrameSize
	if need <= store.allocated.Load() {
		return nil
	}
	return l.sticky(store.grow(l.growTarget(store, need)))
}
