package server

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"
	"sync/atomic"

	"github.com/walnutkv/walnut/kv"
)

// commitCommands are about the store's commits as messages, from any offset on.
var commitCommands = []command{
	{name: "kv.watch", arity: -2, class: onSession, run: watchCommits, always: insideMulti | subscribed},
	{name: "kv.unwatch", arity: 1, class: onSession, run: unwatchCommits, always: insideMulti | subscribed},
}

// The messages of a watch: a commit, and why there are no more.
const (
	commitMessage = "kv.commit"
	endMessage    = "kv.end"
)

// commitWatch is a KV.WATCH. Its goroutine reads the feed as fast as the client reads the messages, so that what a slow
// client has not read yet stays in the log.
type commitWatch struct {
	messages *messages
	stop     context.CancelFunc
	done     sync.WaitGroup
	share    share         // Of a large commit until its message is sent. The next one isn't read before.
	next     atomic.Uint64 // The offset after the last commit that became a message.
	ended    atomic.Bool   // The feed has ended.
}

// watchCommits answers with the offset of the first commit that is watched.
func watchCommits(c *call) {
	s := c.session
	if s.queue != nil || c.tx != nil {
		c.fail("ERR KV.WATCH inside MULTI is not allowed")
		return
	}
	from, ok := parseInt(c.args[1])
	opts := kv.WatchOptions{From: uint64(from)}
	switch rest := c.args[2:]; {
	case !ok || from < 0:
		c.fail(errNotInteger)
		return
	case len(rest) == 2 && is(rest[0], "prefix"):
		opts.Prefix = rest[1]
	case len(rest) > 0:
		c.fail(errSyntax)
		return
	}
	if s.watchesCommits() {
		c.fail("ERR the connection watches commits already: KV.UNWATCH ends that")
		return
	}
	s.stopCommits()
	if opts.From == 0 {
		opts.From = s.server.store.Offset() + 1
	}
	s.startCommits(opts)
	c.integer(int64(opts.From))
}

func (s *session) startCommits(opts kv.WatchOptions) {
	ctx, stop := context.WithCancel(context.Background())
	w := &commitWatch{messages: s.expectMessages(), stop: stop, share: share{of: &s.server.repliesHeld}}
	w.next.Store(opts.From)
	commits := s.server.store.Watch(ctx, opts)
	w.done.Go(func() { w.run(ctx, commits) })
	s.commits = w
}

// unwatchCommits answers with the offset from which a later watch goes on, and 0 where there was none.
func unwatchCommits(c *call) {
	s := c.session
	if s.queue != nil || c.tx != nil { // An Update must not wait for a goroutine that reads the store.
		c.fail("ERR KV.UNWATCH inside MULTI is not allowed")
		return
	}
	next := s.stopCommits()
	s.settleMessages()
	c.integer(int64(next))
}

// watchesCommits reports whether commits become messages.
func (s *session) watchesCommits() bool { return s.commits != nil && !s.commits.ended.Load() }

// stopCommits ends a watch, and returns where it would go on.
func (s *session) stopCommits() (next uint64) {
	w := s.commits
	if w == nil {
		return 0
	}
	w.stop()
	w.messages.wake()
	w.done.Wait()
	s.commits = nil
	return w.next.Load()
}

// errCrowdedWatch ends a watch whose client may go on with the commit once there is room.
var errCrowdedWatch = errors.New("the clients together hold too much memory for a commit of this size")

// run makes messages of commits until ctx is done, the connection is over, the feed ends, or there is no room for a large one.
func (w *commitWatch) run(ctx context.Context, commits iter.Seq2[kv.Commit, error]) {
	defer w.share.hold(0)
	message := reply{max: math.MaxInt}
	for commit, err := range commits {
		message.buf = message.buf[:0]
		if err == nil && !w.hold(&commit) {
			err = errCrowdedWatch
		}
		if err != nil {
			w.ended.Store(true) // Before the client can know.
			message.watchEnded(w.next.Load(), err)
			w.messages.put(ctx, message.buf)
			return
		}
		message.commit(&commit)
		if !w.messages.put(ctx, message.buf) {
			return
		}
		w.next.Store(commit.Offset + 1)
		if cap(message.buf) > commitsAhead {
			message.buf = nil
		}
		if w.share.bytes > 0 {
			if !w.messages.awaitSent(ctx) {
				return
			}
			w.share.hold(0)
		}
	}
}

// hold counts a commit and its message, if they are large, and reports whether there is room. The feed has the commit until the next one.
func (w *commitWatch) hold(c *kv.Commit) bool {
	bytes := 0
	for i := range c.Mutations {
		m := &c.Mutations[i]
		bytes += argumentOverhead + len(m.Key) + len(m.Value) + len(m.End)
	}
	if bytes <= repliesFree {
		bytes = 0
	}
	return w.share.hold(2 * bytes)
}

// watchEnded is the message that a watch has ended, which could go on from next.
func (r *reply) watchEnded(next uint64, err error) {
	r.array(3)
	r.text(endMessage)
	r.integer(int64(next))
	r.text(failure(err))
}

// commit is the message of a commit. Times are in milliseconds since 1970.
func (r *reply) commit(c *kv.Commit) {
	r.array(4)
	r.text(commitMessage)
	r.integer(int64(c.Offset))
	r.integer(c.Time.UnixMilli())
	r.array(len(c.Mutations))
	for i := range c.Mutations {
		r.mutation(&c.Mutations[i])
	}
}

// mutation is a change of a commit, as the feed has it. A put has its deadline, -1 where it has none.
func (r *reply) mutation(m *kv.Mutation) {
	switch m.Kind {
	case kv.MutationPut:
		r.array(4)
		r.text(m.Kind.String())
		r.bulk(m.Key)
		r.bulk(m.Value)
		if m.Deadline.IsZero() {
			r.integer(-1)
		} else {
			r.integer(m.Deadline.UnixMilli())
		}
	case kv.MutationDeleteRange:
		r.array(3)
		r.text(m.Kind.String())
		r.bulk(m.Key)
		r.bulk(m.End)
	default:
		r.array(2)
		r.text(m.Kind.String())
		r.bulk(m.Key)
	}
}
