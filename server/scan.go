package server

import (
	"strconv"

	"github.com/walnutkv/walnut/kv"
)

// scanCommands go through all keys.
var scanCommands = []command{
	{name: "scan", arity: -2, class: scanning, run: scan},
	{name: "keys", arity: 2, class: scanning, run: matchingKeys},
}

const errCursor = "ERR invalid cursor"

// scanOptions are the options of SCAN.
type scanOptions struct {
	glob  glob
	count int64 // How many keys to look at.
	other bool  // TYPE with a type that no value has.
}

// takeScanOptions returns the options, or the error where they aren't right.
func takeScanOptions(args [][]byte) (o scanOptions, problem string) {
	o = scanOptions{glob: newGlob([]byte("*")), count: 10}
	for ; len(args) > 0; args = args[2:] {
		if len(args) == 1 {
			return o, errSyntax
		}
		switch value := args[1]; {
		case is(args[0], "COUNT"):
			var ok bool
			if o.count, ok = parseInt(value); !ok {
				return o, errNotInteger
			}
			if o.count < 1 {
				return o, errSyntax
			}
		case is(args[0], "MATCH"):
			o.glob = newGlob(value)
			if problem = o.glob.problem(); problem != "" {
				return o, problem
			}
		case is(args[0], "TYPE"):
			o.other = !is(value, typeString)
		default:
			return o, errSyntax
		}
	}
	return o, ""
}

func scan(c *call) {
	number, ok := parseCursor(c.args[1])
	if !ok {
		c.fail(errCursor)
		return
	}
	o, problem := takeScanOptions(c.args[2:])
	if problem != "" {
		c.fail(problem)
		return
	}
	span := o.glob.span()
	if number != 0 {
		var known bool
		if span.After, known = c.session.server.cursors.after(number); !known {
			c.fail(errCursor)
			return
		}
	}
	keys, last, ok := c.lookAt(&o, span)
	if !ok {
		return
	}
	next := uint64(0)
	if last != nil {
		next = c.session.server.cursors.number(last)
	}
	c.array(2)
	c.text(strconv.FormatUint(next, 10))
	c.bulks(keys)
}

// parseCursor reads a cursor as Redis does, by C's strtoul: it may have a sign, a negative one counts from 1<<64, and
// an empty text is 0.
func parseCursor(text []byte) (number uint64, ok bool) {
	digits := beforeZero(text)
	if len(digits) == 0 {
		return 0, true
	}
	negative := digits[0] == '-'
	if negative || digits[0] == '+' {
		digits = digits[1:]
	}
	number, err := strconv.ParseUint(string(digits), 10, 64)
	if negative {
		number = -number
	}
	return number, err == nil
}

// lookAt returns the keys of a span that the options select, out of the number that they give, and the last key looked at
// where there are more. Where it reports false the error is written as the reply.
func (c *call) lookAt(o *scanOptions, span kv.Range) (selected [][]byte, last []byte, ok bool) {
	looked := int64(0)
	for key := range c.tx.Scan(span) {
		if looked == o.count {
			return selected, last, true
		}
		last = key
		looked++
		if !o.other && o.glob.matches(key) {
			selected = append(selected, key)
		}
		if !c.goesOn() {
			return nil, nil, false
		}
	}
	return selected, nil, true
}

func matchingKeys(c *call) {
	o := scanOptions{glob: newGlob(c.args[1]), count: -1} // It never has looked at that many.
	if problem := o.glob.problem(); problem != "" {
		c.fail(problem)
		return
	}
	if keys, _, ok := c.lookAt(&o, o.glob.span()); ok {
		c.bulks(keys)
	}
}

// bulks is a list of texts.
func (c *call) bulks(texts [][]byte) {
	c.array(len(texts))
	for _, text := range texts {
		c.bulk(text)
	}
}
