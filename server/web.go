package server

import (
	"sync/atomic"
	"time"
)

// newWebCommand returns what a line of a browser's request is: POST, and the header Host. A page may have a browser send
// one to a server that only its machine can reach, with commands in its body. So it ends the connection, without a reply.
func newWebCommand() *command {
	return &command{name: "post", class: onSession, run: refuseWeb, always: insideMulti, calls: new(atomic.Uint64)}
}

// isWeb reports whether a command's name begins such a line.
func isWeb(name []byte) bool { return is(name, "post") || is(name, "host:") }

// webWarnings is how far apart two warnings about browsers are.
const webWarnings = time.Minute

func refuseWeb(c *call) {
	s := c.session
	s.out.cut(0)
	s.ending = true
	now, last := time.Now().UnixNano(), s.server.warnedOfWeb.Load()
	if now-last >= int64(webWarnings) && s.server.warnedOfWeb.CompareAndSwap(last, now) {
		s.server.opts.Logger.Warn("connection closed: it sent a request of HTTP, as a browser does for a page that attacks this server",
			"client", s.remote())
	}
}
