package cluster

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// dialledKept is how long a connection to a leader is kept once another node leads. One that was deposed needs a moment to say what it
// hasn't done; one that hangs says nothing.
const dialledKept = 200 * time.Millisecond

// dialled are the connections of this node's program to the leader. The zero value has none.
type dialled struct {
	mu sync.Mutex
	to map[raft.ServerAddress]*dialledTo
}

// dialledTo are those to one node.
type dialledTo struct {
	connections
	left time.Time // Since when another node is known to lead; zero while none is.
}

// of returns those to a node.
func (d *dialled) of(leader raft.ServerAddress) *dialledTo {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.to == nil {
		d.to = map[raft.ServerAddress]*dialledTo{}
	}
	if d.to[leader] == nil {
		d.to[leader] = &dialledTo{}
	}
	return d.to[leader]
}

// leave closes the connections to nodes that another one has followed as the leader for a while.
func (d *dialled) leave(leader raft.ServerAddress, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for node, to := range d.to {
		switch {
		case leader == node:
			to.left = time.Time{}
		case leader == "": // The last one may go on.
		case to.left.IsZero():
			to.left = now
		case now.Sub(to.left) >= dialledKept:
			to.close()
			delete(d.to, node)
		}
	}
}

// watchDialled closes connections to nodes that don't lead any more, until the node is closed.
func (c *Cluster) watchDialled() {
	for {
		select {
		case now := <-time.After(leaderWatched):
			leader, _ := c.engine().raft.LeaderWithID()
			c.dialled.leave(leader, now)
		case <-c.ctx.Done():
			return
		}
	}
}

// DialLeader connects to the program on the node that leads, over the port of that node, so that it has proved itself. There the connection
// goes to what ServeDialled was given. It is closed a moment after another node is known here to lead: if the leader hangs, so does the
// caller for no longer than an election takes. Errors are ErrNoLeader, also where this node leads, ErrPeer, one of its own where nothing serves
// connections there, and those of the network. An older program closes a connection at once that it doesn't serve.
func (c *Cluster) DialLeader(ctx context.Context) (net.Conn, error) {
	leader, id := c.engine().raft.LeaderWithID()
	switch string(id) {
	case "":
		return nil, ErrNoLeader
	case c.id:
		return nil, fmt.Errorf("%w: this node leads", ErrNoLeader)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { c.followLeader(ctx, leader, cancel) })
	node, address := parted(string(leader))
	conn, _, err := c.port.dial(ctx, forProgram, node, address)
	if err != nil {
		return nil, fmt.Errorf("cluster: leader: %w", err)
	}
	held, err := c.dialled.of(leader).hold(conn)
	if err != nil && c.ctx.Err() == nil {
		err = fmt.Errorf("%w: another node has come to lead", ErrNoLeader)
	}
	return held, err
}

// ServeDialled lets a function serve the connections that the programs of other nodes make with DialLeader. Each call has one, and returns
// when it is closed: by the other end, or by Close. Connections are refused before.
func (c *Cluster) ServeDialled(serve func(conn net.Conn)) { c.port.serveAs(forProgram, serve) }
