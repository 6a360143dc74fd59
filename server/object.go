package server

// objectCommands say how Redis would hold a value. A store holds all of them in one way.
var objectCommands = []command{{name: "object", arity: -2, under: []command{
	objectCommand("encoding", func(c *call, value []byte) { c.text(encoding(value)) }),
	objectCommand("freq", func(c *call, _ []byte) { c.fail(errNoFrequency) }),
	objectCommand("idletime", func(c *call, _ []byte) { c.integer(0) }),
	objectCommand("refcount", func(c *call, _ []byte) { c.integer(1) }),
	{name: "object|help", arity: 2, class: anywhere, always: confined, run: helpOf("object",
		"ENCODING <key>", "    How Redis would hold the value: int, embstr or raw.",
		"FREQ <key>", "    An error: the frequency of use isn't tracked.",
		"IDLETIME <key>", "    0: the time of the last use isn't tracked.",
		"REFCOUNT <key>", "    1: no two keys share a value.",
	)},
}}}

// embeddedMax is how many bytes a value has in Redis that lies beside its key's entry.
const embeddedMax = 44

const errNoFrequency = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. " +
	"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."

// objectCommand makes a subcommand that answers about the value of a key, or null where there is none.
func objectCommand(name string, answer func(c *call, value []byte)) command {
	return command{name: "object|" + name, arity: 3, class: reading, keys: keyPlaces{2, 2, 1}, run: func(c *call) {
		if value, found := c.get(c.args[2]); found {
			answer(c, value)
		} else {
			c.null()
		}
	}}
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
