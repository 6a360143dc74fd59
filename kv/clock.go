package kv

import (
	"sync/atomic"
	"time"
)

// clockCheck is how long a clock goes by the time that has elapsed, which takes half as long to read as the system's clock.
const clockCheck = int64(time.Millisecond)

// clock is a store's time, in nanoseconds since 1970. It follows the system's clock, but never goes back, nor before a commit
// that is there already. So a pair that has expired stays so, and commits have ascending times.
type clock struct {
	wall    func() int64
	elapsed func() int64 // Since the clock was made.
	ahead   atomic.Int64 // The most that wall was ahead of elapsed.
	checked atomic.Int64 // When that was looked at, by elapsed.
}

// newClock returns a clock. Tests have their own wall, and no time elapses beside it; nil is the system's.
func newClock(wall func() time.Time) *clock {
	c := &clock{wall: func() int64 { return unixNano(wall()) }, elapsed: func() int64 { return 0 }}
	if wall == nil {
		started := time.Now()
		c.wall = func() int64 { return time.Now().UnixNano() }
		c.elapsed = func() int64 { return int64(time.Since(started)) }
	}
	c.ahead.Store(c.wall() - c.elapsed())
	c.checked.Store(-clockCheck)
	return c
}

func (c *clock) now() int64 {
	elapsed := c.elapsed()
	if elapsed == 0 || elapsed-c.checked.Load() >= clockCheck {
		c.checked.Store(elapsed)
		c.goesOnFrom(c.wall())
	}
	return elapsed + c.ahead.Load()
}

// goesOnFrom makes the clock no earlier than a time that was seen.
func (c *clock) goesOnFrom(seen int64) {
	wanted := seen - c.elapsed()
	for ahead := c.ahead.Load(); wanted > ahead && !c.ahead.CompareAndSwap(ahead, wanted); ahead = c.ahead.Load() {
	}
}
