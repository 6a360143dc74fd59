package server

import (
	"context"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// A block is a transaction that has arrived whole: MULTI, commands and EXEC. If nothing in it has an effect outside of
// the store, and nothing is watched, it runs as a part of its group, so that a pipeline of such transactions is one
// commit. Otherwise, and in a replicated store, its commands run as if they had arrived one by one.

// findBlock returns how many requests the block has that begins with the first, 0 where none does.
func (s *session) findBlock(requests []request) (length int) {
	if requests[0].command != s.server.multi || s.queue != nil || s.isWatching() || s.server.opts.Cluster != nil {
		return 0
	}
	if requests[0].block > 0 && !s.server.memory.full() {
		return requests[0].block
	}
	requests[0].block = 0
	seen, bytes := 1, 0
	for ; seen < len(requests) && seen < groupCommands && bytes <= groupBytes; seen++ {
		r := &requests[seen]
		s.resolve(r)
		if r.command == s.server.exec {
			requests[0].block = seen + 1
			return seen + 1
		}
		bytes += r.size()
		if r.command == nil || r.class() == onSession || r.class() == scanning {
			break
		}
	}
	for i := 1; i < len(requests) && i <= seen; i++ {
		requests[i] = request{args: requests[i].args} // Whether it may run is asked again inside MULTI.
	}
	return 0
}

// unit returns how many requests at the start of a group belong together, and whether they write.
func unit(group []request) (length int, writes bool) {
	length = max(1, group[0].block)
	for i := range group[:length] {
		writes = writes || group[i].class() == writing
	}
	return length, writes
}

// runUnit runs the requests at the start of a group that belong together, and returns how many.
func (s *session) runUnit(ctx context.Context, group []request, tx *kv.Tx, now time.Time) (length int) {
	length = group[0].block
	if length == 0 {
		s.runOne(ctx, &group[0], tx, now)
		return 1
	}
	start := len(s.out.buf)
	s.answerQueued(length)
	s.out.array(length - 2)
	for i := 1; i < length-1 && s.takes(); i++ {
		s.runOne(ctx, &group[i], tx, now)
	}
	if s.refusal != nil {
		s.out.cut(start)
		s.refuseUnit(group, s.refusal)
	}
	return length
}

// half returns how many requests at the start of a group are about half of it and belong together, 0 where all do.
func half(group []request) (n int) {
	for n < len(group)/2 {
		length, _ := unit(group[n:])
		if n > 0 && n+length > len(group)/2 {
			break
		}
		n += length
	}
	if n == len(group) {
		return 0
	}
	return n
}

// refuseUnit answers requests that belong together and have failed.
func (s *session) refuseUnit(group []request, err error) {
	if length := group[0].block; length > 0 {
		s.answerQueued(length)
	}
	s.out.fail(failure(err))
}

// answerQueued answers MULTI and the commands of a block.
func (s *session) answerQueued(length int) {
	s.out.ok()
	for range length - 2 {
		s.out.simple("QUEUED")
	}
}
