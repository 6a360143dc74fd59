package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrClosed reports that a server was closed. Serve returns it after Shutdown and Close.
var ErrClosed = errors.New("server: closed")

// Server serves a store. It doesn't own it: the store must be closed after the server.
//
// Invariant: mu guards users, listeners, sessions and closed. Once closed is set, neither a listener nor a session is added.
type Server struct {
	store                     Store
	opts                      Options
	commands                  commandTable
	getCommand                *command
	multi                     *command
	exec                      *command
	webCommand                *command
	started                   time.Time
	runID                     string // 40 hexadecimal digits.
	watched                   watchedKeys
	cursors                   *cursors
	topics                    topics
	past                      sync.Mutex // Held while a past state is in memory.
	memory                    memory
	commandsHeld, repliesHeld budget // See Options.MaxHeld.
	slow                      slowLog
	saving                    atomic.Bool // A checkpoint that a client has asked for.

	warnedOfWeb atomic.Int64 // Nanoseconds since 1970.

	maxClients  atomic.Int64
	idleTimeout atomic.Int64 // In nanoseconds.
	counted     atomic.Pointer[counters]

	mu        sync.Mutex
	users     *Users
	closed    bool
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	guests    int // Of the sessions, those of other nodes.
	lastID    int64
	running   sync.WaitGroup // Sessions, and what they have begun.

	// closing is done once the server is closed, so that what takes long ends.
	closing context.Context
	cancel  context.CancelFunc
}

// New returns a server of a store, which Serve starts. The error names an option that can't be.
func New(store Store, opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		store: store, opts: opts, commands: newCommandTable(), started: time.Now(), runID: newRunID(), users: opts.Users,
		cursors: newCursors(), topics: newTopics(), listeners: make(map[net.Listener]struct{}), sessions: make(map[*session]struct{}),
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	s.getCommand, s.multi, s.exec = s.commands["get"], s.commands["multi"], s.commands["exec"]
	s.webCommand = newWebCommand()
	s.memory.store, s.memory.began = store, s.started
	s.memory.limit.Store(opts.MaxMemory)
	s.commandsHeld.limit, s.repliesHeld.limit = opts.MaxHeld, opts.MaxHeld
	s.slow.threshold.Store(int64(opts.SlowerThan))
	s.slow.limit.Store(slowLogDefault)
	s.maxClients.Store(int64(opts.MaxClients))
	s.idleTimeout.Store(int64(opts.IdleTimeout))
	s.counted.Store(newCounters())
	return s, nil
}

// newRunID returns a name that no other server has.
func newRunID() string {
	var name [20]byte
	_, _ = rand.Read(name[:]) // It never fails.
	return hex.EncodeToString(name[:])
}

// Serve takes connections from a listener, and closes it at the end. It returns ErrClosed once the server is closed, ctx's error once ctx
// is done, which closes the server, or the listener's. It may be called for several listeners at a time; for TLS they are tls.NewListener's.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	defer listener.Close()
	if !s.listen(listener) {
		return ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	running, cancel := context.WithCancel(ctx) // It outlasts Serve: after Shutdown commands go on.
	context.AfterFunc(s.closing, cancel)
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			s.accept(running, conn)
		case ctx.Err() != nil:
			return ctx.Err()
		case s.isClosed():
			return ErrClosed
		case isTemporary(err):
			s.opts.Logger.Warn("connection not accepted", "error", err)
			time.Sleep(acceptPause)
		default:
			return fmt.Errorf("server: accept: %w", err)
		}
	}
}

// acceptPause is how long no connection is accepted after none could be, for want of file descriptors.
const acceptPause = 50 * time.Millisecond

// isTemporary reports whether a later Accept may succeed. An error that says what the listener is will be the same for good.
func isTemporary(err error) bool {
	for _, final := range []error{net.ErrClosed, syscall.EINVAL, syscall.EBADF, syscall.ENOTSOCK, syscall.EOPNOTSUPP} {
		if errors.Is(err, final) {
			return false
		}
	}
	var failed net.Error
	return errors.As(err, &failed)
}

func (s *Server) listen(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[listener] = struct{}{}
	}
	return !s.closed
}

// accept serves a connection, or refuses it.
func (s *Server) accept(ctx context.Context, conn net.Conn) {
	session, refusal := s.admit(conn)
	if session == nil {
		if _, secure := conn.(*tls.Conn); !secure { // With TLS the client would have to do its part of the handshake first.
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write([]byte(refusal)) // It is only a courtesy.
		}
		_ = conn.Close()
		return
	}
	go s.serve(ctx, session)
}

// serve runs a session until it ends.
func (s *Server) serve(ctx context.Context, session *session) {
	defer s.running.Done()
	defer s.forget(session)
	defer func() {
		if fault := recover(); fault != nil {
			s.opts.Logger.Error("command failed: its connection is closed", "client", session.id, "fault", fault,
				"stack", string(debug.Stack()))
		}
	}()
	session.run(ctx)
}

// admit makes a session of a connection. Where it may not be one, it returns what to answer.
func (s *Server) admit(conn net.Conn) (admitted *session, refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, "-ERR server is closed\r\n"
	case int64(len(s.sessions)-s.guests) >= s.maxClients.Load():
		s.counters().refused.Add(1)
		return nil, "-ERR max number of clients reached\r\n"
	}
	return s.add(conn), ""
}

// add makes a session of a connection. mu is held.
func (s *Server) add(conn net.Conn) (added *session) {
	s.lastID++
	s.counters().connections.Add(1)
	added = newSession(s, s.lastID, conn)
	added.become(s.users.stranger())
	s.sessions[added] = struct{}{}
	s.running.Add(1)
	return added
}

// forget ends a session.
func (s *Server) forget(session *session) {
	session.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
	if session.guest {
		s.guests--
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// now returns the time that commands go by.
func (s *Server) now() time.Time { return s.opts.Clock() }

// refuseNew closes the listeners, so that no session is added, and returns the sessions that there are.
func (s *Server) refuseNew() (left []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close() // Its Serve returns.
	}
	for session := range s.sessions {
		left = append(left, session)
	}
	return left
}

// Shutdown ends the server without breaking off a command: listeners are closed, and each connection is once the commands that have arrived
// are answered. If ctx is done before, the rest is closed as by Close, and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, session := range s.refuseNew() {
		session.stop()
	}
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		s.cancel()
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Close())
	}
}

// Close closes all listeners and connections, and waits for the commands in progress, whose replies are lost. Transactions in progress, and
// commands that would take long, are refused instead. Others that have arrived don't run. Calling it again does nothing. The error is always nil: it makes a Server an io.Closer.
func (s *Server) Close() error {
	for _, session := range s.refuseNew() {
		session.kill()
	}
	s.cancel()
	s.running.Wait()
	return nil
}
