package server

import (
	"errors"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// stringCommands are those about the value of a key.
var stringCommands = []command{
	{name: "get", arity: 2, class: reading, run: get, keys: oneKey},
	{name: "set", arity: -3, class: writing, run: set, keys: oneKey, grows: true, blind: blindSet},
}

func get(c *call) {
	value, err := c.tx.Get(c.args[1])
	answerValue(c.reply, value, err)
}

// answerValue answers with a value, or that there is none.
func answerValue(r *reply, value []byte, err error) {
	switch {
	case err == nil:
		r.bulk(value)
	case errors.Is(err, kv.ErrNotFound), errors.Is(err, kv.ErrEmptyKey), errors.Is(err, kv.ErrKeyTooLarge):
		r.null() // There can't be a pair with such a key.
	default:
		r.fail(failure(err))
	}
}

// blindSet reports whether SET has no option that reads.
func blindSet(args [][]byte) bool { return len(args) == 3 }

func set(c *call) {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	if c.put(c.args[1], c.args[2], time.Time{}) {
		c.ok()
	}
}
