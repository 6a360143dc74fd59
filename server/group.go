package server

import (
	"context"
	"errors"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// Limits of a group. The transaction of one holds up all writers while its commands run, and their replies are in memory until it is
// acknowledged. A command that is larger is a group by itself.
const (
	groupCommands = 256
	groupBytes    = 256 << 10
	groupReplies  = 1 << 20
)

// runAll runs requests in order, consecutive ones as a group where they can be. It is given what time it is, and returns what time it is then.
func (s *session) runAll(ctx context.Context, requests []request, now time.Time) time.Time {
	var last *command
	for len(requests) > 0 && !s.ending {
		start, muted := len(s.out.buf), s.muted
		group := requests
		if muted == muteNext {
			group = requests[:1]
		}
		n := s.runSome(ctx, group)
		s.quieten(start, muted)
		now = s.ran(requests[:n], now)
		if ran := requests[n-1].command; ran != nil {
			last = ran
		}
		requests = requests[n:]
		if len(s.out.buf) > groupReplies {
			s.flush()
			now = time.Now() // The client may have been slow.
		}
	}
	s.show(last)
	return now
}

// quieten drops the replies from start on where the client doesn't want them. muted is what it wanted when they began.
func (s *session) quieten(start int, muted muted) {
	if muted != loud && s.muted != loud {
		s.out.buf = s.out.buf[:start]
	}
	if muted == muteNext && s.muted == muteNext {
		s.muted = loud
	}
}

// ran counts requests that have run together since a time, and returns what time it is.
func (s *session) ran(group []request, since time.Time) time.Time {
	now := time.Now()
	took, writes := now.Sub(since), false
	for i := 0; i < len(group); {
		first := i
		for i < len(group) && group[i].command == group[first].command {
			i++
		}
		if ran := group[first].command; ran != nil {
			ran.calls.Add(uint64(i - first))
			writes = writes || ran.class == writing
		}
	}
	s.server.counters().took(took, writes)
	s.server.slow.note(s, group, now, took)
	return now
}

// runSome runs the next requests, and returns how many.
func (s *session) runSome(ctx context.Context, requests []request) (n int) {
	first := &requests[0]
	s.out.base = len(s.out.buf)
	s.resolve(first)
	switch {
	case s.queue != nil && (first.command == nil || first.command.always&insideMulti == 0):
		s.enqueue(first)
	case first.class() == onSession:
		s.runOne(ctx, first, nil, s.server.now())
	case first.class() == scanning:
		s.view(ctx, requests[:1])
	default:
		n, writes := s.cutGroup(requests)
		if writes {
			return s.update(ctx, requests[:n])
		}
		return s.read(ctx, requests[:n])
	}
	return 1
}

// cutGroup returns how many of the requests run in one transaction, and whether one of them writes. The first does or doesn't, and
// belongs into a group.
func (s *session) cutGroup(requests []request) (n int, writes bool) {
	bytes := 0
	for n < len(requests) && n < groupCommands {
		r := &requests[n]
		s.resolve(r)
		if r.class() == onSession || r.class() == scanning {
			break
		}
		if bytes += r.size(); bytes > groupBytes && n > 0 {
			break
		}
		writes = writes || r.class() == writing
		n++
	}
	return n, writes
}

// runOne runs a request, in a transaction if it needs one.
func (s *session) runOne(ctx context.Context, r *request, tx *kv.Tx, now time.Time) {
	if r.command == nil {
		s.out.fail(r.problem)
		return
	}
	c := &s.call
	if r.command.class == onSession {
		c = new(call) // It may run others.
	}
	start := len(s.out.buf)
	*c = call{reply: &s.out, session: s, ctx: ctx, command: r.command, args: r.args, tx: tx, now: now}
	r.command.run(c)
	*c = call{}
	if s.out.full {
		s.out.buf, s.out.full, s.crowded = s.out.buf[:start], false, true
		s.out.fail(errCrowded.Error())
	}
}

// repliesMax is how many bytes of replies commands that run together may have. A command whose reply is larger fails.
const repliesMax = 256 << 20

// errCrowded ends a transaction whose replies are too large.
var errCrowded = errors.New("ERR the reply is larger than 256 MiB")

// read runs commands that write nothing, and returns how many. A single GET needs no view.
func (s *session) read(ctx context.Context, group []request) (n int) {
	if len(group) == 1 && group[0].command == s.server.getCommand {
		s.getOne(group[0].args[1])
		return 1
	}
	return s.view(ctx, group)
}

// view runs commands that write nothing, on one state, until their replies are many. It returns how many have run.
func (s *session) view(ctx context.Context, group []request) (n int) {
	start := len(s.out.buf)
	err := s.server.store.View(func(tx *kv.Tx) error {
		now := s.server.now()
		for n = 0; n < len(group) && len(s.out.buf)-start <= groupReplies; n++ {
			s.runOne(ctx, &group[n], tx, now)
		}
		return nil
	})
	if err != nil {
		s.out.buf = s.out.buf[:start]
		for range group {
			s.out.fail(failure(err))
		}
		return len(group)
	}
	return n
}

// update runs commands in one transaction. Its replies are what they are once the commit is acknowledged; where that fails, each command
// that writes gets the error, and the others run again without them. It returns how many have run: fewer where the replies of all are too large.
func (s *session) update(ctx context.Context, group []request) (n int) {
	start := len(s.out.buf)
	_, err := s.server.store.UpdateOffset(ctx, func(tx *kv.Tx) error {
		s.out.buf, s.crowded = s.out.buf[:start], false
		now := s.server.now()
		for i := range group {
			s.runOne(ctx, &group[i], tx, now)
		}
		if s.crowded && len(group) > 1 {
			return errCrowded
		}
		return nil
	})
	if err == nil {
		return len(group)
	}
	s.out.buf = s.out.buf[:start]
	if errors.Is(err, errCrowded) {
		return s.update(ctx, group[:len(group)/2])
	}
	for i := range group {
		if group[i].class() == writing {
			s.out.fail(failure(err))
		} else {
			s.view(ctx, group[i:i+1])
		}
	}
	return len(group)
}
