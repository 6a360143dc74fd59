package server

import (
	"errors"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// stringCommands are those about the values of keys as a whole.
var stringCommands = []command{
	{name: "get", arity: 2, class: reading, run: get, keys: oneKey},
	{name: "mget", arity: -2, class: reading, run: getMany, keys: allKeys},
	{name: "strlen", arity: 2, class: reading, run: length, keys: oneKey},
	{name: "getset", arity: 3, class: writing, run: getSet, keys: oneKey, grows: true},
	{name: "getdel", arity: 2, class: writing, run: getDelete, keys: oneKey},
	{name: "setnx", arity: 3, class: writing, run: setNew, keys: oneKey, grows: true},
	{name: "mset", arity: -3, class: writing, run: setMany, keys: keyPlaces{1, -1, 2}, grows: true, blind: blindly},
	{name: "msetnx", arity: -3, class: writing, run: setManyNew, keys: keyPlaces{1, -1, 2}, grows: true},
	{name: "append", arity: 3, class: writing, run: appendTo, keys: oneKey, grows: true},
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

// optional is a value, or null where it isn't found.
func (c *call) optional(value []byte, found bool) {
	if found {
		c.bulk(value)
	} else {
		c.null()
	}
}

func getMany(c *call) {
	c.array(len(c.args) - 1)
	for _, key := range c.args[1:] {
		c.optional(c.get(key))
	}
}

func length(c *call) {
	value, _ := c.get(c.args[1])
	c.integer(int64(len(value)))
}

func getSet(c *call) {
	value, found := c.get(c.args[1])
	if c.put(c.args[1], c.args[2], time.Time{}) {
		c.optional(value, found)
	}
}

func getDelete(c *call) {
	value, found := c.get(c.args[1])
	if !found || c.remove(c.args[1]) {
		c.optional(value, found)
	}
}

func setNew(c *call) {
	if c.has(c.args[1]) {
		c.truth(false)
	} else if c.put(c.args[1], c.args[2], time.Time{}) {
		c.truth(true)
	}
}

func setMany(c *call) {
	if c.pairsStorable() && c.putPairs() {
		c.ok()
	}
}

func setManyNew(c *call) {
	if !c.pairsStorable() {
		return
	}
	for i := 1; i < len(c.args); i += 2 {
		if c.has(c.args[i]) {
			c.truth(false)
			return
		}
	}
	if c.putPairs() {
		c.truth(true)
	}
}

// pairsStorable reports whether the arguments are pairs that the store can hold. Otherwise it writes the error as the
// reply.
func (c *call) pairsStorable() bool {
	if len(c.args)%2 == 0 {
		c.fail(wrongArity(c.command.name))
		return false
	}
	for i := 1; i < len(c.args); i += 2 {
		if !c.storable(c.args[i], c.args[i+1]) {
			return false
		}
	}
	return true
}

// putPairs puts the arguments' pairs. Where it returns false the reply is written.
func (c *call) putPairs() bool {
	for i := 1; i < len(c.args); i += 2 {
		if !c.put(c.args[i], c.args[i+1], time.Time{}) {
			return false
		}
	}
	return true
}

func appendTo(c *call) {
	key, more := c.args[1], c.args[2]
	before, found := c.get(key)
	if found && len(before)+len(more) > kv.MaxValueSize {
		c.fail(errTooLong)
		return
	}
	value := more
	if len(before) > 0 {
		value = make([]byte, 0, len(before)+len(more))
		value = append(append(value, before...), more...)
	}
	if c.put(key, value, c.deadline(key)) {
		c.integer(int64(len(value)))
	}
}
