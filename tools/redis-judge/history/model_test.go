package history

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/anishathalye/porcupine"
)

// places are the keys of a history.
const places = 3

// state is what the keys hold. All values are numbers; a key that isn't there holds missing.
type state [places]string

const missing = ""

// input is an operation.
type input struct {
	kind  string // A command's name, or transaction.
	key   int
	other int    // The second key of MGET, MSET and a transaction.
	value string // What is set.
}

// transaction is the kind of WATCH key other, GET key, GET other, MULTI, SET key, INCR other, GET key, EXEC.
const transaction = "WATCH"

// output is what came of it: the texts of the replies, null as missing. That of a transaction begins with what was read
// after WATCH.
type output struct {
	replies []string
	aborted bool // A transaction did nothing, since a watched key had changed.
}

// model is what the keys have to look like to all clients.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(before, in, out any) (bool, any) {
		s, i, o := before.(state), in.(input), out.(output)
		if o.aborted {
			return true, s
		}
		replies := s.apply(i)
		return slices.Equal(replies, o.replies), s
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v %+v", in, out) },
}

// apply does an operation, and returns its replies.
func (s *state) apply(i input) []string {
	old, other := s[i.key], s[i.other]
	switch i.kind {
	case "GET":
		return []string{old}
	case "MGET":
		return []string{old, other}
	case "SET":
		s[i.key] = i.value
		return []string{"OK"}
	case "GETSET":
		s[i.key] = i.value
		return []string{old}
	case "GETDEL":
		s[i.key] = missing
		return []string{old}
	case "INCR":
		s.increment(i.key)
		return []string{s[i.key]}
	case "SETNX":
		if old != missing {
			return []string{"0"}
		}
		s[i.key] = i.value
		return []string{"1"}
	case "MSET":
		s[i.key], s[i.other] = i.value, i.value
		return []string{"OK"}
	case transaction:
		s[i.key] = i.value
		s.increment(i.other)
		return []string{old, other, "OK", s[i.other], i.value}
	}
	panic("unknown operation " + i.kind)
}

func (s *state) increment(key int) {
	n, _ := strconv.Atoi(s[key])
	s[key] = strconv.Itoa(n + 1)
}
