package server

import "time"

// setCommands put a value with conditions or a deadline, and GETEX, which has the options of SET that are about
// deadlines.
var setCommands = []command{
	{name: "set", arity: -3, class: writing, run: set, keys: oneKey, grows: true, blind: blindSet},
	{name: "setex", arity: 4, class: writing, run: func(c *call) { setUntil(c, inSeconds) }, keys: oneKey, grows: true, blind: blindly},
	{name: "psetex", arity: 4, class: writing, run: func(c *call) { setUntil(c, inMillis) }, keys: oneKey, grows: true, blind: blindly},
	{name: "getex", arity: -2, class: writing, run: getAndExpire, keys: oneKey},
}

// setOptions are the options of SET or GETEX.
type setOptions struct {
	missing bool     // NX: only where there is no pair.
	present bool     // XX: only where there is one.
	get     bool     // Answer with the value before.
	keep    bool     // KEEPTTL
	persist bool     // PERSIST, which GETEX alone has.
	expires bool     // There is a deadline, of amount in unit.
	unit    timeUnit // Of EX, PX, EXAT or PXAT.
	amount  []byte   // Not parsed yet: Redis looks for conflicts first.
	forSet  bool
}

// take takes the option at the start of a command's rest, and returns how many arguments it has: none where it is
// unknown, conflicts with one before, or lacks its value. An option may be repeated.
func (o *setOptions) take(args [][]byte) int {
	option := args[0]
	unit, timed := expiryUnits.find(option)
	switch {
	case timed && len(args) > 1 && !o.keep && !o.persist && (!o.expires || o.unit == unit):
		o.expires, o.unit, o.amount = true, unit, args[1]
		return 2
	case is(option, "PERSIST") && !o.forSet && !o.expires:
		o.persist = true
	case is(option, "NX") && o.forSet && !o.present:
		o.missing = true
	case is(option, "XX") && o.forSet && !o.missing:
		o.present = true
	case is(option, "GET") && o.forSet:
		o.get = true
	case is(option, "KEEPTTL") && o.forSet && !o.expires:
		o.keep = true
	default:
		return 0
	}
	return 1
}

// takeAll takes all options. Where it returns false the error is written as the reply.
func (c *call) takeAll(o *setOptions, args [][]byte) bool {
	for len(args) > 0 {
		n := o.take(args)
		if n == 0 {
			c.fail(errSyntax)
			return false
		}
		args = args[n:]
	}
	return true
}

// blindSet reports whether SET has no option that reads.
func blindSet(args [][]byte) bool {
	if len(args) == 3 {
		return true
	}
	_, timed := expiryUnits.find(args[3])
	return len(args) == 5 && timed
}

func set(c *call) {
	o := setOptions{forSet: true}
	if !c.takeAll(&o, c.args[3:]) {
		return
	}
	key := c.args[1]
	var deadline time.Time
	if o.expires {
		at, ok := c.expiry(o.amount, o.unit)
		if !ok {
			return
		}
		deadline = time.UnixMilli(at)
	}
	var before []byte
	var found bool
	if o.get || o.missing || o.present {
		before, found = c.get(key)
	}
	refused := o.missing && found || o.present && !found
	if o.keep {
		deadline = c.deadline(key)
	}
	if !refused && !c.put(key, c.args[2], deadline) {
		return
	}
	switch {
	case o.get:
		c.optional(before, found)
	case refused:
		c.null()
	default:
		c.ok()
	}
}

// setUntil is SETEX and PSETEX.
func setUntil(c *call, unit timeUnit) {
	at, ok := c.expiry(c.args[2], unit)
	if ok && c.put(c.args[1], c.args[3], time.UnixMilli(at)) {
		c.ok()
	}
}

// getAndExpire is GETEX.
func getAndExpire(c *call) {
	o := setOptions{}
	if !c.takeAll(&o, c.args[2:]) {
		return
	}
	key := c.args[1]
	value, found := c.get(key)
	if !found {
		c.null()
		return
	}
	done := true
	switch {
	case o.expires:
		at, ok := c.expiry(o.amount, o.unit)
		done = ok && c.expireAt(key, value, at)
	case o.persist && !c.deadline(key).IsZero():
		done = c.put(key, value, time.Time{})
	}
	if done {
		c.bulk(value)
	}
}
