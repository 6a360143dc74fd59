package cluster

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// Status is what a node knows of itself and its cluster, for people and metrics.
type Status struct {
	Node      string
	Role      string // leader, follower, candidate or stopped.
	Term      uint64 // Of the consensus. It grows with each election.
	Leader    Node   // The zero value where none is known.
	Members   []Node
	Committed uint64      // Up to which entry all is known to be agreed upon.
	Applied   uint64      // Up to which entry the store shows all.
	Checksum  kv.Checksum // Of the store's pairs as of Applied: equal on all nodes that have applied as much.
	First     uint64      // The first entry of the log, if it has any.
	Last      uint64      // The last one.
	LastTerm  uint64      // The term in which that was proposed.
	Snapshot  uint64      // The entry that the newest snapshot ends with; 0 where there is none.
	Knows     uint64      // The newest kind of entries that the node's program knows.
	Announced string      // Options.Announce of the node.
	// ClockAhead is how far the leader's clock was ahead of this node's when it was asked last, within some minutes. Deadlines go by the
	// leader's. 0 on the leader, and where the difference is less than the network's delay.
	ClockAhead time.Duration
	Trouble    error // Why the node can't be relied on, as Ready says it without asking; nil where it can.

	summed bool // Checksum is known. Without pairs it is 0, too.
}

// Status returns the node's status. It asks no other node, so Leader and Committed may be old: Ready asks.
func (c *Cluster) Status() Status {
	s := c.state()
	if stats := c.replica.DB().Stats(); stats.Visible != 0 { // Both at one moment; nothing once it is closed.
		s.Applied, s.Checksum, s.summed = stats.Visible, stats.Checksum, true
	}
	if metas, err := c.history.noted(); err == nil && len(metas) > 0 {
		s.Snapshot = metas[0].Index
	}
	return s
}

// state is Status without Snapshot and Checksum: it waits for no disk.
func (c *Cluster) state() Status {
	e := c.engine()
	s := Status{
		Node: c.opts.Node, Role: role(e.raft.State()), Term: e.raft.CurrentTerm(), Leader: c.Leader(),
		Committed: e.raft.CommitIndex(), Applied: c.replica.Applied(), Trouble: errors.Join(c.watch.state(), c.membership()),
		ClockAhead: c.clocks.read(), Announced: c.opts.Announce, Knows: c.opts.knows,
	}
	s.First, s.Last = c.replica.Log().Bounds()
	s.LastTerm, _ = strconv.ParseUint(e.raft.Stats()["last_log_term"], 10, 64) // raft says it only so.
	s.Members, _ = c.Members(context.Background())                             // Without them where the node was stopped.
	return s
}

func role(state raft.RaftState) string {
	switch state {
	case raft.Leader:
		return "leader"
	case raft.Follower:
		return "follower"
	case raft.Candidate:
		return "candidate"
	}
	return "stopped"
}
