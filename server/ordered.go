package server

import (
	"fmt"
	"iter"
	"math"

	"github.com/walnutkv/walnut/kv"
)

// orderedCommands are about pairs in the order of their keys. Bounds are keys as they are: the start belongs to the
// range, the end doesn't, and an empty one is open. So every range can be said, whatever bytes keys have.
var orderedCommands = []command{
	{name: "kv.range", arity: -3, class: scanning, run: scanRange, keys: twoKeys, bounds: true},
	{name: "kv.prefix", arity: -2, class: scanning, run: scanPrefix, keys: oneKey},
	{name: "kv.delrange", arity: 3, class: writing, run: deleteRange, keys: twoKeys, bounds: true},
}

const (
	// rangeReplyMax is how many bytes a reply with pairs has at most. One that would be larger is an error: a reply that
	// ended early would be taken for the whole range.
	rangeReplyMax = 64 << 20
	// replyOverhead is about what a pair takes beside its bytes while its reply is made.
	replyOverhead = 64
)

// query is the pairs that a client asks for.
type query struct {
	kv.Range
	keysOnly bool
}

// scanner is what has pairs in order: a transaction, or a view of a past state.
type scanner interface {
	Scan(over kv.Range) iter.Seq2[[]byte, []byte]
}

func scanRange(c *call) { answerRange(c, c.args[1:], c.tx) }

func scanPrefix(c *call) { answerPrefix(c, c.args[1:], c.tx) }

// answerRange answers with the pairs between two bounds, the first arguments.
func answerRange(c *call, args [][]byte, from scanner) {
	q := query{Range: kv.Range{Start: args[0], End: args[1]}}
	q.answer(c, args[2:], from)
}

// answerPrefix answers with the pairs whose keys have a prefix, the first argument.
func answerPrefix(c *call, args [][]byte, from scanner) {
	q := query{Range: kv.Range{Prefix: args[0]}}
	q.answer(c, args[1:], from)
}

// answer answers a query that has options.
func (q *query) answer(c *call, options [][]byte, from scanner) {
	if problem := q.take(options); problem != "" {
		c.fail(problem)
		return
	}
	found, complete := q.find(from)
	if !complete {
		c.fail(fmt.Sprintf("ERR the reply would be over %d MiB: give a smaller LIMIT, and go on with AFTER and the last key",
			rangeReplyMax>>20))
		return
	}
	q.write(c.reply, found)
}

// take reads the options of a query. It returns what is wrong with them.
func (q *query) take(options [][]byte) (problem string) {
	for len(options) > 0 {
		taken := 1
		switch more := len(options) > 1; {
		case is(options[0], "rev"):
			q.Reverse = true
		case is(options[0], "keys"):
			q.keysOnly = true
		case is(options[0], "after") && more:
			q.After, taken = options[1], 2
		case is(options[0], "limit") && more:
			n, ok := parseInt(options[1])
			if !ok {
				return errNotInteger
			}
			if n < 1 {
				return "ERR LIMIT is not positive"
			}
			q.Limit, taken = int(min(n, math.MaxInt)), 2
		default:
			return errSyntax
		}
		options = options[taken:]
	}
	return ""
}

// foundPair is a pair for a reply. Its bytes are the store's.
type foundPair struct{ key, value []byte }

// find returns the pairs, and false where a reply with all of them would be too large.
func (q *query) find(from scanner) (found []foundPair, complete bool) {
	room := rangeReplyMax
	for key, value := range from.Scan(q.Range) {
		if q.keysOnly {
			value = nil
		}
		if room -= len(key) + len(value) + replyOverhead; room < 0 {
			return nil, false
		}
		found = append(found, foundPair{key, value})
	}
	return found, true
}

// write writes keys and values: in RESP2 in turns, in RESP3 a list of two for each pair, since a map has no order.
func (q *query) write(r *reply, found []foundPair) {
	inTurns := !q.keysOnly && !r.resp3
	if inTurns {
		r.array(2 * len(found))
	} else {
		r.array(len(found))
	}
	for _, pair := range found {
		if !q.keysOnly && r.resp3 {
			r.array(2)
		}
		r.bulk(pair.key)
		if !q.keysOnly {
			r.bulk(pair.value)
		}
	}
}

// deleteRange deletes the pairs between two bounds, and answers with how many there were.
func deleteRange(c *call) {
	start, end := c.args[1], c.args[2]
	count, err := c.tx.Count(kv.Range{Start: start, End: end})
	switch {
	case err != nil:
		c.fail(failure(err))
	case count == 0 || c.removeRange(start, end):
		c.integer(int64(count))
	}
}
