package server

import (
	"net"
	"sync/atomic"
)

// A guest is a session that another node's server forwards the commands of one client over. Its replies are the client's.
//
//   - It begins with a reply, so that the other server knows that its commands are read.
//   - The command forward, which has no reply, comes first, and again when the client's protocol or user changes. A user that is
//     unknown here may do nothing.
//   - Where this node doesn't run a command, since it doesn't lead or the server ends, a guest's last reply is one of an error NOTLEADER.
//     That command and those after it were not run.

// forwardName is the command by which a guest says for which user, and in which protocol, the next commands are.
const forwardName = "forward"

var forwardCommand = command{
	name: forwardName, arity: 3, class: onSession, always: unauthenticated | subscribed | insideMulti, calls: new(atomic.Uint64),
	run: func(c *call) {
		c.resp3 = string(c.args[1]) == "3"
		c.session.server.becomeNamed(c.session, string(c.args[2]))
	},
}

// ServeForwarded serves a connection that another node's server has got from Cluster.DialLeader. It trusts it: only nodes may reach it. It
// returns when the connection is closed, by the other end, Shutdown or Close.
func (s *Server) ServeForwarded(conn net.Conn) {
	guest := s.admitGuest(conn)
	if guest == nil {
		_, _ = conn.Write([]byte(notLeader + " the server ends\r\n")) // If it doesn't arrive, the other end has sent nothing yet.
		_ = conn.Close()
		return
	}
	guest.out.simple("FORWARD")
	guest.flush()
	s.serve(s.closing, guest)
}

func (s *Server) admitGuest(conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	guest := s.add(conn)
	guest.guest = true
	s.guests++
	return guest
}

// giveBack ends a guest before a command that this node doesn't run.
func (s *session) giveBack() {
	s.out.fail(notLeader[1:] + " the command was not run")
	s.ending = true
}

// leave ends a guest of a server that ends, so that the other server knows that what it has sent was not run.
func (s *session) leave() {
	if s.guest && s.stopping.Load() && !s.ending {
		s.giveBack()
		s.flush()
	}
}
