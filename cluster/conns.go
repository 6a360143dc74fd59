package cluster

import (
	"errors"
	"net"
	"sync"
)

// connections are those that end with their owner. The zero value holds none.
//
// Invariant: every open connection that was given to hold is in open; after close there is none.
type connections struct {
	mu     sync.Mutex
	open   map[*heldConn]struct{}
	closed bool
}

// heldConn is a connection that its owner closes at the latest.
type heldConn struct {
	net.Conn
	owner *connections
	to    string // The place of the node that was called; empty where that doesn't matter.
}

// Close implements net.Conn.
func (h *heldConn) Close() error {
	h.owner.mu.Lock()
	delete(h.owner.open, h)
	h.owner.mu.Unlock()
	return h.Conn.Close()
}

// NetConn returns the connection that is held, for what must reach the socket.
func (h *heldConn) NetConn() net.Conn { return h.Conn }

// hold makes a connection one that is closed with the others. After close it is closed at once: ErrClosed.
func (c *connections) hold(conn net.Conn) (net.Conn, error) { return c.holdTo(conn, "") }

// holdTo is hold of a connection to a place.
func (c *connections) holdTo(conn net.Conn, place string) (net.Conn, error) {
	held := &heldConn{conn, c, place}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(ErrClosed, conn.Close())
	}
	if c.open == nil {
		c.open = map[*heldConn]struct{}{}
	}
	c.open[held] = struct{}{}
	return held, nil
}

// leadElsewhere reports whether there are connections to places other than these.
func (c *connections) leadElsewhere(places map[string]bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for held := range c.open {
		if held.to != "" && !places[held.to] {
			return true
		}
	}
	return false
}

// close closes all connections. Calling it again does nothing.
func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cut()
}

// cut closes the connections that there are.
func (c *connections) cut() {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for held := range open {
		_ = held.Conn.Close()
	}
}
