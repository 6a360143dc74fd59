package server

import (
	"fmt"
	"strings"
)

// objectCommands say how Redis would hold a value. A store holds all of them in one way.
var objectCommands = []command{
	{name: "object", arity: -2, class: reading, run: object, keys: keyPlaces{2, 2, 1}},
}

// embeddedMax is how many bytes a value has in Redis that lies beside its key's entry.
const embeddedMax = 44

const errNoFrequency = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. " +
	"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."

// objectHelp is what OBJECT HELP answers with.
var objectHelp = []string{
	"OBJECT <subcommand> <key>. Subcommands are:",
	"ENCODING",
	"    How Redis would hold the value: int, embstr or raw.",
	"FREQ",
	"    An error: the frequency of use isn't tracked.",
	"IDLETIME",
	"    0: the time of the last use isn't tracked.",
	"REFCOUNT",
	"    1: no two keys share a value.",
	"HELP",
	"    This text.",
}

func object(c *call) {
	name := c.args[1]
	var answer func(value []byte)
	switch {
	case is(name, "HELP"):
		c.objectHelp()
		return
	case is(name, "ENCODING"):
		answer = func(value []byte) { c.text(encoding(value)) }
	case is(name, "FREQ"):
		answer = func([]byte) { c.fail(errNoFrequency) }
	case is(name, "IDLETIME"):
		answer = func([]byte) { c.integer(0) }
	case is(name, "REFCOUNT"):
		answer = func([]byte) { c.integer(1) }
	default:
		c.fail(fmt.Sprintf("ERR unknown subcommand '%s'. Try OBJECT HELP.", cut(name, shownMax)))
		return
	}
	if len(c.args) != 3 {
		c.fail(wrongArity("object|" + strings.ToLower(string(name))))
	} else if value, found := c.get(c.args[2]); found {
		answer(value)
	} else {
		c.null()
	}
}

func (c *call) objectHelp() {
	if len(c.args) != 2 {
		c.fail(wrongArity("object|help"))
		return
	}
	c.array(len(objectHelp))
	for _, line := range objectHelp {
		c.simple(line)
	}
}

// encoding is how Redis holds a value that was set as a whole.
func encoding(value []byte) string {
	switch _, isInt := parseInt(value); {
	case isInt:
		return "int"
	case len(value) <= embeddedMax:
		return "embstr"
	}
	return "raw"
}
