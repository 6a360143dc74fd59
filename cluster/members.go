package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Node is a member of a cluster, or the leader.
type Node struct {
	Name    string
	Address string // Where the other nodes reach it.
	Voter   bool   // It votes, and may lead.
	Leads   bool   // As far as is known here.
}

// Leader returns the node that leads, as far as is known here; the zero value where none does. It asks nobody.
func (c *Cluster) Leader() Node {
	place, id := c.engine().raft.LeaderWithID()
	if id == "" {
		return Node{}
	}
	_, address := parted(string(place))
	return Node{Name: string(id), Address: address, Voter: true, Leads: true}
}

// Leads reports whether this node leads and takes commits, or believes so.
func (c *Cluster) Leads() bool { return !c.closing.Load() && c.engine().isEstablished() }

// Members returns the members in the order of their names, as far as is known here. Errors are ctx's and ErrStopped.
func (c *Cluster) Members(ctx context.Context) ([]Node, error) {
	servers, _, err := c.members(ctx)
	if err != nil {
		return nil, err
	}
	leader := c.Leader().Name
	var nodes []Node
	for _, s := range servers {
		_, address := parted(string(s.Address))
		nodes = append(nodes, Node{string(s.ID), address, s.Suffrage == raft.Voter, string(s.ID) == leader})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// members returns the members as the consensus has them, and the index of the entry that has made them the members.
func (c *Cluster) members(ctx context.Context) ([]raft.Server, uint64, error) {
	e := c.engine()
	f := e.raft.GetConfiguration()
	if err := e.await(ctx, f); err != nil {
		return nil, 0, c.named("members", err)
	}
	return f.Configuration().Servers, f.Index(), nil
}

// hasMembers reports whether this node is, or was, part of a cluster.
func (c *Cluster) hasMembers(ctx context.Context) (bool, error) {
	servers, _, err := c.members(ctx)
	return len(servers) > 0 || c.engine().raft.LastIndex() > 0, err
}

// named makes an error of raft one of this package.
func (c *Cluster) named(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case c.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, raft.ErrRaftShutdown):
		if why := c.watch.stopped(); why != nil {
			return why
		}
		return fmt.Errorf("cluster: %s: %w: the consensus is being restarted", what, ErrNoLeader)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("cluster: %s: %w: %w", what, ErrNoLeader, err)
	}
	return fmt.Errorf("cluster: %s: %w", what, err)
}

// Remove removes a member, this node or another; a removed node goes on to read what it has. A leader that is removed lets another one
// lead first. That a node is no member is no error. Any node takes the call. The last voter can't be removed: ErrMember. Other errors
// are ErrStopped, ErrClosed, and ctx's, after which the node may or may not be removed.
func (c *Cluster) Remove(ctx context.Context, node string) error {
	return c.onLeader(ctx, question{Op: opRemove, Node: node}, func() error { return c.remove(ctx, node) })
}

// Transfer lets another node lead, which must be a voter; any one where the name is empty. It returns once that node was told to, and the
// cluster has taken no commits for some milliseconds. Any node takes the call. Errors are those of Remove.
func (c *Cluster) Transfer(ctx context.Context, node string) error {
	return c.onLeader(ctx, question{Op: opTransfer, Node: node}, func() error { return c.transfer(ctx, node) })
}

// onLeader does something here if this node leads, or lets the leader do it. It waits for a leader as long as ctx lasts: what is asked
// for may be done twice.
func (c *Cluster) onLeader(ctx context.Context, q question, here func() error) error {
	for {
		if err := c.hopeless(ctx); err != nil {
			return err
		}
		var err error
		if c.engine().leads() {
			err = here()
		} else {
			_, err = c.askLeader(ctx, q)
		}
		if !errors.Is(err, ErrNoLeader) {
			return err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return fmt.Errorf("cluster: %s: %w: %w", q.Op, context.Cause(ctx), err)
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}

// remove is Remove on the leader.
func (c *Cluster) remove(ctx context.Context, node string) error {
	c.admitting.Lock()
	defer c.admitting.Unlock()
	servers, index, err := c.members(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == node })
	switch {
	case at < 0:
		return nil
	case servers[at].Suffrage == raft.Voter && voters(servers) == 1:
		return fmt.Errorf("%w: %q is the last voter", ErrMember, node)
	}
	e := c.engine()
	return c.named("remove "+node, e.await(ctx, e.raft.RemoveServer(raft.ServerID(node), index, c.opts.DialTimeout)))
}

func voters(servers []raft.Server) (n int) {
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

// transfer is Transfer on the leader.
func (c *Cluster) transfer(ctx context.Context, node string) error {
	e := c.engine()
	if node == "" {
		return c.named("transfer", e.await(ctx, e.raft.LeadershipTransfer()))
	}
	if node == c.opts.Node {
		return nil
	}
	servers, _, err := c.members(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if string(s.ID) == node && s.Suffrage == raft.Voter {
			return c.named("transfer to "+node, e.await(ctx, e.raft.LeadershipTransferToServer(s.ID, s.Address)))
		}
	}
	return fmt.Errorf("%w: %q is no voter", ErrMember, node)
}

// promotionLag is how many entries a node may lack when it gets its vote: it has them in a moment, and until then most nodes may have to
// wait for it.
const promotionLag = 256

// admit lets the node that asks in, on the leader: as one that doesn't vote at first, and once it lacks hardly anything, as a voter. A
// member with a new address gets that.
func (c *Cluster) admit(ctx context.Context, q question) error {
	e := c.engine()
	if !e.isEstablished() {
		return ErrNoLeader
	}
	c.admitting.Lock()
	defer c.admitting.Unlock()
	servers, index, err := c.members(ctx)
	if err != nil {
		return err
	}
	id, place := raft.ServerID(q.Node), raft.ServerAddress(placed(q.Node, q.Address))
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == id })
	var change raft.IndexFuture
	switch {
	case at < 0 || servers[at].Address != place && servers[at].Suffrage != raft.Voter:
		change = e.raft.AddNonvoter(id, place, index, c.opts.DialTimeout)
	case servers[at].Address != place:
		change = e.raft.AddVoter(id, place, index, c.opts.DialTimeout)
	case servers[at].Suffrage != raft.Voter && !q.NonVoter && q.Applied+promotionLag >= c.replica.Applied():
		change = e.raft.AddVoter(id, place, index, c.opts.DialTimeout)
	default:
		return nil
	}
	if err := c.named("admit "+q.Node, e.await(ctx, change)); err != nil {
		return err
	}
	c.opts.Logger.Info("members changed", "node", c.opts.Node, "member", string(place))
	return nil
}
