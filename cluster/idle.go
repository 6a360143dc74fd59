package cluster

import (
	"context"
	"time"
)

// idleSwept is how often connections are closed that aren't used any more.
const idleSwept = time.Minute

// watchIdle sweeps idle connections until the node is closed. A node that was removed, or has moved, isn't called again at its old place, and
// nothing reads from an idle connection that its end has hung up. So each would keep a descriptor for good.
func (c *Cluster) watchIdle() {
	for {
		select {
		case <-time.After(idleSwept):
			c.sweepIdle(c.ctx)
		case <-c.ctx.Done():
			return
		}
	}
}

// sweepIdle closes the connections for calls that weren't used since the last time. raft keeps some to each node that it has called, with a
// quarter of a mebibyte each, and lets go of all of them or none, and of those on which it is called: so of all where some lead to what is no
// member. The messages that are lost by that are sent again, see again.
func (c *Cluster) sweepIdle(ctx context.Context) {
	c.calls.sweep()
	servers, err := c.members(ctx)
	if err != nil { // The node is closed, or its consensus is being restarted, without connections.
		return
	}
	members := map[string]bool{}
	for _, s := range servers {
		members[string(s.Address)] = true
	}
	if trans := c.engine().trans; trans.layer.outgoing.leadElsewhere(members) {
		trans.CloseStreams()
	}
}
