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
type timer struct {
	spread histogram.Histogram // In nanoseconds.
	timed  atomic.Int64        // How many were, as far as timedAll.
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
		return
	}
	if t.timed.Load() < timedAll {
		t.timed.Add(1)
	}
	t.spread.Record(int64(time.Since(started)))
}
