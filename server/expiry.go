package server

import (
	"math"
	"time"
)

// expiryCommands are about the instants from which on pairs are gone. To change that instant puts the pair again.
var expiryCommands = []command{
	{name: "expire", arity: -3, class: writing, run: func(c *call) { expire(c, inSeconds) }, keys: oneKey},
	{name: "pexpire", arity: -3, class: writing, run: func(c *call) { expire(c, inMillis) }, keys: oneKey},
	{name: "expireat", arity: -3, class: writing, run: func(c *call) { expire(c, atSecond) }, keys: oneKey},
	{name: "pexpireat", arity: -3, class: writing, run: func(c *call) { expire(c, atMilli) }, keys: oneKey},
	{name: "persist", arity: 2, class: writing, run: persist, keys: oneKey},
	{name: "ttl", arity: 2, class: reading, run: func(c *call) { c.timeLeft(inSeconds) }, keys: oneKey},
	{name: "pttl", arity: 2, class: reading, run: func(c *call) { c.timeLeft(inMillis) }, keys: oneKey},
	{name: "expiretime", arity: 2, class: reading, run: func(c *call) { c.timeLeft(atSecond) }, keys: oneKey},
	{name: "pexpiretime", arity: 2, class: reading, run: func(c *call) { c.timeLeft(atMilli) }, keys: oneKey},
}

// timeUnit says what a number means as a time.
type timeUnit struct {
	millis   int64 // How many milliseconds it counts.
	absolute bool  // Since 1970 rather than from now on.
}

var (
	inSeconds = timeUnit{1000, false}
	inMillis  = timeUnit{1, false}
	atSecond  = timeUnit{1000, true}
	atMilli   = timeUnit{1, true}
)

// unitNames are the options that say how a time is meant.
type unitNames []struct {
	name string
	unit timeUnit
}

var expiryUnits = unitNames{{"EX", inSeconds}, {"PX", inMillis}, {"EXAT", atSecond}, {"PXAT", atMilli}}

func (names unitNames) find(option []byte) (unit timeUnit, ok bool) {
	for i := range names {
		if is(option, names[i].name) {
			return names[i].unit, true
		}
	}
	return timeUnit{}, false
}

// lastMilli is the last instant that a deadline can be, in the year 2262: later ones become it.
const lastMilli = math.MaxInt64 / 1_000_000

// instant returns the instant that a number means, in milliseconds since 1970. It reports false where Redis can't say
// it in 64 bits.
func (u timeUnit) instant(n int64, now time.Time) (milli int64, ok bool) {
	if n > math.MaxInt64/u.millis || n < math.MinInt64/u.millis {
		return 0, false
	}
	n *= u.millis
	if !u.absolute {
		base := now.UnixMilli()
		if n > math.MaxInt64-base {
			return 0, false
		}
		n += base
	}
	return min(n, lastMilli), true
}

func (c *call) invalidExpiry() { c.fail("ERR invalid expire time in '" + c.command.name + "' command") }

// expiry returns the instant that an argument of SET and its like means, which must be positive. Where it reports false
// the error is written as the reply.
func (c *call) expiry(arg []byte, unit timeUnit) (milli int64, ok bool) {
	n, ok := parseInt(arg)
	if !ok {
		c.fail(errNotInteger)
		return 0, false
	}
	if milli, ok = unit.instant(n, c.now); !ok || n <= 0 {
		c.invalidExpiry()
		return 0, false
	}
	return milli, true
}

// expireAt gives a pair, which is there, a deadline, or deletes it where that has come. Where it returns false the
// reply is written.
func (c *call) expireAt(key, value []byte, milli int64) bool {
	if milli <= c.now.UnixMilli() {
		return c.remove(key)
	}
	return c.put(key, value, time.UnixMilli(milli))
}

// expiryCondition is when EXPIRE and its like do anything.
type expiryCondition struct{ none, some, later, sooner bool }

// take takes the options NX, XX, GT and LT. It returns the error where one is unknown or they exclude each other.
func (e *expiryCondition) take(options [][]byte) (problem string) {
	for _, option := range options {
		switch {
		case is(option, "NX"):
			e.none = true
		case is(option, "XX"):
			e.some = true
		case is(option, "GT"):
			e.later = true
		case is(option, "LT"):
			e.sooner = true
		default:
			return "ERR Unsupported option " + asText(option)
		}
	}
	switch {
	case e.none && (e.some || e.later || e.sooner):
		return "ERR NX and XX, GT or LT options at the same time are not compatible"
	case e.later && e.sooner:
		return "ERR GT and LT options at the same time are not compatible"
	}
	return ""
}

// allows reports whether a deadline may be replaced. That of a pair that stays, which is zero, is later than any other.
func (e *expiryCondition) allows(before time.Time, milli int64) bool {
	stays := before.IsZero()
	switch {
	case e.none && !stays, e.some && stays:
		return false
	case e.later && (stays || milli <= before.UnixMilli()):
		return false
	case e.sooner && !stays && milli >= before.UnixMilli():
		return false
	}
	return true
}

// expire is EXPIRE and its like. An instant that has come deletes the pair.
func expire(c *call, unit timeUnit) {
	var condition expiryCondition
	if problem := condition.take(c.args[3:]); problem != "" {
		c.fail(problem)
		return
	}
	n, ok := parseInt(c.args[2])
	if !ok {
		c.fail(errNotInteger)
		return
	}
	milli, ok := unit.instant(n, c.now)
	if !ok {
		c.invalidExpiry()
		return
	}
	key := c.args[1]
	value, found := c.get(key)
	if !found || !condition.allows(c.deadline(key), milli) {
		c.truth(false)
	} else if c.expireAt(key, value, milli) {
		c.truth(true)
	}
}

func persist(c *call) {
	key := c.args[1]
	value, found := c.get(key)
	if !found || c.deadline(key).IsZero() {
		c.truth(false)
	} else if c.put(key, value, time.Time{}) {
		c.truth(true)
	}
}

// timeLeft answers with a pair's deadline in a unit: -1 where it stays, -2 where there is none.
func (c *call) timeLeft(unit timeUnit) {
	key := c.args[1]
	if !c.has(key) {
		c.integer(-2)
		return
	}
	deadline := c.deadline(key)
	if deadline.IsZero() {
		c.integer(-1)
		return
	}
	milli := deadline.UnixMilli()
	if !unit.absolute {
		milli = max(0, milli-c.now.UnixMilli())
	}
	c.integer((milli + unit.millis/2) / unit.millis) // Redis rounds to the nearest.
}
