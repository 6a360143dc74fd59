package cluster

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// layer carries the connections of one run of the consensus over the port, which outlives it.
//
// Invariant: every open connection that went through it is in conns; after Close there is none.
type layer struct {
	port     *port
	accepted chan net.Conn
	ctx      context.Context // Done once it is closed.
	cancel   context.CancelFunc

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

var _ raft.StreamLayer = (*layer)(nil)

// newLayer takes over the port's connections of the consensus.
func newLayer(p *port) *layer {
	l := &layer{port: p, accepted: make(chan net.Conn), conns: map[net.Conn]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	p.serveAs(forRaft, l.serve)
	return l
}

// serve hands a connection to Accept.
func (l *layer) serve(conn net.Conn) {
	conn = l.hold(conn)
	select {
	case l.accepted <- conn:
	case <-l.ctx.Done():
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer. The address says which node there must be.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	node, at := parted(string(address))
	conn, _, err := l.port.dial(ctx, forRaft, node, at)
	if err != nil {
		return nil, err
	}
	return l.hold(conn), nil
}

// Addr implements net.Listener: it is how the consensus knows this node.
func (l *layer) Addr() net.Addr { return placeAddr(placed(l.port.node, l.port.address)) }

// placeAddr is a node's address as the consensus has it.
type placeAddr string

// Network implements net.Addr.
func (placeAddr) Network() string { return "walnut" }

func (a placeAddr) String() string { return string(a) }

// Close implements net.Listener: it closes all connections of the consensus.
func (l *layer) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.cancel()
	for conn := range l.conns {
		_ = conn.(*layerConn).Conn.Close()
	}
	clear(l.conns)
	return nil
}

// layerConn is a connection that its layer closes at the latest.
type layerConn struct {
	net.Conn
	layer *layer
}

// Close implements net.Conn.
func (c *layerConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// hold makes a connection one that is closed with the layer, which it is at once where the layer is closed.
func (l *layer) hold(conn net.Conn) net.Conn {
	held := &layerConn{conn, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return held
	}
	l.conns[held] = struct{}{}
	return held
}
