package server

import (
	"context"
	"errors"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// Limits of a group. The transaction of one holds up all writers while its commands run, and their replies are in
// memory until it is acknowledged. A command that is larger is a group by itself.
const (
	groupCommands = 256
	groupBytes    = 256 << 10
	// batchKept is how many bytes of commands leave their memory to the next blind writes, and to an idle connection.
	batchKept    = 16 << 10
	groupReplies = 1 << 20
	groupTime    = 5 * time.Millisecond // Of its commands that run, if it writes. Those of a MULTI are one.
	groupLook    = 8                    // How many commands run before the next look at the clock, which takes 40 ns.
)

// runAll runs requests in order, consecutive ones as a group where they can be. It is given what time it is, and returns what time it is then.
func (s *session) runAll(ctx context.Context, requests []request, now time.Time) time.Time {
	var last *command
	for len(requests) > 0 && !s.isOver() {
		group := requests
		if s.muted == muteNext {
			group, s.muted = requests[:1], muteThis
		}
		start, muted := len(s.out.buf), s.muted
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
		s.out.drop(start)
	}
	if s.muted == muteThis {
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
	s.giveUp, s.refusal = time.Time{}, nil
	switch {
	case s.queue != nil && (first.command == nil || first.command.always&insideMulti == 0):
		s.enqueue(first)
	case first.class() == onSession && s.findBlock(requests) == 0:
		s.runAlone(ctx, first, s.server.now())
	default:
		n, needs := s.cutGroup(requests)
		if needs == toAnswer || s.runsHere(needs) {
			return s.runHere(ctx, requests[:n], needs)
		}
		s.forward(ctx, requests[:n])
		return n
	}
	return 1
}

// runHere runs a group on this node, and returns how many of its requests.
func (s *session) runHere(ctx context.Context, group []request, needs need) (n int) {
	switch needs {
	case toAnswer:
		return s.runIn(ctx, nil, group)
	case toRead:
		return s.read(ctx, group)
	case toUpdate:
		return s.update(ctx, group)
	}
	s.apply(ctx, group)
	return len(group)
}

// need is what a group needs of the store.
type need uint8

const (
	toAnswer need = iota // Nothing.
	toRead               // One state.
	toApply              // A batch: all that it does is to write blindly. Nothing else waits while its commands run.
	toUpdate             // A transaction that reads and writes.
)

// cutGroup returns how many of the requests run together, and what they need. The first belongs into a group, or is a scan, which is one.
func (s *session) cutGroup(requests []request) (n int, needs need) {
	if requests[0].class() == scanning {
		return 1, toRead
	}
	bytes, reads, writes, blind := 0, false, false, true
	for n < len(requests) && n < groupCommands {
		r := &requests[n]
		s.resolve(r)
		if r.class() == scanning || r.class() == onSession && s.findBlock(requests[n:]) == 0 {
			break
		}
		length, change := unit(requests[n:])
		for i := range length {
			bytes += requests[n+i].size()
		}
		if n > 0 && (bytes > groupBytes || n+length > groupCommands) {
			break
		}
		writes = writes || change
		reads = reads || r.class() == reading || length > 1
		blind = blind && (!change || r.blind())
		n += length
	}
	switch {
	case !writes && !reads:
		return n, toAnswer
	case !writes:
		return n, toRead
	case blind && !reads:
		return n, toApply
	}
	return n, toUpdate
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
	if tx == nil && r.command.class == writing {
		c.batch = &s.batch
	}
	r.command.run(c)
	*c = call{}
	if !s.out.hasRoom(0) {
		s.out.drop(start)
		s.out.full, s.refusal = false, errLargeReply
		s.out.fail(failure(errLargeReply))
	}
}

// runAlone runs a request that is part of no transaction, so that a reply which is too large refuses nothing else.
func (s *session) runAlone(ctx context.Context, r *request, now time.Time) {
	s.out.base = len(s.out.buf)
	s.runOne(ctx, r, nil, now)
	s.refusal = nil
}

// errLargeReply refuses a command or a transaction whose replies would be larger than Options.MaxReplies.
var errLargeReply = errors.New("the replies are too large to be kept until they can be sent")

// read runs commands that write nothing, and returns how many. A single GET needs no view.
func (s *session) read(ctx context.Context, group []request) (n int) {
	if len(group) > 1 || group[0].command != s.server.getCommand {
		return s.view(ctx, group)
	}
	if err := s.fresh(ctx); err != nil {
		s.out.fail(failure(err))
	} else {
		s.getOne(group[0].args[1])
	}
	return 1
}

// look runs a function in a View of what the session may expect.
func (s *session) look(ctx context.Context, body func(tx *kv.Tx) error) error {
	if err := s.fresh(ctx); err != nil {
		return err
	}
	return s.server.store.View(body)
}

// view runs commands that write nothing, on one state, and returns how many.
func (s *session) view(ctx context.Context, group []request) (n int) {
	start := len(s.out.buf)
	err := s.look(ctx, func(tx *kv.Tx) error {
		n = s.runIn(ctx, tx, group)
		return nil
	})
	if err == nil {
		return n
	}
	s.out.cut(start)
	for i := 0; i < len(group); {
		s.refuseUnit(group[i:], err)
		length, _ := unit(group[i:])
		i += length
	}
	return len(group)
}

// runIn runs requests in a transaction until their replies or the time they took are enough for one group, or the store refuses a write, and
// returns how many.
func (s *session) runIn(ctx context.Context, tx *kv.Tx, group []request) (n int) {
	start, now := len(s.out.buf), s.server.now()
	var began time.Time
	looked, holdsUp := 0, len(group) > groupLook && tx != nil && tx.Writable()
	if holdsUp {
		began = time.Now()
	}
	for n < len(group) && len(s.out.buf)-start < groupReplies && s.refusal == nil {
		before := len(s.out.buf)
		length := s.runUnit(ctx, group[n:], tx, now)
		if s.refusal != nil && (tx == nil || !tx.Writable()) {
			s.refusal = nil
			if n > 0 { // It may have room when it runs alone.
				s.out.cut(before)
				return n
			}
		}
		n += length
		if s.killed.Load() {
			break // What hasn't begun never will.
		}
		if holdsUp && n-looked >= groupLook {
			if looked = n; time.Since(began) > groupTime {
				break // The rest is another group.
			}
		}
	}
	return n
}

// apply runs commands that write blindly, as one commit. Its replies are what they are once that is acknowledged.
func (s *session) apply(ctx context.Context, group []request) {
	if !s.server.watched.blind.TryRLock() {
		s.updateAll(ctx, group)
		return
	}
	start := len(s.out.buf)
	err := s.applyBlind(ctx, group)
	switch {
	case err == nil:
	case len(group) > 1 && (errors.Is(err, kv.ErrCommitTooLarge) || errors.Is(err, kv.ErrIndex)):
		s.out.cut(start)
		s.updateAll(ctx, group) // It refuses only the commands that are the reason.
	default:
		s.failed(ctx, start, group, err)
	}
}

// applyBlind marks what is watched, and commits. The caller has locked for that.
func (s *session) applyBlind(ctx context.Context, group []request) error {
	defer s.server.watched.blind.RUnlock()
	now := s.server.now()
	s.batch.Reset()
	for i := range group {
		s.runAlone(ctx, &group[i], now) // Of those that write the replies are short.
	}
	_, err := s.server.store.ApplyContext(s.patient, &s.batch)
	bytes := 0
	for i := range group {
		bytes += group[i].size()
	}
	if bytes > batchKept {
		s.batch = kv.Batch{}
	}
	return err
}

// updateAll runs commands in transactions, as few as can be.
func (s *session) updateAll(ctx context.Context, group []request) {
	for n := 0; n < len(group) && !s.killed.Load(); {
		n += s.update(ctx, group[n:])
	}
}

// update runs commands in one transaction, and returns how many. Its replies are what they are once the commit is acknowledged. Where the
// store refuses a single write, since the commit would be too large for example, smaller groups are tried, so that each command is done or
// refused as if it had come alone.
func (s *session) update(ctx context.Context, group []request) (n int) {
	start := len(s.out.buf)
	var refusal error
	err := s.commit(ctx, func(tx *kv.Tx) error {
		s.out.cut(start)
		n = s.runIn(ctx, tx, group)
		refusal = s.takeRefusal()
		return refusal
	})
	switch {
	case err == nil:
		return n
	case refusal != nil && half(group[:n]) > 0:
		s.out.cut(start)
		return s.update(ctx, group[:half(group[:n])])
	case n == 0: // The function wasn't called.
		n = len(group)
	}
	s.failed(ctx, start, group[:n], err)
	return n
}

// failed answers a group whose commit failed: each command that writes gets the error, and the others run again without them. In a
// replicated store all of them run again where they may.
func (s *session) failed(ctx context.Context, start int, group []request, err error) {
	s.out.cut(start)
	if s.isRefused(err) {
		s.again(ctx, group)
		return
	}
	for i := 0; i < len(group) && !s.killed.Load(); {
		length, writes := unit(group[i:])
		if writes {
			s.refuseUnit(group[i:], err)
		} else {
			s.out.base = len(s.out.buf)
			s.view(ctx, group[i:i+length])
		}
		i += length
	}
}

// takeRefusal returns why the store refused a write of the transaction whose commands have run, nil where it took all.
func (s *session) takeRefusal() error {
	refusal := s.refusal
	s.refusal = nil
	return refusal
}
