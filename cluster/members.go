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
	return Node{Name: nameOf(string(id)), Address: address, Voter: true, Leads: true}
}

// Leads reports whether this node leads and takes commits, or believes so.
func (c *Cluster) Leads() bool { return c.Term() != 0 }

// Term returns the term of the consensus in which this node leads and takes commits, or believes so, and 0 where it doesn't. Terms grow: if
// it returns the same one twice, no other node has led in between.
func (c *Cluster) Term() uint64 {
	if c.closing.Load() {
		return 0
	}
	return c.engine().term()
}

// Members returns the members in the order of their names, as far as is known here. Errors are ctx's and ErrStopped.
func (c *Cluster) Members(ctx context.Context) ([]Node, error) {
	servers, err := c.members(ctx)
	if err != nil {
		return nil, err
	}
	leader := c.Leader().Name
	var nodes []Node
	for _, s := range servers {
		_, address := parted(string(s.Address))
		name := nameOf(string(s.ID))
		nodes = append(nodes, Node{name, address, s.Suffrage == raft.Voter, name == leader})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// members returns the members as the consensus has them.
func (c *Cluster) members(ctx context.Context) ([]raft.Server, error) {
	if err := c.watch.stopped(); err != nil { // raft may still answer.
		return nil, err
	}
	e := c.engine()
	f := e.raft.GetConfiguration()
	if err := e.await(ctx, f); err != nil {
		return nil, c.named("members", err)
	}
	return f.Configuration().Servers, nil
}

// hasMembers reports whether this node is, or was, part of a cluster.
func (c *Cluster) hasMembers(ctx context.Context) (bool, error) {
	servers, err := c.members(ctx)
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
// lead first. That a node is no member is no error, once that is agreed upon. Any node takes the call. The last voter can't be removed:
// ErrMember. Other errors are ErrStopped, ErrClosed, and ctx's, after which the node may or may not be removed.
func (c *Cluster) Remove(ctx context.Context, node string) error {
	return c.onLeader(ctx, question{Op: opRemove, Node: node}, func() error { return c.remove(ctx, node) })
}

// Transfer lets another node lead, which must be a voter; where the name is empty, one that answers and lacks least. It returns once that
// node was told to, and the cluster has taken no commits for some milliseconds. Any node takes the call. Errors are those of Remove.
func (c *Cluster) Transfer(ctx context.Context, node string) error {
	return c.onLeader(ctx, question{Op: opTransfer, Node: node}, func() error { return c.transfer(ctx, node) })
}

// errAgain reports what may succeed when it is tried again: the leader's answer didn't come, or somebody was faster.
var errAgain = errors.New("try again")

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
		if !errors.Is(err, ErrNoLeader) && !errors.Is(err, errAgain) {
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
	if err := c.lockMembers(ctx); err != nil {
		return err
	}
	defer c.unlockMembers()
	e, after := c.engine(), c.history.newest() // Before they are read: if they change in between, raft refuses.
	servers, err := c.members(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return nameOf(string(s.ID)) == node })
	switch {
	case at < 0:
		return c.agreed(ctx, e, after)
	case servers[at].Suffrage == raft.Voter && voters(servers) == 1:
		return fmt.Errorf("%w: %q is the last voter", ErrMember, node)
	case string(servers[at].ID) == c.id:
		if err := c.transfer(ctx, ""); err == nil {
			return fmt.Errorf("%w: it was handed over, since %q led", ErrNoLeader, node)
		} // The node that was to lead may be dead. Then this one steps down once its removal is agreed upon.
	}
	err = c.named("remove "+node, c.changed(ctx, e, e.raft.RemoveServer(servers[at].ID, after, c.opts.DialTimeout)))
	if err != nil && c.history.newest() != after {
		return fmt.Errorf("%w: the members have changed: %w", errAgain, err)
	}
	return err
}

// agreed waits until the members are agreed upon that an entry has made, and that this node has, which leads. Where nothing is left to change, the
// change may have been appended without being agreed upon, so that it is lost with the leadership. That may end and begin again meanwhile.
func (c *Cluster) agreed(ctx context.Context, e *engine, entry uint64) error {
	err := c.named("members", e.await(ctx, e.raft.Barrier(c.opts.DialTimeout)))
	if newest := c.history.newest(); err == nil && newest != entry {
		err = fmt.Errorf("cluster: members: %w: those of entry %d are replaced by those of %d", errAgain, entry, newest)
	}
	return err
}

// changed waits for raft's answer to a change of the members. Where this node's log has refused the entry, raft counts the new members all
// the same, and would be elected by them: so it begins again, also where the answer is no longer waited for.
func (c *Cluster) changed(ctx context.Context, e *engine, f raft.Future) error {
	return e.await(ctx, heard{f, func(err error) {
		if errors.As(err, new(membersError)) {
			c.renewSoon()
		}
	}})
}

// heard is a future whose answer a function gets, too.
type heard struct {
	raft.Future
	then func(error)
}

// Error implements raft.Future.
func (h heard) Error() error {
	err := h.Future.Error()
	h.then(err)
	return err
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
	servers, err := c.members(ctx)
	switch {
	case err != nil || node == c.opts.Node:
		return err
	case voters(servers) == 1:
		return fmt.Errorf("%w: there is no other voter to lead", ErrMember)
	case node == "":
		if node, err = c.heir(ctx, servers); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if nameOf(string(s.ID)) == node && s.Suffrage == raft.Voter {
			return c.named("transfer to "+node, e.await(ctx, e.raft.LeadershipTransferToServer(s.ID, s.Address)))
		}
	}
	return fmt.Errorf("%w: %q is no voter", ErrMember, node)
}
