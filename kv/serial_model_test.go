package kv

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// serialKeys is how many keys the serializability tests know. They are few, so that everybody meets everybody.
const serialKeys = 5

// serialState is a whole store: the number that each key has as its value, 0 where it is absent. A transaction spans
// keys, so it is the store that has to be serializable, and not each key.
type serialState [serialKeys]int

// serialSet is a set of keys.
type serialSet [serialKeys]bool

// serialOp is what one operation saw and did, whatever call it was: first it read, and at the same instant it wrote.
type serialOp struct {
	client        int
	name          string
	called        int64 // By a clock that ticks with every event.
	returned      int64 // unknownReturn where it is not known whether it happened, or when.
	reads, writes serialSet
	seen, wrote   serialState
	dropped       bool // It is known that it had no effect, and what it read is not to be relied on.
}

// unknownReturn is when an operation returned whose outcome is unknown: it may have happened any time after its call, or,
// which is the same as after all others, never.
const unknownReturn = math.MaxInt64

func (op *serialOp) unknown() bool { return op.returned == unknownReturn }

func (op *serialOp) read(key, value int) {
	if !op.writes[key] { // What it reads of its own writes says nothing of the store.
		op.reads[key], op.seen[key] = true, value
	}
}

func (op *serialOp) write(key, value int) { op.writes[key], op.wrote[key] = true, value }

// step returns the state that the operation leaves, and whether it can have happened in this one. Where its outcome is
// unknown and it can't have happened, it is free not to have.
func (op *serialOp) step(s serialState) (bool, serialState) {
	for key := range s {
		if op.reads[key] && op.seen[key] != s[key] {
			return op.unknown(), s
		}
	}
	for key := range s {
		if op.writes[key] {
			s[key] = op.wrote[key]
		}
	}
	return true, s
}

// String describes the operation in one line.
func (op *serialOp) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "client %d, %4d to ", op.client, op.called)
	if op.unknown() {
		text.WriteString("   ?")
	} else {
		fmt.Fprintf(&text, "%4d", op.returned)
	}
	fmt.Fprintf(&text, ": %s", op.name)
	for key := range serialKeys {
		if op.reads[key] {
			fmt.Fprintf(&text, " saw %d=%d", key, op.seen[key])
		}
	}
	for key := range serialKeys {
		if op.writes[key] {
			fmt.Fprintf(&text, " wrote %d=%d", key, op.wrote[key])
		}
	}
	return text.String()
}

// serialModel is a store in which one operation happens after the other.
var serialModel = porcupine.Model{
	Init: func() any { return serialState{} },
	Step: func(s, op, _ any) (bool, any) { return op.(*serialOp).step(s.(serialState)) },
	Hash: func(s any) uint64 {
		hash := uint64(14695981039346656037)
		for _, value := range s.(serialState) {
			hash = (hash ^ uint64(value)) * 1099511628211
		}
		return hash
	},
}

// serialTimeout is how long the checker may think. A history takes it a millisecond.
const serialTimeout = 20 * time.Second

// checkSerial looks for an order in which the operations could have happened, each between its call and its return.
func checkSerial(history []*serialOp) porcupine.CheckResult {
	var operations []porcupine.Operation
	for _, op := range history {
		if !op.dropped {
			operations = append(operations, porcupine.Operation{ClientId: op.client, Input: op, Call: op.called, Return: op.returned})
		}
	}
	return porcupine.CheckOperationsTimeout(serialModel, operations, serialTimeout)
}

// serialText lists a history by call.
func serialText(history []*serialOp) string {
	history = slices.SortedFunc(slices.Values(history), func(a, b *serialOp) int { return int(a.called - b.called) })
	var text strings.Builder
	for _, op := range history {
		if !op.dropped {
			fmt.Fprintln(&text, op)
		}
	}
	return text.String()
}

// TestAHistoryThatIsNotSerializableIsFound is the test of the test.
func TestAHistoryThatIsNotSerializableIsFound(t *testing.T) {
	op := func(called, returned int64, effects ...func(*serialOp)) *serialOp {
		made := &serialOp{called: called, returned: returned}
		for _, effect := range effects {
			effect(made)
		}
		return made
	}
	saw := func(key, value int) func(*serialOp) { return func(op *serialOp) { op.read(key, value) } }
	wrote := func(key, value int) func(*serialOp) { return func(op *serialOp) { op.write(key, value) } }
	const never = unknownReturn
	cases := []struct {
		sentence string
		want     porcupine.CheckResult
		history  []*serialOp
	}{
		{"one after the other", porcupine.Ok, []*serialOp{op(1, 2, wrote(0, 7)), op(3, 4, saw(0, 7))}},
		{"a read that began after a put was acknowledged doesn't see it", porcupine.Illegal, []*serialOp{
			op(1, 2, wrote(0, 7)), op(3, 4, saw(0, 0)),
		}},
		{"a read beside a put may see it or not", porcupine.Ok, []*serialOp{
			op(1, 6, wrote(0, 7)), op(2, 3, saw(0, 0)), op(4, 5, saw(0, 7)),
		}},
		{"a put that was seen is gone", porcupine.Illegal, []*serialOp{
			op(1, 6, wrote(0, 7)), op(2, 3, saw(0, 7)), op(4, 5, saw(0, 0)),
		}},
		{"a lost update: two read the same and both write", porcupine.Illegal, []*serialOp{
			op(1, 3, saw(0, 0), wrote(0, 1)), op(2, 4, saw(0, 0), wrote(0, 2)),
		}},
		{"write skew: each reads what the other writes", porcupine.Illegal, []*serialOp{
			op(1, 3, saw(0, 0), wrote(1, 1)), op(2, 4, saw(1, 0), wrote(0, 2)),
		}},
		{"a read sees half of a commit", porcupine.Illegal, []*serialOp{
			op(1, 4, wrote(0, 7), wrote(1, 7)), op(2, 3, saw(0, 7), saw(1, 0)),
		}},
		{"an unknown commit happened", porcupine.Ok, []*serialOp{op(1, never, wrote(0, 7)), op(2, 3, saw(0, 0)), op(4, 5, saw(0, 7))}},
		{"an unknown commit didn't happen", porcupine.Ok, []*serialOp{op(1, never, wrote(0, 7)), op(4, 5, saw(0, 0))}},
		{"an unknown commit was seen, and is gone", porcupine.Illegal, []*serialOp{
			op(1, never, wrote(0, 7)), op(2, 3, saw(0, 7)), op(4, 5, saw(0, 0)),
		}},
		{"an unknown commit happened on what it never saw", porcupine.Illegal, []*serialOp{
			op(1, 2, wrote(0, 1)), op(3, never, saw(0, 5), wrote(1, 7)), op(4, 5, saw(1, 7)),
		}},
		{"an unknown commit happened by half", porcupine.Illegal, []*serialOp{
			op(1, never, wrote(0, 7), wrote(1, 7)), op(4, 5, saw(0, 0), saw(1, 7)),
		}},
		{"an acknowledged commit is gone after the end", porcupine.Illegal, []*serialOp{
			op(1, 2, wrote(0, 7)), op(3, never, wrote(1, 8)), op(9, 10, saw(0, 0), saw(1, 8)),
		}},
		{"a transaction's own write says nothing of the store", porcupine.Ok, []*serialOp{op(1, 2, wrote(0, 7), saw(0, 7))}},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			require.Equal(t, c.want, checkSerial(c.history), serialText(c.history))
		})
	}
}
