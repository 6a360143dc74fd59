package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime"
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

	// patient is the context of commits. With one store alone it never ends: the store would need a goroutine for each commit whose caller
	// may give up.
	patient context.Context

	queue *queue // Of MULTI, nil outside.
	watch watch
	muted muted

	topics       map[topic]struct{} // What it listens to.
	topicsHeld   share              // Of what topics takes, and the entries of the server's table.
	commits      *commitWatch       // Of KV.WATCH, nil without.
	messages     *messages          // Nil until it listens or watches for the first time.
	publications []publication      // Of the transaction that runs.
	executing    bool               // EXEC runs a transaction.

	face face                 // Shared.
	user atomic.Pointer[user] // Shared: nil before AUTH, where clients must authenticate.

	// In a replicated store:
	guest      bool      // Another node's server forwards commands over it.
	readOnly   bool      // READONLY was sent.
	toldLeader string    // Which node leads, as the client was last answered when it asked for the nodes.
	up         *upstream // To the leader's server; nil where there is none.
	giveUp     time.Time // Until when the group that runs waits for a leader; zero before it has had to.
	wrote      bool      // The transaction that runs has written.

	awaiting sync.Mutex // Guards silent and limited, and the deadline that they are about.
	silent   time.Time  // Since when the client is, or was before the commands that run.
	limited  bool       // There is a time by which bytes must arrive.

	writing  sync.Mutex  // Held while bytes are sent, also by what sends messages that the client didn't ask for.
	stopping atomic.Bool // Shared: the server ends, or killed is set.
	killed   atomic.Bool // Shared: the connection is closed, and nothing begins any more.

	upConn atomic.Pointer[net.Conn] // Shared: the connection of up, for kill.
}

func newSession(server *Server, id int64, conn net.Conn) *session {
	s := &session{server: server, id: id, conn: conn, in: newInput(conn, true), out: reply{max: server.opts.MaxReplies}}
	s.in.share.of, s.out.share.of = &server.commandsHeld, &server.repliesHeld
	s.watch.share.of, s.topicsHeld.of = &server.commandsHeld, &server.commandsHeld
	s.face.began = time.Now()
	s.face.active, s.face.queued = s.face.began, -1
	s.silent = s.face.began
	return s
}

// become makes the client that user, or one that must authenticate.
func (s *session) become(user *user) {
	s.user.Store(user)
	s.in.known = user != nil
}

// run serves the connection until it ends, or ctx is done.
func (s *session) run(ctx context.Context) {
	if s.patient = ctx; s.server.opts.Cluster == nil {
		s.patient = context.WithoutCancel(ctx)
	}
	if !s.handshake(ctx) {
		return
	}
	for !s.ending && !s.stopping.Load() {
		s.awaitBytes()
		if err := s.in.fill(); err != nil {
			s.refuseInput(err)
			break
		}
		s.server.counters().in.Add(uint64(s.in.filled))
		s.answer(ctx)
		runtime.Gosched() // The next command may have come by the time it runs again. Reading at once mostly finds nothing, and waits.
	}
	s.leave()
}

// refuseInput answers a client for whose next command there is no room.
func (s *session) refuseInput(err error) {
	if errors.Is(err, crowdedError{}) {
		s.complain(err.Error())
		s.flush()
	}
}

// complain writes an error that answers no command. A client that wants no replies doesn't get it either.
func (s *session) complain(text string) {
	start := len(s.out.buf)
	s.out.fail(text)
	s.quieten(start, s.muted)
}

// handshakeTimeout is how long a client may take to prove itself, which those that never do would hold connections with.
const handshakeTimeout = 10 * time.Second

// handshake makes a connection secure that is to be, and reports whether the client did its part.
func (s *session) handshake(ctx context.Context) bool {
	secure, ok := s.conn.(*tls.Conn)
	if !ok {
		return true
	}
	limited, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	err := secure.HandshakeContext(limited)
	if err != nil {
		s.server.opts.Logger.Debug("handshake failed", "client", s.remote(), "error", err)
	}
	return err == nil
}

// awaitBytes is called before the session waits for bytes. Only from now on the client is silent.
func (s *session) awaitBytes() {
	s.awaiting.Lock()
	s.silent = time.Now()
	s.awaiting.Unlock()
	s.limitSilence()
}

// limitSilence sets the time by which bytes must arrive. A client that is subscribed has no limit, also where it had one before. It is called
// by the goroutine of the session before it waits, and by another one when the limit has changed.
func (s *session) limitSilence() {
	s.awaiting.Lock()
	defer s.awaiting.Unlock()
	limit := time.Duration(s.server.idleTimeout.Load())
	if s.guest || s.face.isSubscribed() {
		limit = 0
	}
	if limit == 0 && !s.limited {
		return
	}
	var deadline time.Time
	if s.limited = limit > 0; s.limited {
		deadline = s.silent.Add(limit)
	}
	_ = s.conn.SetReadDeadline(deadline) // A connection that is closed needs none.
	if s.stopping.Load() {
		s.stop() // The deadline was that of stop.
	}
}

// answer runs what has arrived, and sends the replies.
func (s *session) answer(ctx context.Context) {
	now := time.Now()
	s.face.arrived(now)
	for more := true; more && !s.isOver(); {
		var err error
		more, err = s.arrived()
		now = s.runAll(ctx, s.requests, now)
		s.forgetRequests()
		if err != nil && !s.ending {
			s.complain(err.Error())
			s.ending = true
		}
	}
	s.flush()
}

// isOver reports whether no command may begin any more.
func (s *session) isOver() bool { return s.ending || s.killed.Load() }

// takes reports whether the next command of a transaction may begin. Once the connection is killed the transaction is refused.
func (s *session) takes() bool {
	if s.refusal == nil && s.killed.Load() {
		s.refusal = errKilled
	}
	return s.refusal == nil
}

// pause waits for a moment. It returns false where the client is gone, as far as that can be known, or the session is to end.
func (s *session) pause(ctx context.Context, moment time.Duration) bool {
	select {
	case <-time.After(moment):
	case <-ctx.Done():
		return false
	}
	_, err := peek(s.conn)
	return !s.stopping.Load() && (err == nil || errors.Is(err, os.ErrDeadlineExceeded))
}

// errKilled refuses a transaction, or a command that takes long, whose connection was killed before it was done.
var errKilled = errors.New("the connection was closed before this was done: nothing of it was executed")

// forgetRequests lets go of the arguments of what has run, and of more memory than an idle connection should keep.
func (s *session) forgetRequests() {
	if cap(s.requests) > groupCommands {
		s.requests = nil
	}
	clear(s.requests)
	s.requests = s.requests[:0]
	s.in.forget()
}

// requestsAtOnce is how many requests are taken before they run: each takes memory, and the buffer may have millions of two bytes.
const requestsAtOnce = 4 * groupCommands

// argumentsAtOnce is after how many arguments no further request is taken. A line of 64 KiB may have 32,000, each of which takes 32 bytes.
const argumentsAtOnce = 64 << 10

// arrived puts requests that are there into requests, and reports whether there may be more: those that follow one of a client that
// isn't authenticated are read once that has run, since it may be AUTH. The error is a protocolError or a crowdedError, after which there are
// no more.
func (s *session) arrived() (more bool, err error) {
	for arguments := 0; ; {
		args, err := s.in.next()
		if err == errMore {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		s.requests = append(s.requests, request{args: args})
		arguments += len(args)
		if !s.in.known || len(s.requests) == requestsAtOnce || arguments >= argumentsAtOnce {
			return true, nil
		}
	}
}

// flush sends the replies. Where they can't be sent in time the connection ends.
func (s *session) flush() {
	if s.out.failures > 0 {
		s.server.counters().failures.Add(s.out.failures)
		s.out.failures = 0
	}
	if len(s.out.buf) > 0 {
		if err := s.send(s.out.buf); err != nil {
			s.ending = true
		}
	}
	if s.messages != nil {
		s.messages.release(s.out.resp3)
	}
	if cap(s.out.buf) > outputKept {
		s.out.buf = nil
	}
	s.out.share.hold(0)
	s.out.buf, s.out.kept = s.out.buf[:0], 0
}

// send sends whole replies or messages.
func (s *session) send(replies []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.write(replies)
}

// write is send for a caller that holds the lock.
func (s *session) write(replies []byte) error {
	if limit := s.server.opts.WriteTimeout; limit > 0 {
		if err := s.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
	}
	n, err := s.conn.Write(replies)
	s.server.counters().out.Add(uint64(n))
	return err
}

// stop lets the session end once the commands that have arrived are answered.
func (s *session) stop() {
	s.stopping.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // A connection that is closed needs none.
}

// kill closes the connection, from another one's goroutine. The command in progress ends, or is refused if it takes long, as is the
// transaction in progress. Replies are lost. Others that have arrived don't run. What the leader was sent may still run there, and isn't
// waited for. It reports whether the connection wasn't killed before.
func (s *session) kill() bool {
	if s.killed.Swap(true) {
		return false
	}
	s.stop()
	go s.conn.Close() // In TLS it may wait for the client.
	if up := s.upConn.Load(); up != nil {
		go (*up).Close()
	}
	return true
}

// end releases what the session has.
func (s *session) end() {
	s.server.watched.remove(&s.watch)
	s.hangUp()
	_ = s.conn.Close() // Nothing is left to be sent.
	s.endMessages()
	s.dropQueue()
	s.in.close()
	s.out.share.hold(0)
}

// subscriptions returns how many things the session gets messages about.
func (s *session) subscriptions() (count int) {
	if s.watchesCommits() {
		count = 1
	}
	return count + len(s.topics)
}

// getOne answers a GET without a view.
func (s *session) getOne(key []byte) {
	value, err := s.server.store.Get(key)
	answerValue(&s.out, value, err)
}
