package server

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/walnutkv/walnut/kv"
)

// transactionCommands make commands one transaction.
var transactionCommands = []command{
	{name: "multi", arity: 1, class: onSession, run: multi, always: insideMulti | confined},
	{name: "exec", arity: 1, class: onSession, run: exec, always: insideMulti | confined},
	{name: "discard", arity: 1, class: onSession, run: discard, always: insideMulti | confined},
	{name: "watch", arity: -2, class: onSession, run: watchKeys, keys: allKeys, always: insideMulti},
	{name: "unwatch", arity: 1, class: onSession, run: unwatch, always: confined},
}

// queue has the commands between MULTI and EXEC.
type queue struct {
	requests []request // None where it is broken.
	share    share     // Of what they take in memory.
	broken   bool      // One of them was refused, so that none will run.
}

func multi(c *call) {
	if c.session.queue != nil {
		c.fail("ERR MULTI calls can not be nested")
		return
	}
	c.session.queue = &queue{share: share{of: &c.session.server.commandsHeld}}
	c.ok()
}

// dropQueue lets go of what MULTI has kept.
func (s *session) dropQueue() {
	if s.queue != nil {
		s.queue.drop()
		s.queue = nil
	}
}

func (q *queue) drop() {
	q.requests = nil
	q.share.hold(0)
}

// breakOff lets the transaction fail.
func (q *queue) breakOff() {
	q.broken = true
	q.drop()
}

// enqueue keeps a request for EXEC.
func (s *session) enqueue(r *request) {
	q := s.queue
	bytes := q.share.bytes + r.held()
	switch {
	case r.command == nil:
		s.out.fail(r.problem)
		q.breakOff()
	case q.broken:
		s.out.simple("QUEUED")
	case bytes > requestMax:
		s.out.fail("ERR transaction is too large")
		q.breakOff()
	case !q.share.hold(bytes):
		s.out.fail(crowdedError{}.Error())
		q.breakOff()
	default:
		q.add(r)
		s.out.simple("QUEUED")
	}
}

// add keeps a copy of a request, whose arguments are the connection's, which goes on to read.
func (q *queue) add(r *request) {
	kept := request{command: r.command, args: make([][]byte, len(r.args))}
	for i, arg := range r.args {
		kept.args[i] = bytes.Clone(arg)
	}
	q.requests = append(q.requests, kept)
}

// grows reports whether a command may need memory.
func (q *queue) grows() bool {
	return slices.ContainsFunc(q.requests, func(r request) bool { return r.command.grows })
}

func discard(c *call) {
	if c.session.queue == nil {
		c.fail("ERR DISCARD without MULTI")
		return
	}
	c.session.dropQueue()
	c.session.unwatch()
	c.ok()
}

// exec runs the commands since MULTI in one transaction, unless what the connection watches has changed.
func exec(c *call) {
	s, q := c.session, c.session.queue
	if q == nil {
		c.fail("ERR EXEC without MULTI")
		return
	}
	s.queue = nil
	defer q.drop()
	defer s.unwatch()
	if q.broken {
		c.fail("EXECABORT Transaction discarded because of previous errors.")
		return
	}
	if q.grows() && s.server.memory.full() {
		c.fail("EXECABORT Transaction discarded because of: " + errOutOfMemory)
		return
	}
	s.transact(c.ctx, q.requests)
}

// aborted returns the command that an EXEC is which may not run: it ends the transaction, too.
func (t commandTable) aborted(problem string) *command {
	one := *t["exec"]
	one.run = func(c *call) {
		c.session.dropQueue()
		c.session.unwatch()
		c.fail("EXECABORT Transaction discarded because of: " + strings.TrimPrefix(problem, "ERR "))
	}
	return &one
}

// transactHere runs a transaction and answers with its replies, or null where a watched key has changed. After an error it has written
// no reply.
func (s *session) transactHere(ctx context.Context, requests []request, needs need) (err error) {
	start := len(s.out.buf)
	body := func(tx *kv.Tx) error {
		s.out.buf, s.publications = s.out.buf[:start], nil
		now := s.server.now()
		if s.isWatchLost() || s.watch.changed(tx) {
			s.out.nullArray()
			return nil
		}
		s.out.array(len(requests))
		for i := 0; i < len(requests) && s.takes(); i++ {
			s.runOne(ctx, &requests[i], tx, now)
		}
		return s.takeRefusal()
	}
	if needs == toUpdate {
		err = s.commit(ctx, body)
	} else {
		err = s.look(ctx, body)
	}
	if err != nil {
		s.out.cut(start)
	}
	return err
}

// mustUpdate reports whether a transaction writes. One that doesn't reads what is acknowledged, and what was watched is compared with that.
func (s *session) mustUpdate(requests []request) bool {
	for i := range requests {
		if requests[i].class() == writing {
			return true
		}
	}
	return false
}

// watchKeys watches keys from now on.
func watchKeys(c *call) {
	s := c.session
	if s.queue != nil {
		c.fail("ERR WATCH inside MULTI is not allowed")
		return
	}
	if s.watchThere(c) {
		return
	}
	added := s.watch.news(c.args[1:])
	if !s.watch.hold(added) {
		s.watch.lost = true // EXEC must not take the keys for watched.
		c.fail(crowdedError{}.Error())
		return
	}
	if s.watch.seen == nil {
		s.watch.seen = make(map[string]seenPair)
	}
	for _, key := range added {
		s.watch.seen[key] = seenPair{}
		s.server.watched.add(&s.watch, key)
	}
	if err := s.see(c.ctx, added); err != nil {
		s.watch.dirty.Store(true) // What it can't compare may have changed.
		c.fail(failure(err))
		return
	}
	c.ok()
}

// see notes the pairs of keys that are watched already. It reads in an Update, which sees commits that no reader sees
// yet. The commands of those may have marked nothing, since they ran before the keys were watched. Noting what readers
// see would miss two such commits of which the second takes the first one back, while the client reads between them.
func (s *session) see(ctx context.Context, keys []string) error {
	note := func(tx *kv.Tx) error {
		for _, key := range keys {
			s.watch.seen[key] = pairNow(tx, key)
		}
		return nil
	}
	s.server.watched.awaitBlind()
	_, err := s.server.store.UpdateOffset(s.patient, note)
	if errors.Is(err, kv.ErrReadOnly) || errors.Is(err, kv.ErrNotLeader) { // Nothing is written here.
		err = s.server.store.View(note)
	}
	return err
}

// pairNow returns a pair as a transaction sees it.
func pairNow(tx *kv.Tx, key string) seenPair {
	value, err := tx.Get([]byte(key))
	if err != nil {
		return seenPair{}
	}
	seen := seenPair{found: true, size: len(value), hash: maphash.Bytes(seenSeed, value)}
	if at, err := tx.Deadline([]byte(key)); err == nil && !at.IsZero() {
		seen.deadline = at.UnixNano()
	}
	return seen
}

// changed reports whether a watched key has changed since it began to be watched.
func (w *watch) changed(tx *kv.Tx) bool {
	if w.dirty.Load() {
		return true
	}
	for key, before := range w.seen {
		if pairNow(tx, key) != before {
			return true
		}
	}
	return false
}

// unwatch ends what the connection watches. EXEC does that anyway, after all its commands: it may have to run them again.
func unwatch(c *call) {
	if !c.session.executing {
		c.session.unwatch()
	}
	c.ok()
}

// unwatch ends what the session watches.
func (s *session) unwatch() {
	s.server.watched.remove(&s.watch)
	s.watch.seen = nil
	s.watch.dirty.Store(false)
	s.unwatchThere()
}
