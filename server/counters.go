package server

import "math"

// counterCommands are about values that are numbers.
var counterCommands = []command{
	{name: "incr", arity: 2, class: writing, run: func(c *call) { c.add(1) }, keys: oneKey, grows: true},
	{name: "decr", arity: 2, class: writing, run: func(c *call) { c.add(-1) }, keys: oneKey, grows: true},
	{name: "incrby", arity: 3, class: writing, run: incrementBy, keys: oneKey, grows: true},
	{name: "decrby", arity: 3, class: writing, run: decrementBy, keys: oneKey, grows: true},
	{name: "incrbyfloat", arity: 3, class: writing, run: incrementByFloat, keys: oneKey, grows: true},
}

func incrementBy(c *call) {
	if n, ok := parseInt(c.args[2]); ok {
		c.add(n)
	} else {
		c.fail(errNotInteger)
	}
}

func decrementBy(c *call) {
	switch n, ok := parseInt(c.args[2]); {
	case !ok:
		c.fail(errNotInteger)
	case n == math.MinInt64:
		c.fail("ERR decrement would overflow")
	default:
		c.add(-n)
	}
}

// add adds to the integer that is the value of the key, 0 where there is none.
func (c *call) add(n int64) {
	key := c.args[1]
	var before int64
	if value, found := c.get(key); found {
		var ok bool
		if before, ok = parseInt(value); !ok {
			c.fail(errNotInteger)
			return
		}
	}
	sum := before + n
	if n > 0 && sum < before || n < 0 && sum > before {
		c.fail("ERR increment or decrement would overflow")
		return
	}
	var text [20]byte
	if c.put(key, appendInt(text[:0], sum), c.deadline(key)) {
		c.integer(sum)
	}
}

// incrementByFloat adds to the number that is the value of the key, 0 where there is none.
func incrementByFloat(c *call) {
	key := c.args[1]
	before, found := c.get(key)
	if !found {
		before = []byte("0")
	}
	value, okValue := parseDecimal(before)
	amount, okAmount := parseDecimal(c.args[2])
	if !okValue || !okAmount {
		c.fail(errNotFloat)
		return
	}
	sum, ok := value.plus(amount)
	if !ok {
		c.fail("ERR increment would produce NaN or Infinity")
		return
	}
	text := sum.text()
	if c.put(key, text, c.deadline(key)) {
		c.bulk(text)
	}
}
