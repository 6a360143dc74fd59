package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// outputKept is how much memory for replies an idle connection keeps.
const outputKept = 4 << 10

// session is one connection. All but what is said to be shared belongs to the goroutine that runs it.
type session struct {
	server   *Server
	id       int64
	conn     net.Conn
	in       *input
	out      reply
	call     call
	batch    kv.Batch // Of blind writes.
	requests []request
	ending   bool  // It ends after the replies that are written.
	refusal  error // Why the store refused a write of the transaction that runs, nil where it took all.

	queue *queue // Of MULTI, nil outside.
	watch watch

	name string // As the client has named it.

	// In a replicated store:
	guest      bool      // Another node's server forwards commands over it.
	readOnly   bool      // READONLY was sent.
	toldLeader string    // Which node leads, as the client was last answered when it asked for the nodes.
	up         *upstream // To the leader's server; nil where there is none.
	patience   time.Time // Until when the group that runs waits for a leader, noPatience before it has had to.
	wrote      bool      // The transaction that runs has written.

	writing  sync.Mutex  // Held while bytes are sent, also by what sends messages that the client didn't ask for.
	stopping atomic.Bool // Shared: the server ends.
}

func newSession(server *Server, id int64, conn net.Conn) *session {
	return &session{server: server, id: id, conn: conn, in: newInput(conn, true), out: reply{max: server.opts.MaxReplies}}
}

// run serves the connection until it ends, or ctx is done.
func (s *session) run(ctx context.Context) {
	for !s.ending && !s.stopping.Load() {
		if err := s.in.fill(); err != nil {
			break
		}
		err := s.arrived()
		s.runAll(ctx, s.requests)
		if err != nil && !s.ending {
			s.out.fail(err.Error())
			s.ending = true
		}
		s.flush()
		clear(s.requests)
		s.requests = s.requests[:0]
	}
	s.leave()
}

// arrived puts the requests that are there into requests. The error is a protocolError, after which there are no more.
func (s *session) arrived() error {
	for {
		args, err := s.in.next()
		if err == errMore {
			return nil
		}
		if err != nil {
			return err
		}
		s.requests = append(s.requests, request{args: args})
	}
}

// flush sends the replies. Where they can't be sent in time the connection ends.
func (s *session) flush() {
	if len(s.out.buf) > 0 {
		if err := s.send(s.out.buf); err != nil {
			s.ending = true
		}
	}
	if cap(s.out.buf) > outputKept {
		s.out.buf = nil
	}
	s.out.buf = s.out.buf[:0]
}

// send sends whole replies or messages.
func (s *session) send(replies []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if limit := s.server.opts.WriteTimeout; limit > 0 {
		if err := s.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
	}
	_, err := s.conn.Write(replies)
	return err
}

// stop lets the session end once the commands that have arrived are answered.
func (s *session) stop() {
	s.stopping.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // A connection that is closed needs none.
}

// end releases what the session has.
func (s *session) end() {
	s.server.watched.remove(&s.watch)
	s.hangUp()
	_ = s.conn.Close() // Nothing is left to be sent.
}

// subscriptions returns how many channels the session listens to.
func (s *session) subscriptions() int { return 0 }

// getOne answers a GET without a view.
func (s *session) getOne(key []byte) {
	value, err := s.server.store.Get(key)
	answerValue(&s.out, value, err)
}
