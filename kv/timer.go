package kv

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
)

// Reading the clock twice can cost as much as a quarter of a commit in the relaxed modes. So the first timedAll of
// anything are timed, and of the others one in timedShare, by chance: a fixed rhythm could always hit the same writer.
const (
	timedAll   = 1000
	timedShare = 16
)

// timer measures how long something takes that happens often. The zero value is ready. It may be used concurrently.
//
// Invariant: a time that is measured stands for itself and for what wasn't timed since the one before, so that what snapshot returns
// counts all that has stopped, and none of its numbers ever goes back.
type timer struct {
	spread  histogram.Histogram // In nanoseconds.
	timed   atomic.Int64        // How many were, as far as timedAll.
	untimed atomic.Int64        // How many stopped since the last one measured.
	last    atomic.Int64        // What that one took.
}

// start returns the time, or the zero time where this one isn't timed.
func (t *timer) start() time.Time {
	if t.timed.Load() >= timedAll && rand.Uint32()%timedShare != 0 {
		return time.Time{}
	}
	return time.Now()
}

func (t *timer) stop(started time.Time) {
	if started.IsZero() {
		t.untimed.Add(1)
		return
	}
	if t.timed.Load() < timedAll {
		t.timed.Add(1)
	}
	took := int64(time.Since(started))
	t.last.Store(took)
	t.spread.RecordMany(took, 1+t.untimed.Swap(0))
}

// snapshot returns what was measured. What wasn't timed since the last one measured counts as if it had taken as long.
func (t *timer) snapshot() histogram.Snapshot {
	if rest := t.untimed.Swap(0); rest > 0 {
		t.spread.RecordMany(t.last.Load(), rest)
	}
	return t.spread.Snapshot()
}
