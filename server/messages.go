package server

import (
	"context"
	"net"
	"sync"
)

const (
	// pendingMax is how many bytes of events wait for a client at most, those that are being sent included. It is what
	// Redis allows a subscriber.
	pendingMax = 32 << 20
	// commitsAhead is how many bytes wait for a client before the next commit that it watches is read.
	commitsAhead = 64 << 10
	// messagesKept is how much memory for messages a client keeps that gets none.
	messagesKept = 1 << 10
)

// messages are what a client gets without asking each time: events, and commits that it watches. Its session's sender
// sends them, so that what makes them never waits for the client's socket.
//
// Invariants: mu guards all fields after it. pending has whole messages.
type messages struct {
	conn   net.Conn
	sender sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond // Is broadcast when something may go on.
	pending []byte
	spare   []byte // Memory for pending.
	sending int    // Bytes that are being sent.
	share   share  // Of what all clients have to read: these two, where they are more than repliesFree.
	held    bool   // Replies that come before are still to be sent.
	closed  bool   // The connection is over.
	resp3   bool
}

func newMessages(conn net.Conn, replies *budget) *messages {
	m := &messages{conn: conn, share: share{of: replies}}
	m.changed.L = &m.mu
	return m
}

// hold lets messages wait until release. They are in the protocol that the client speaks now.
func (m *messages) hold(resp3 bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held, m.resp3 = true, resp3
}

// release lets messages be sent. Later ones are in the protocol that the client speaks now.
func (m *messages) release(resp3 bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resp3 = resp3
	if m.held {
		m.held = false
		m.changed.Broadcast()
	}
}

// offer adds a message. A client that has too many, or more than all clients together leave room for, is given up: it would have a gap, without
// knowing that.
func (m *messages) offer(message []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if bytes := m.bytes() + len(message); bytes > pendingMax || bytes > repliesFree && !m.share.hold(bytes) {
		m.giveUp()
	}
	m.add(message)
}

// bytes returns how many bytes are pending or being sent. The caller holds mu.
func (m *messages) bytes() int { return len(m.pending) + m.sending }

// fewer gives back the share of what is in memory no longer. The caller holds mu.
func (m *messages) fewer() {
	bytes := m.bytes()
	if bytes <= repliesFree {
		bytes = 0
	}
	m.share.hold(min(bytes, m.share.bytes))
	m.changed.Broadcast()
}

// put adds a message once few are pending. It returns false where ctx or the connection has ended.
func (m *messages) put(ctx context.Context, message []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.awaitFew(ctx)
	if ctx.Err() != nil {
		return false
	}
	m.add(message)
	return !m.closed
}

// awaitFew waits until few bytes are pending, or ctx or the connection has ended. The caller holds mu.
func (m *messages) awaitFew(ctx context.Context) {
	for !m.closed && ctx.Err() == nil && m.bytes() > commitsAhead {
		m.changed.Wait()
	}
}

// awaitSent waits until few bytes are pending. It returns false where ctx or the connection has ended.
func (m *messages) awaitSent(ctx context.Context) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.awaitFew(ctx)
	return !m.closed && ctx.Err() == nil
}

// add adds a message, which is an array in RESP2 and differs from that by its first byte in RESP3. The caller holds mu.
func (m *messages) add(message []byte) {
	if m.closed {
		return
	}
	first := len(m.pending)
	m.pending = append(m.pending, message...)
	if m.resp3 {
		m.pending[first] = '>'
	}
	m.changed.Broadcast()
}

// wait waits until something can be sent. It returns false once the connection is over.
func (m *messages) wait() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.closed && (m.held || len(m.pending) == 0) {
		m.changed.Wait()
	}
	return !m.closed
}

// take returns what is to be sent now, which sent gets afterwards.
func (m *messages) take() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held || m.closed {
		return nil
	}
	taken := m.pending
	m.pending, m.spare, m.sending = m.spare, nil, len(taken)
	return taken
}

func (m *messages) sent(taken []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending = 0
	if cap(taken) <= messagesKept {
		m.spare = taken[:0]
	}
	m.fewer()
}

// appendTo moves what is pending to replies, before which it happened. Later messages wait until release, since those replies may have to wait
// for what is being sent. They are in the protocol that the client speaks now.
func (m *messages) appendTo(replies []byte, resp3 bool) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held, m.resp3 = true, resp3
	replies = append(replies, m.pending...)
	m.pending = nil
	m.fewer()
	return replies
}

// wake lets a put see that its context has ended.
func (m *messages) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed.Broadcast()
}

// close drops what is pending, and lets nothing be sent any more. The caller holds mu.
func (m *messages) close() {
	m.closed, m.pending, m.spare = true, nil, nil
	m.fewer()
}

// end closes, and waits for the sender. The connection must be closed.
func (m *messages) end() {
	m.mu.Lock()
	m.close()
	m.mu.Unlock()
	m.sender.Wait()
}

// hangUp ends the connection of a client that would miss something.
func (m *messages) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.giveUp()
}

// giveUp is hangUp for a caller that holds mu.
func (m *messages) giveUp() {
	if !m.closed {
		m.close()
		go m.conn.Close() // In TLS it may wait for the client.
	}
}

// expectMessages returns the session's messages, which are sent after the replies that there are.
func (s *session) expectMessages() *messages {
	if s.messages == nil {
		s.messages = newMessages(s.conn, &s.server.repliesHeld)
		s.messages.sender.Go(s.sendMessages)
	}
	s.messages.hold(s.out.resp3)
	return s.messages
}

// sendMessages sends messages until the connection is over.
func (s *session) sendMessages() {
	for s.messages.wait() {
		if err := s.sendPending(); err != nil {
			s.messages.hangUp() // So that the session reads its end.
		}
	}
}

// sendPending sends what is pending. It takes that with the lock for writing held, so that no reply can come between
// the two.
func (s *session) sendPending() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	pending := s.messages.take()
	if len(pending) == 0 {
		return nil
	}
	err := s.write(pending)
	s.messages.sent(pending)
	return err
}

// settleMessages puts what is pending before the reply that comes next. Within EXEC that is a part of a reply.
func (s *session) settleMessages() {
	if !s.executing {
		s.settle()
	}
}

// forgetMessages ends what the session listens to and watches. What is pending comes before the reply that comes next.
func (s *session) forgetMessages() {
	s.forgetTopics()
	s.stopCommits()
	s.settle()
}

// settle puts what is pending before the reply that comes next. It doesn't count as a reply, and takes no room from those that follow: what they
// confirm has happened.
func (s *session) settle() {
	if s.messages != nil {
		before := len(s.out.buf)
		s.out.buf = s.messages.appendTo(s.out.buf, s.out.resp3)
		settled := len(s.out.buf) - before
		s.out.base += settled
		s.out.share.add(settled)
		s.out.kept = len(s.out.buf)
	}
}

// endMessages is forgetMessages for a connection that is closed.
func (s *session) endMessages() {
	s.forgetTopics()
	s.stopCommits()
	if s.messages != nil {
		s.messages.end()
	}
}
