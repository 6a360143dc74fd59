package server

import "github.com/walnutkv/walnut/kv"

// rangeCommands are about parts of a value.
var rangeCommands = []command{
	{name: "getrange", arity: 4, class: reading, run: getRange, keys: oneKey},
	{name: "substr", arity: 4, class: reading, run: getRange, keys: oneKey},
	{name: "setrange", arity: 4, class: writing, run: setRange, keys: oneKey, grows: true},
}

func getRange(c *call) {
	start, okStart := parseInt(c.args[2])
	end, okEnd := parseInt(c.args[3])
	if !okStart || !okEnd {
		c.fail(errNotInteger)
		return
	}
	value, _ := c.get(c.args[1])
	c.bulk(part(value, start, end))
}

// part returns the bytes of a value from start to end, both included. Negative numbers count from the value's end.
func part(value []byte, start, end int64) []byte {
	if start < 0 && end < 0 && start > end {
		return nil
	}
	size := int64(len(value))
	start, end = fromEnd(start, size), min(fromEnd(end, size), size-1)
	if start > end {
		return nil
	}
	return value[start : end+1]
}

// fromEnd returns a place in a value that has size bytes, where a negative one counts from its end. None is before the
// first byte.
func fromEnd(place, size int64) int64 {
	if place < 0 {
		place += size
	}
	return max(place, 0)
}

func setRange(c *call) {
	key, patch := c.args[1], c.args[3]
	offset, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail(errNotInteger)
		return
	case offset < 0:
		c.fail("ERR offset is out of range")
		return
	}
	before, _ := c.get(key)
	switch {
	case len(patch) == 0:
		c.integer(int64(len(before)))
		return
	case offset > kv.MaxValueSize || offset+int64(len(patch)) > kv.MaxValueSize:
		c.fail(errTooLong)
		return
	}
	value := make([]byte, max(len(before), int(offset)+len(patch)))
	copy(value, before)
	copy(value[offset:], patch)
	if c.put(key, value, c.deadline(key)) {
		c.integer(int64(len(value)))
	}
}
