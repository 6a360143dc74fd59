package server

import (
	"bytes"
	"container/list"
	"hash/maphash"
	"sync"
)

// Limits of a table of cursors.
const (
	cursorsMax     = 16 << 10
	cursorKeyBytes = 16 << 20  // Of keys.
	cursorNumbers  = 1<<53 - 1 // Cursors are 1 to that: some clients hold them as floats.
)

// cursors says what the cursors of SCAN stand for, in any connection: the key after which to go on. A number alone
// can't say that in an ordered store. The same key has the same cursor for as long as the table holds it; the least
// recently used ones leave it first.
//
// Invariant: used has an *cursor for each entry of numbers, the most recently used first, and bytes is the size of
// their keys.
type cursors struct {
	mu      sync.Mutex
	seed    maphash.Seed
	numbers map[uint64]*list.Element
	used    *list.List
	bytes   int
}

type cursor struct {
	number uint64
	after  []byte
}

func newCursors() *cursors {
	return &cursors{seed: maphash.MakeSeed(), numbers: make(map[uint64]*list.Element), used: list.New()}
}

// number returns the cursor for a key. It keeps a copy, since a store's key would keep the memory of its value, too.
func (t *cursors) number(after []byte) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	number := maphash.Bytes(t.seed, after)%cursorNumbers + 1
	for ; t.numbers[number] != nil; number = number%cursorNumbers + 1 {
		if found := t.numbers[number]; bytes.Equal(found.Value.(*cursor).after, after) {
			t.used.MoveToFront(found)
			return number
		}
	}
	t.numbers[number] = t.used.PushFront(&cursor{number, bytes.Clone(after)})
	t.bytes += len(after)
	for t.used.Len() > cursorsMax || t.bytes > cursorKeyBytes {
		t.forget(t.used.Back())
	}
	return number
}

func (t *cursors) forget(e *list.Element) {
	c := t.used.Remove(e).(*cursor)
	delete(t.numbers, c.number)
	t.bytes -= len(c.after)
}

// after returns the key that a cursor stands for. Other cursors than those of number are unknown.
func (t *cursors) after(number uint64) (key []byte, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.numbers[number]
	if found == nil {
		return nil, false
	}
	t.used.MoveToFront(found)
	return found.Value.(*cursor).after, true
}
