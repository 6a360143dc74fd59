package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A session of a node that doesn't lead sends commands to the leader's server, and its client the replies. MULTI keeps commands here as
// well, and EXEC sends all of them at once, so that only WATCH leaves anything on the leader. What is lost there by a change of the leader
// makes EXEC answer null, as when a watched key had changed.

// forward lets the leader run a group. It waits for a leader if none is known, and runs the group here if this node has become that.
func (s *session) forward(ctx context.Context, group []request) {
	if s.redirect(group) {
		return
	}
	for len(group) > 0 && !s.isOver() {
		if s.leads() {
			n, needs := s.cutGroup(group)
			group = group[s.runHere(ctx, group[:n], needs):]
			continue
		}
		n, err := s.relay(ctx, group)
		group = group[n:]
		switch {
		case err == nil:
			return
		case errors.Is(err, errBroken):
			s.answerBroken(ctx, group)
			return
		case !s.await(ctx):
			s.refuse(group, err)
			return
		}
	}
}

// again runs a group whose commit was refused. Nothing of it has happened.
func (s *session) again(ctx context.Context, group []request) {
	switch {
	case s.guest:
		s.giveBack()
	case s.await(ctx):
		s.forward(ctx, group)
	default:
		s.refuse(group, nil)
	}
}

// refuse answers a group for which there is no leader, or none that can be reached, as an error says.
func (s *session) refuse(group []request, why error) {
	text := s.unreached(why)
	s.answerEach(group, func(*request) { s.out.fail(text) })
}

// answerEach answers each request of a group that needs the store by a function. Others run.
func (s *session) answerEach(group []request, answer func(r *request)) {
	for i := range group {
		if r := &group[i]; r.isStored() {
			answer(r)
		} else {
			s.runAlone(s.server.closing, r, s.server.now())
		}
	}
}

// answerBroken answers a group whose replies the leader didn't send. Commands that only read run again.
func (s *session) answerBroken(ctx context.Context, group []request) {
	again := s.await(ctx)
	for len(group) > 0 {
		reads := slices.IndexFunc(group, func(r request) bool { return r.class() == writing })
		switch {
		case reads == 0:
			s.out.fail(errUndecided)
			group = group[1:]
			continue
		case reads < 0:
			reads = len(group)
		}
		if again {
			s.forward(ctx, group[:reads])
		} else {
			s.refuse(group[:reads], nil)
		}
		group = group[reads:]
	}
}

// answerDropped answers what the leader has run, and for whose reply there was no room.
func (s *session) answerDropped(writes bool) {
	if writes {
		s.out.fail(errReplyDropped)
	} else {
		s.out.fail(failure(errLargeReply))
	}
}

// isStored reports whether a request needs the store, so that it must be forwarded. Others run here.
func (r *request) isStored() bool {
	class := r.class()
	return class == reading || class == scanning || class == writing
}

// relay sends a group to the leader, and takes the replies. It returns how many commands are answered.
func (s *session) relay(ctx context.Context, group []request) (answered int, err error) {
	up, err := s.reach(ctx)
	if err != nil {
		return 0, err
	}
	for i := range group {
		if group[i].isStored() {
			up.add(group[i].args)
		}
	}
	up.flush()
	now := s.server.now()
	for i := range group {
		start := len(s.out.buf)
		s.out.base = start
		if !group[i].isStored() {
			s.runAlone(ctx, &group[i], now)
		} else if err := up.reply(&s.out); errors.Is(err, errDropped) {
			s.answerDropped(group[i].class() == writing)
		} else if err != nil {
			s.hangUp()
			return i, err
		}
		switch {
		case s.muted != loud:
			s.out.drop(start) // The replies of the whole group might be large.
		case len(s.out.buf) > groupReplies:
			s.flush()
		}
		if s.ending {
			s.hangUp() // Other replies are on their way.
			return len(group), nil
		}
	}
	up.rest()
	return len(group), nil
}

// reach returns the connection to the leader's server, and makes one where there is none that works.
func (s *session) reach(ctx context.Context) (*upstream, error) {
	if s.up != nil && !s.up.isAlive() {
		s.hangUp()
	}
	if s.up == nil {
		limit := time.Now().Add(s.server.opts.LeaderWait)
		ctx, cancel := context.WithDeadline(ctx, limit)
		defer cancel()
		conn, err := s.server.opts.Cluster.DialLeader(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnreached, err)
		}
		s.up = newUpstream(s.server.closing, conn)
		s.upConn.Store(&conn)
		if s.killed.Load() { // It may have been before there was something to close.
			s.hangUp()
			return nil, errNotRun
		}
		if err := s.up.greet(limit); err != nil {
			s.hangUp()
			return nil, err
		}
	}
	user := s.user.Load()
	if user == nil { // It was authenticated, and isn't any more.
		return nil, errNotRun
	}
	s.up.speak(s.out.resp3, user.name)
	return s.up, nil
}

// hangUp closes the connection to the leader's server. What was watched there is lost.
func (s *session) hangUp() {
	if s.up != nil {
		s.watch.lost = s.watch.lost || s.up.watching
		s.up.close()
		s.up = nil
		s.upConn.Store(nil)
	}
}

// redirect answers a group with the address of the leader, if the connection has asked for the nodes and got another one. The client of
// such a connection knows several nodes, and is to look at them again. It reports whether it has answered.
func (s *session) redirect(group []request) bool {
	if s.toldLeader == "" {
		return false
	}
	leader, known := leaderOf(s.server.opts.Cluster.Members())
	if !known || leader.Self || leader.Name == s.toldLeader {
		return false
	}
	s.answerEach(group, func(r *request) { s.out.fail(fmt.Sprintf("MOVED %d %s", r.slot(), leader.Address)) })
	return true
}

// transact runs a transaction here or on the leader, and answers with its replies, or null where a watched key has changed.
func (s *session) transact(ctx context.Context, requests []request) {
	s.giveUp, s.executing = time.Time{}, true
	defer func() { s.executing, s.publications = false, nil }()
	needs := toRead
	if s.mustUpdate(requests) {
		needs = toUpdate
	}
	for {
		s.publications = nil // Of a transaction that failed.
		if s.isWatchLost() {
			s.out.nullArray()
			return
		}
		var err error
		if s.runsHere(needs) && !s.watchesThere() {
			err = s.transactHere(ctx, requests, needs)
		} else {
			err = s.transactThere(ctx, requests)
		}
		switch {
		case err == nil:
			s.publishAll()
			return
		case errors.Is(err, errBroken) && needs == toUpdate:
			s.out.fail(errUndecided)
			return
		case errors.Is(err, errDropped):
			s.answerDropped(needs == toUpdate)
			return
		case !s.isRefused(err) && !errors.Is(err, errBroken):
			s.out.fail(failure(err))
			return
		case s.guest:
			s.giveBack()
			return
		case !s.isWatching() && !s.await(ctx):
			s.out.fail(s.unreached(err))
			return
		case s.isWatching():
			s.watch.lost = true
		}
	}
}

// What begins and ends a transaction that the leader runs.
var multiArgs, execArgs = [][]byte{[]byte("MULTI")}, [][]byte{[]byte("EXEC")}

// transactThere lets the leader run a transaction. Commands that aren't about the store run here.
func (s *session) transactThere(ctx context.Context, requests []request) error {
	if s.watchesThere() && !s.up.isAlive() {
		s.hangUp()
		return errNotRun
	}
	up, err := s.reach(ctx)
	if err != nil {
		return err
	}
	up.add(multiArgs)
	sent := 0
	for i := range requests {
		if requests[i].runsThere() {
			up.add(requests[i].args)
			sent++
		}
	}
	up.add(execArgs)
	up.flush()
	queued := reply{max: math.MaxInt} // MULTI's and that each is queued, or an error, after which EXEC's is one, too.
	for range 1 + sent {
		if err == nil {
			err = up.reply(&queued)
			queued.buf = queued.buf[:0]
		}
	}
	start := len(s.out.buf)
	if err == nil {
		err = up.reply(&s.out)
	}
	if err != nil && !errors.Is(err, errDropped) {
		s.hangUp()
		return err
	}
	up.watching = false
	up.rest()
	if err == nil && sent < len(requests) {
		s.runBetween(ctx, requests, start, sent)
	}
	return err
}

// runsThere reports whether a request of a transaction runs where that does.
func (r *request) runsThere() bool { return r.isStored() || r.command.within }

// runBetween runs those requests of a transaction that the leader hasn't run, and puts their replies between those of its EXEC, which begin
// at start. Where that has run nothing they don't run either.
func (s *session) runBetween(ctx context.Context, requests []request, start, sent int) {
	head, theirs, _ := bytes.Cut(s.out.buf[start:], []byte("\r\n"))
	if string(head) != fmt.Sprintf("*%d", sent) {
		return
	}
	s.out.buf = slices.Clone(s.out.buf[:start])
	s.out.array(len(requests))
	now := s.server.now()
	for i := range requests {
		if r := &requests[i]; r.runsThere() {
			length := replyLength(theirs)
			s.out.buf = append(s.out.buf, theirs[:length]...)
			theirs = theirs[length:]
		} else {
			s.runAlone(ctx, r, now)
		}
	}
	s.out.base = len(s.out.buf) // What has happened must not be refused any more, since all replies together are too large.
}

// replyLength returns how many bytes the first of some whole replies has.
func replyLength(replies []byte) (length int) {
	for left := int64(1); left > 0; left-- {
		line, _, _ := bytes.Cut(replies[length:], []byte("\r\n"))
		items, following, _ := announced(line) // It was looked at when it was copied.
		length += len(line) + 2 + int(following)
		left += items
	}
	return length
}
