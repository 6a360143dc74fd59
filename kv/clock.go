package kv

import (
	"sync/atomic"
	"time"
)

// clock is a store's time, in nanoseconds since 1970. It follows the system's clock, but never goes back: where that one is
// set back, and where it is earlier than a commit that is there already, it goes on from where it was. So a pair that has
// expired stays so, and commits have ascending times.
type clock struct {
	read  func() (wall, elapsed int64)
	ahead atomic.Int64 // The most that wall was ahead of elapsed.
}

// newClock returns a clock. Tests have their own source of time.
func newClock(source func() int64) *clock {
	c := &clock{read: func() (wall, elapsed int64) { return source(), 0 }}
	if source == nil {
		started := time.Now()
		c.read = func() (wall, elapsed int64) {
			now := time.Now()
			return now.UnixNano(), int64(now.Sub(started))
		}
	}
	wall, elapsed := c.read()
	c.ahead.Store(wall - elapsed)
	return c
}

// now returns the time.
func (c *clock) now() int64 {
	wall, elapsed := c.read()
	return c.atLeast(wall, elapsed)
}

// goesOnFrom makes the clock no earlier than a time that was seen before.
func (c *clock) goesOnFrom(seen int64) {
	_, elapsed := c.read()
	c.atLeast(seen, elapsed)
}

// atLeast returns the time, which is wall or later.
func (c *clock) atLeast(wall, elapsed int64) int64 {
	for {
		ahead := c.ahead.Load()
		if wall-elapsed <= ahead {
			return elapsed + ahead
		}
		if c.ahead.CompareAndSwap(ahead, wall-elapsed) {
			return wall
		}
	}
}
