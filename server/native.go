package server

import (
	"bytes"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// nativeCommands are the store's, with no counterpart in Redis.
var nativeCommands = []command{
	{name: "kv.cas", arity: -3, class: writing, run: compareAndSet, keys: oneKey, grows: true},
	{name: "kv.offset", arity: 1, class: onSession, run: offsetNow, within: true},
	{name: "kv.at", arity: -4, class: onSession, run: inThePast, keys: keyPlaces{3, 3, 1}, always: insideMulti},
}

// compareAndSet gives a key a new value, or deletes it where none is given, if its value is the old one. The deadline
// stays.
func compareAndSet(c *call) {
	if len(c.args) > 4 {
		c.fail(wrongArity("kv.cas"))
		return
	}
	key := c.args[1]
	if value, found := c.get(key); !found || !bytes.Equal(value, c.args[2]) {
		c.integer(0)
		return
	}
	written := false
	if len(c.args) == 4 {
		written = c.put(key, c.args[3], c.deadline(key))
	} else {
		written = c.remove(key)
	}
	if written {
		c.integer(1)
	}
}

// offsetNow answers with the offset of the last commit. It is no part of a group, so that it has the client's own writes. After READONLY it is
// that of what the client reads, which needs no leader.
func offsetNow(c *call) {
	if c.tx != nil {
		c.integer(int64(c.tx.Offset()))
		return
	}
	if err := c.session.fresh(c.ctx); err != nil {
		c.fail(failure(err))
		return
	}
	c.integer(int64(c.session.server.store.Offset()))
}

// pastLook is how often KV.AT looks whether it is its turn.
const pastLook = 10 * time.Millisecond

// inThePast answers with what there was after a commit. It makes the state of then in memory, as a start does: one at
// a time.
func inThePast(c *call) {
	s := c.session
	if s.queue != nil || c.tx != nil {
		c.fail("ERR KV.AT inside MULTI is not allowed")
		return
	}
	offset, ok := parseInt(c.args[1])
	if !ok || offset < 0 {
		c.fail(errNotInteger)
		return
	}
	answer := pastAnswer(c.args[2:])
	switch {
	case answer == nil:
		c.fail(errSyntax)
		return
	case is(c.args[2], "range") && !c.user().mayReach(c.args[3], c.args[4]):
		c.fail(errNotItsKey) // Of a range the rights of the command know the start alone.
		return
	}
	if err := s.fresh(c.ctx); err != nil { // The commit may not have come here yet.
		c.fail(failure(err))
		return
	}
	for !s.server.past.TryLock() {
		if !s.pause(c.ctx, pastLook) {
			c.fail(failure(errKilled))
			return
		}
	}
	defer s.server.past.Unlock()
	view, err := s.server.store.At(c.ctx, uint64(offset))
	if err != nil {
		c.fail(failure(err))
		return
	}
	defer view.Close()
	answer(c, view)
}

// pastAnswer returns what answers a command about a past state: GET, KV.RANGE or KV.PREFIX, the latter without their KV.
func pastAnswer(args [][]byte) func(c *call, view *kv.ReadView) {
	switch {
	case is(args[0], "get") && len(args) == 2:
		return func(c *call, view *kv.ReadView) {
			value, err := view.Get(args[1])
			answerValue(c.reply, value, err)
		}
	case is(args[0], "range") && len(args) >= 3:
		return func(c *call, view *kv.ReadView) { answerRange(c, args[1:], view) }
	case is(args[0], "prefix") && len(args) >= 2:
		return func(c *call, view *kv.ReadView) { answerPrefix(c, args[1:], view) }
	}
	return nil
}
