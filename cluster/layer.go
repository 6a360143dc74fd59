package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// layer carries the connections of one run of the consensus over the port, which outlives it.
//
// Every open connection that went through it is in incoming or outgoing.
type layer struct {
	port     *port
	accepted chan net.Conn
	ctx      context.Context // Done once it is closed.
	cancel   context.CancelFunc
	incoming connections // On which other nodes call.
	outgoing connections
}

var _ raft.StreamLayer = (*layer)(nil)

// newLayer takes over the port's connections of the consensus.
func newLayer(p *port) *layer {
	l := &layer{port: p, accepted: make(chan net.Conn)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	p.serveAs(forRaft, l.serve)
	return l
}

// serve hands a connection to Accept, and returns once raft has done with it: it logs what a connection ends with.
func (l *layer) serve(conn net.Conn) {
	held, err := l.incoming.hold(conn)
	if err != nil {
		return // It is closed, and so is the layer.
	}
	used := &usedConn{Conn: held, done: make(chan struct{})}
	select {
	case l.accepted <- used:
		<-used.done
	case <-l.ctx.Done():
		_ = held.Close()
	}
}

// usedConn is a connection that says when its user has closed it, which its owner may have done before.
type usedConn struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

// Close implements net.Conn.
func (u *usedConn) Close() error {
	u.once.Do(func() { close(u.done) })
	return u.Conn.Close()
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

var errNotConnected = errors.New("not connected")

// Dial implements raft.StreamLayer. The address says which node there must be.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	node, at := parted(string(address))
	conn, _, err := l.port.dial(ctx, forRaft, node, at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotConnected, err)
	}
	return l.outgoing.holdTo(conn, string(address))
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
	l.cancel()
	l.incoming.close()
	l.outgoing.close()
	return nil
}

// cutIncoming closes the connections on which other nodes call, which may call again.
func (l *layer) cutIncoming() { l.incoming.cut() }
