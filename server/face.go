package server

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// face is what other connections may see of one. Its connection sets it after each batch of commands rather than after each one.
type face struct {
	began time.Time

	mu             sync.Mutex
	name           string // As the client has named itself.
	library        string
	libraryVersion string
	active         time.Time // When bytes arrived.
	command        string    // The last one.
	queued         int       // Since MULTI, -1 outside.
	channels       int
	resp3          bool
}

func (f *face) rename(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.name = name
}

func (f *face) named() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.name
}

// arrived notes when bytes did.
func (f *face) arrived(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = now
}

// show sets what others see. The last command is one that has been found.
func (s *session) show(last *command) {
	f := &s.face
	f.mu.Lock()
	defer f.mu.Unlock()
	if last != nil {
		f.command = last.name
	}
	f.queued, f.channels, f.resp3 = -1, s.subscriptions(), s.out.resp3
	if s.queue != nil {
		f.queued = len(s.queue.requests)
	}
}

// isSubscribed reports whether the client is, as others see it.
func (f *face) isSubscribed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.channels > 0
}

// line describes a connection as CLIENT LIST does.
func (s *session) line(now time.Time) string {
	f := &s.face
	f.mu.Lock()
	defer f.mu.Unlock()
	name, protocol := "", 2
	if user := s.user.Load(); user != nil {
		name = user.name
	}
	if f.resp3 {
		protocol = 3
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d idle=%d flags=%s db=0 sub=%d psub=0 multi=%d cmd=%s user=%s resp=%d "+
		"lib-name=%s lib-ver=%s\n", s.id, s.remote(), s.local(), f.name, int(now.Sub(f.began).Seconds()), int(now.Sub(f.active).Seconds()),
		f.flags(s.conn), f.channels, f.queued, f.command, name, protocol, f.library, f.libraryVersion)
}

// flags say what the connection is, as Redis does.
func (f *face) flags(conn net.Conn) string {
	var flags strings.Builder
	if f.channels > 0 {
		flags.WriteByte('P')
	}
	if f.queued >= 0 {
		flags.WriteByte('x')
	}
	if isUnix(conn) {
		flags.WriteByte('U')
	}
	if flags.Len() == 0 {
		return "N"
	}
	return flags.String()
}

func isUnix(conn net.Conn) bool { return conn.LocalAddr().Network() == "unix" }

// remote returns the client's address. On a Unix socket clients have none, so that it is the socket's.
func (s *session) remote() string {
	if isUnix(s.conn) {
		return s.local()
	}
	return s.conn.RemoteAddr().String()
}

// local returns the address that the client reached.
func (s *session) local() string {
	if isUnix(s.conn) {
		return s.conn.LocalAddr().String() + ":0"
	}
	return s.conn.LocalAddr().String()
}
