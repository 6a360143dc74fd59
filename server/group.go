package server

import (
	"context"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// Limits of a group. The transaction of one holds up all writers while its commands run, and their replies are in
// memory until it is acknowledged. A command that is larger is a group by itself.
const (
	groupCommands = 256
	groupBytes    = 256 << 10
	groupReplies  = 1 << 20
)

// runAll runs requests in order, consecutive ones as a group where they can be.
func (s *session) runAll(ctx context.Context, requests []request) {
	for len(requests) > 0 && !s.ending {
		n := s.runSome(ctx, requests)
		requests = requests[n:]
		if len(s.out.buf) > groupReplies {
			s.flush()
		}
	}
}

// runSome runs the next requests, and returns how many.
func (s *session) runSome(ctx context.Context, requests []request) (n int) {
	first := &requests[0]
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
			s.update(ctx, requests[:n])
		} else {
			s.read(ctx, requests[:n])
		}
		return n
	}
	return 1
}

// cutGroup returns how many of the requests run in one transaction, and whether one of them writes. The first does or
// doesn't, and belongs into a group.
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
	*c = call{reply: &s.out, session: s, ctx: ctx, command: r.command, args: r.args, tx: tx, now: now}
	r.command.run(c)
	*c = call{}
}

// read runs commands that write nothing. A single GET needs no view.
func (s *session) read(ctx context.Context, group []request) {
	if len(group) == 1 && group[0].command == s.server.getCommand {
		s.getOne(group[0].args[1])
		return
	}
	s.view(ctx, group)
}

// view runs commands that write nothing, on one state.
func (s *session) view(ctx context.Context, group []request) {
	start := len(s.out.buf)
	err := s.server.store.View(func(tx *kv.Tx) error {
		now := s.server.now()
		for i := range group {
			s.runOne(ctx, &group[i], tx, now)
		}
		return nil
	})
	if err != nil {
		s.out.buf = s.out.buf[:start]
		for range group {
			s.out.fail(failure(err))
		}
	}
}

// update runs commands in one transaction. Its replies are what they are once the commit is acknowledged; where that
// fails, each command that writes gets the error, and the others run again without them. Where the store refuses a
// single write, since the commit would be too large for example, smaller groups are tried, so that each command is done
// or refused as if it had come alone.
func (s *session) update(ctx context.Context, group []request) {
	start := len(s.out.buf)
	var refusal error
	_, err := s.server.store.UpdateOffset(ctx, func(tx *kv.Tx) error {
		s.out.buf = s.out.buf[:start]
		now := s.server.now()
		for i := 0; i < len(group) && s.refusal == nil; i++ {
			s.runOne(ctx, &group[i], tx, now)
		}
		refusal = s.takeRefusal()
		return refusal
	})
	if err == nil {
		return
	}
	s.out.buf = s.out.buf[:start]
	if half := len(group) / 2; half > 0 && refusal != nil {
		s.update(ctx, group[:half])
		s.update(ctx, group[half:])
		return
	}
	for i := range group {
		if group[i].class() == writing {
			s.out.fail(failure(err))
		} else {
			s.view(ctx, group[i:i+1])
		}
	}
}

// takeRefusal returns why the store refused a write of the transaction whose commands have run, nil where it took all.
func (s *session) takeRefusal() error {
	refusal := s.refusal
	s.refusal = nil
	return refusal
}
