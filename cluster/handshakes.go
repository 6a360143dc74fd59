package cluster

import (
	"net"
	"sync"
)

// handshakesMax is how many callers may be at their handshakes at a time.
const handshakesMax = 64

// handshakes are the connections whose callers haven't said which node they are, in the order in which they came. The oldest gives way to one
// that comes when there are too many: a node takes some milliseconds, so callers that say nothing keep no node out. The zero value has none.
type handshakes struct {
	mu      sync.Mutex
	waiting []net.Conn
}

// begin notes a connection, and closes the oldest if there are too many.
func (h *handshakes) begin(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == handshakesMax {
		_ = h.waiting[0].Close()
		h.waiting = h.waiting[1:]
	}
	h.waiting = append(h.waiting, conn)
}

// end forgets a connection.
func (h *handshakes) end(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, other := range h.waiting {
		if other == conn {
			h.waiting = append(h.waiting[:i:i], h.waiting[i+1:]...)
			return
		}
	}
}
