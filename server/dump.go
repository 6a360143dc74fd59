package server

import (
	"math"
	"time"
)

// dumpCommands carry values from one server to another.
var dumpCommands = []command{
	{name: "dump", arity: 2, class: reading, run: dump, keys: oneKey},
	{name: "restore", arity: -4, class: writing, run: restore, keys: oneKey, grows: true},
}

func dump(c *call) {
	if value, found := c.get(c.args[1]); found {
		c.bulk(dumpOf(value))
	} else {
		c.null()
	}
}

// restoreOptions are the options of RESTORE. What IDLETIME and FREQ say isn't kept.
type restoreOptions struct {
	replace  bool // REPLACE
	absolute bool // ABSTTL
	idle     bool // IDLETIME has come.
	frequent bool // FREQ has come, which IDLETIME excludes.
}

// take takes all options. It returns the error where they aren't right.
func (o *restoreOptions) take(args [][]byte) (problem string) {
	for ; len(args) > 0 && problem == ""; args = args[1:] {
		number := is(args[0], "IDLETIME") && !o.frequent || is(args[0], "FREQ") && !o.idle
		switch {
		case is(args[0], "REPLACE"):
			o.replace = true
		case is(args[0], "ABSTTL"):
			o.absolute = true
		case number && len(args) > 1:
			problem = o.takeUse(is(args[0], "FREQ"), args[1])
			args = args[1:]
		default:
			problem = errSyntax
		}
	}
	return problem
}

// takeUse takes how much Redis would think that the value is used.
func (o *restoreOptions) takeUse(isFrequency bool, arg []byte) (problem string) {
	n, ok := parseInt(arg)
	switch {
	case !ok:
		return errNotInteger
	case isFrequency && (n < 0 || n > math.MaxUint8):
		return "ERR Invalid FREQ value, must be >= 0 and <= 255"
	case !isFrequency && n < 0:
		return "ERR Invalid IDLETIME value, must be >= 0"
	}
	o.frequent, o.idle = o.frequent || isFrequency, o.idle || !isFrequency
	return ""
}

func restore(c *call) {
	var o restoreOptions
	if problem := o.take(c.args[4:]); problem != "" {
		c.fail(problem)
		return
	}
	key, text := c.args[1], c.args[3]
	taken := c.has(key)
	if taken && !o.replace {
		c.fail("BUSYKEY Target key name already exists.")
		return
	}
	life, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail(errNotInteger)
		return
	case life < 0:
		c.fail("ERR Invalid TTL value, must be >= 0")
		return
	case !isSound(text):
		c.fail("ERR DUMP payload version or checksum are wrong")
		return
	}
	value, problem := valueOf(text)
	if problem != "" {
		c.fail(problem)
		return
	}
	deadline, gone := o.deadline(life, c.now)
	if gone && taken && !c.remove(key) || !gone && !c.put(key, value, deadline) {
		return
	}
	c.ok()
}

// deadline returns the instant from which on a restored pair is gone, the zero time where it stays, and whether it is
// gone already.
func (o *restoreOptions) deadline(life int64, now time.Time) (at time.Time, gone bool) {
	if life == 0 {
		return time.Time{}, false
	}
	unit := timeUnit{1, o.absolute}
	milli, ok := unit.instant(life, now)
	if !ok || milli <= now.UnixMilli() { // In Redis a sum that is too large is in the past.
		return time.Time{}, true
	}
	return time.UnixMilli(milli), false
}
