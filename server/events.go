package server

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/walnutkv/walnut/kv"
)

// The channels of events, as Redis names them: one of each key, with the event as the message, and one of each event,
// with the key as the message.
const (
	keyspaceChannel = "__keyspace@0__:"
	keyeventChannel = "__keyevent@0__:"
)

// The events. A commit says no more: setting a deadline is a put, and when the store deletes an expired pair, that is a
// delete.
const (
	putEvent         = "set"
	deleteEvent      = "del"
	deleteRangeEvent = "kv.delrange"
)

// events are the store's commits as messages. One goroutine reads the feed, however many clients listen, and none where
// no client does.
type events struct {
	topics  int                // How many topics of clients can have events.
	stop    context.CancelFunc // Ends the goroutine, nil where there is none.
	channel []byte             // Memory for a channel's name.
}

// canHaveEvents reports whether a topic can have events.
func (t topic) canHaveEvents() bool {
	start := t.name
	if t.isPattern {
		g := newGlob([]byte(t.name))
		start = string(g.start)
	}
	for _, prefix := range [...]string{keyspaceChannel, keyeventChannel} {
		if strings.HasPrefix(start, prefix) || t.isPattern && strings.HasPrefix(prefix, start) {
			return true
		}
	}
	return false
}

// joinTopic lets a client listen to a topic that it doesn't listen to yet. It gets the events of commits that are
// acknowledged from now on.
func (s *Server) joinTopic(to topic, m *messages) {
	t := &s.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(to, m, s.store.Offset())
	if !to.canHaveEvents() {
		return
	}
	if t.events.topics++; t.events.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		t.events.stop = stop
		commits := s.store.Watch(ctx, kv.WatchOptions{})
		s.running.Go(func() { s.readFeed(ctx, commits) })
	}
}

// leaveTopic ends what joinTopic began.
func (s *Server) leaveTopic(from topic, m *messages) {
	t := &s.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(from, m)
	if !from.canHaveEvents() {
		return
	}
	if t.events.topics--; t.events.topics == 0 && t.events.stop != nil {
		t.events.stop()
		t.events.stop = nil
	}
}

// readFeed sends events until ctx is done, or the feed ends.
func (s *Server) readFeed(ctx context.Context, commits iter.Seq2[kv.Commit, error]) {
	for commit, err := range commits {
		if err != nil {
			s.feedEnded(ctx, err)
			return
		}
		for i := range commit.Mutations {
			s.topics.announce(ctx, &commit.Mutations[i], commit.Offset)
		}
	}
}

// feedEnded notes that there are no more events, until another client wants some. Unless there are no more commits
// either, it ends the connections that would have a gap without knowing.
func (s *Server) feedEnded(ctx context.Context, err error) {
	t := &s.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return // It was ended, and another may run.
	}
	s.opts.Logger.Warn("no more keyspace events", "error", err)
	t.events.stop()
	t.events.stop = nil
	if !errors.Is(err, kv.ErrClosed) { // There may be commits that the feed doesn't have.
		t.hangUp()
	}
}

// announce sends the events of a mutation. The lock is free between two of them, so that clients come and go meanwhile.
func (t *topics) announce(ctx context.Context, m *kv.Mutation, offset uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	switch m.Kind {
	case kv.MutationPut:
		t.sendEvent(putEvent, m.Key, offset)
	case kv.MutationDelete:
		t.sendEvent(deleteEvent, m.Key, offset)
	case kv.MutationDeleteRange:
		t.sendRangeEvent(m, offset)
	}
}

func (t *topics) sendEvent(event string, key []byte, offset uint64) {
	e := &t.events
	e.channel = append(append(e.channel[:0], keyspaceChannel...), key...)
	t.send(e.channel, []byte(event), offset)
	e.channel = append(append(e.channel[:0], keyeventChannel...), event...)
	t.send(e.channel, key, offset)
}

// sendRangeEvent says that a range was deleted. Which keys it had is not known: each channel of a key in the range gets
// the event, and the event's channel the bounds.
func (t *topics) sendRangeEvent(m *kv.Mutation, offset uint64) {
	for channel, to := range t.channels {
		key, found := strings.CutPrefix(channel, keyspaceChannel)
		if !found || key < string(m.Key) || len(m.End) > 0 && key >= string(m.End) {
			continue
		}
		f := t.newFrame()
		f.array(3)
		f.text("message")
		t.sendTo(to, []byte(channel), []byte(deleteRangeEvent), offset)
	}
	bounds := appendQuoted(append(appendQuoted(nil, m.Key), ' '), m.End)
	t.send([]byte(keyeventChannel+deleteRangeEvent), bounds, offset)
}

// hangUp ends the connections that listen to events.
func (t *topics) hangUp() {
	for name, to := range t.channels {
		to.hangUp(topic{name, false})
	}
	for _, patterns := range t.patterns {
		for name, p := range patterns {
			p.hangUp(topic{name, true})
		}
	}
}

func (l listeners) hangUp(of topic) {
	if of.canHaveEvents() {
		for m := range l {
			m.hangUp()
		}
	}
}
