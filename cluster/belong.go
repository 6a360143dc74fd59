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

// How long a node waits before it asks again to be let in: at first, and at most.
const (
	belongFirst = 50 * time.Millisecond
	belongMost  = time.Second
)

// belong sees to it that this node is a member, as its options say and at its address: it makes the cluster with the others, or asks to be
// let in. It runs when the node is opened, until that is so.
func (c *Cluster) belong() {
	said := ""
	for pause := belongFirst; ; pause = min(2*pause, belongMost) {
		ctx, cancel := context.WithTimeout(c.ctx, c.opts.DialTimeout)
		done, err := c.tryToBelong(ctx)
		cancel()
		if done || c.ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			c.opts.Logger.Info("node is not in the cluster yet", "node", c.opts.Node, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-c.ctx.Done():
			return
		}
	}
}

// tryToBelong makes one step. done is set once nothing is left to do.
func (c *Cluster) tryToBelong(ctx context.Context) (done bool, err error) {
	servers, _, err := c.members(ctx)
	if err != nil {
		return errors.Is(err, ErrStopped), err
	}
	place := raft.ServerAddress(placed(c.opts.Node, c.port.address))
	for _, s := range servers {
		if string(s.ID) == c.opts.Node && s.Address == place && (s.Suffrage == raft.Voter || c.opts.NonVoter) {
			return true, nil
		}
	}
	if isNew := len(servers) == 0 && c.engine().raft.LastIndex() == 0; isNew && c.opts.BootstrapExpect > 0 {
		found, err := c.bootstrap(ctx)
		if err != nil || !found {
			return false, err
		}
	}
	return false, c.Join(ctx)
}

// bootstrap makes the cluster, if every node that shall be in it has been reached and none is in one. It reports whether there is a cluster
// already. Each node does that by itself: all make the same first entry, so that it doesn't matter how many of them do.
func (c *Cluster) bootstrap(ctx context.Context) (found bool, err error) {
	nodes, errs := map[string]string{c.opts.Node: c.port.address}, []error(nil)
	for _, address := range c.opts.Join {
		if address == c.port.address {
			continue
		}
		a, err := c.calls.ask(ctx, placed("", address), question{Op: opWho})
		if err == nil {
			err = a.err()
		}
		switch {
		case err != nil: // Another one may know of a cluster.
			errs = append(errs, err)
			continue
		case a.Joined:
			return true, nil
		}
		if known, twice := nodes[a.Node]; twice && known != a.Address {
			errs = append(errs, fmt.Errorf("%w: %s and %s are both named %q", ErrMember, known, a.Address, a.Node))
		}
		nodes[a.Node] = a.Address
	}
	if len(errs) > 0 {
		return false, errors.Join(errs...)
	}
	if len(nodes) != c.opts.BootstrapExpect {
		return false, fmt.Errorf("%w: %d nodes were found, not %d", ErrMember, len(nodes), c.opts.BootstrapExpect)
	}
	var members raft.Configuration
	for node, address := range nodes {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(node), Address: raft.ServerAddress(placed(node, address))})
	}
	slices.SortFunc(members.Servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	if err := c.stable.forgetBegun(); err != nil {
		return false, err
	}
	e := c.engine()
	err = e.await(ctx, e.raft.BootstrapCluster(members))
	if errors.Is(err, raft.ErrCantBootstrap) { // Another node was faster, and has sent its log.
		return true, nil
	}
	return false, err
}

// Join asks the nodes of Options.Join, and the members that are known, to let this node in, and returns once the leader has done the next
// step: a new node is let in without a vote, and gets that when it asks again and has caught up. A node that was opened asks by itself
// until it is a member; this is for one that was removed since.
func (c *Cluster) Join(ctx context.Context) error {
	places := make([]string, 0, len(c.opts.Join)+1)
	if leader, _ := c.engine().raft.LeaderWithID(); leader != "" {
		places = append(places, string(leader))
	}
	for _, address := range c.opts.Join {
		if address != c.port.address {
			places = append(places, placed("", address))
		}
	}
	servers, _, err := c.members(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if string(s.ID) != c.opts.Node {
			places = append(places, string(s.Address))
		}
	}
	var errs []error
	for i := 0; i < len(places); i++ {
		a, err := c.askToJoin(ctx, places[i])
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if a.Leader != "" && !slices.Contains(places, a.Leader) {
			places = append(places, a.Leader)
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w: no other node is known: Join is empty", ErrNoLeader)
	}
	return errors.Join(errs...)
}

// askToJoin asks one node.
func (c *Cluster) askToJoin(ctx context.Context, place string) (answer, error) {
	q := question{Op: opAdmit, Node: c.opts.Node, Address: c.port.address, NonVoter: c.opts.NonVoter, Applied: c.replica.Applied()}
	if place == placed(c.opts.Node, c.port.address) {
		return answer{}, c.admit(ctx, q)
	}
	a, err := c.calls.ask(ctx, place, q)
	if err == nil {
		err = a.err()
	}
	return a, err
}
