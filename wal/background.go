package wal

import (
	"sync"
	"sync/atomic"
	"time"
)

// background is the log's one goroutine, which does what callers should not have to wait for.
type background struct {
	stop      chan struct{}
	wake      chan struct{} // Gets a token when there may be something to do: see wakeBackground.
	stopped   sync.WaitGroup
	indexDue  atomic.Bool  // A segment was rolled, and its index is to be written.
	resting   atomic.Bool  // The goroutine waits for a token and for no time: everything is synced, and no mark is due.
	growAgain atomic.Int64 // When space may be made ahead of need again, in nanoseconds since 1970.
}

// startBackground starts the goroutine, where there is something to do.
func (l *Log) startBackground() {
	if l.opts.ReadOnly && !l.opts.Follow || l.opts.foreground {
		return
	}
	l.stop = make(chan struct{})
	run := l.runBackground
	if l.opts.Follow {
		run = newTracker(l).run
	}
	l.stopped.Go(run)
}

func (l *Log) stopBackground() {
	if l.stop != nil {
		close(l.stop)
		l.stopped.Wait()
	}
}

func (l *Log) runBackground() {
	var syncs, idles beat
	if l.opts.Sync == SyncInterval {
		syncs.every = l.opts.SyncInterval
	}
	if l.opts.Sync != SyncNever {
		idles.every = l.opts.IdleMark
	}
	syncs.start()
	idles.start()
	defer syncs.stop()
	defer idles.stop()
	for seen := l.Last(); ; {
		select {
		case <-l.stop:
			return
		case <-l.wake:
			if l.resting.Swap(false) {
				syncs.start()
				idles.start()
			}
			l.workAhead()
			continue
		case <-syncs.ticks:
			_ = l.syncAcknowledged() // A failure is in the log now: every later call returns it.
		case <-idles.ticks:
			if last := l.Last(); last != seen {
				seen = last
				continue
			}
			l.markIdle()
		}
		if l.mayRest() {
			syncs.stop()
			idles.stop()
		}
	}
}

// beat is a ticker that can be started again.
type beat struct {
	every  time.Duration // If it isn't positive, there are no ticks.
	ticker *time.Ticker
	ticks  <-chan time.Time
}

func (b *beat) start() {
	switch {
	case b.every <= 0:
	case b.ticker == nil:
		b.ticker = time.NewTicker(b.every)
		b.ticks = b.ticker.C
	default:
		b.ticker.Reset(b.every)
	}
}

func (b *beat) stop() {
	if b.ticker != nil {
		b.ticker.Stop()
	}
}

// mayRest reports whether nothing is to be synced or marked, and lets wakeBackground know. Whatever changes that holds the submit lock.
func (l *Log) mayRest() bool {
	if !l.submitMu.TryLock() {
		return false
	}
	defer l.submitMu.Unlock()
	s := l.segments.active().store
	rests := l.Durable() >= s.next-1 && (l.opts.IdleMark <= 0 || !s.needsMark())
	if rests {
		l.resting.Store(true)
	}
	return rests
}

// The modes that sync seldom let this many bytes gather before the background syncs them. Towards the end of a segment the step
// shrinks to the smaller one, so that the append that fills it finds little left to sync.
const (
	writebackStep    = 8 << 20
	writebackStepMin = 1 << 20
)

// needsWriteback reports whether the background should sync a store, in the modes that sync seldom.
func (l *Log) needsWriteback(s *store) bool {
	written := s.written.position()
	step := min(writebackStep, max(writebackStepMin, l.opts.SegmentSize-written))
	return l.syncsSeldom() && written-s.durable.position() >= step
}

// wakeBackground asks for more space, or for a sync, before appends run into either, and ends its rest. The submit lock is held, or a
// group of the active segment has just landed.
func (l *Log) wakeBackground() {
	s := l.segments.activeStore.Load()
	if !l.resting.Load() && !l.needsSpace(s) && !l.needsWriteback(s) && !l.indexDue.Load() {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// keepIndexes writes the indexes of segments that were rolled, unless the log is being truncated or closed, which does that too.
func (l *Log) keepIndexes() {
	if !l.truncateMu.TryLock() {
		return
	}
	defer l.truncateMu.Unlock()
	l.indexDue.Store(false)
	l.segments.mu.RLock()
	segments := l.segments.list
	l.segments.mu.RUnlock()
	for _, g := range segments[:len(segments)-1] {
		if g.wrong.Load() {
			l.keepIndex(g, false)
		}
	}
}

// workAhead makes space that appends will need soon, syncs what a roll would have to, and writes the indexes that rolls left to it.
func (l *Log) workAhead() {
	if l.indexDue.Load() {
		l.keepIndexes()
	}
	g, err := l.useActive()
	if err != nil {
		return
	}
	defer func() { _ = g.release() }() // Its files are closed here only where a truncation has just removed them.
	if l.needsWriteback(g.store) {
		_ = l.syncSegment(g) // A failure is in the log now: every later call returns it.
	}
	l.growAhead(g.store)
}

// markIdle writes the mark that proves the last group durable, once nothing more comes and where no frame does that already. An
// append that runs meanwhile proves it as well as a mark would.
func (l *Log) markIdle() {
	if !l.submitMu.TryLock() {
		return
	}
	s := l.segments.active().store
	if l.opts.Sync == SyncNever || !s.needsMark() || l.Durable() < s.next-1 {
		l.submitMu.Unlock()
		return
	}
	durable, err := l.mark()
	l.submitMu.Unlock()
	if err == nil {
		_ = durable() // A failure is in the log now: every later call returns it.
	}
}
