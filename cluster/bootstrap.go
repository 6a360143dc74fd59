package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// bootstrap makes the cluster, if every node that shall be in it has been reached and none is in one. It reports whether there is a cluster
// already. The node whose name is the first one does it: two entries that name the members differently would pass for one.
func (c *Cluster) bootstrap(ctx context.Context) (found bool, err error) {
	nodes, found, err := c.founders(ctx)
	if err != nil || found {
		return found, err
	}
	if len(nodes) != c.opts.BootstrapExpect {
		return false, fmt.Errorf("%w: %d nodes were found, not %d", ErrMember, len(nodes), c.opts.BootstrapExpect)
	}
	var members raft.Configuration
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(placed(id, nodes[id]))})
	}
	if first := string(members.Servers[0].ID); first != c.id {
		return false, fmt.Errorf("%w: %q is about to make the cluster", ErrNoLeader, nameOf(first))
	}
	if err := c.stable.forgetBegun(); err != nil {
		return false, err
	}
	e := c.engine()
	err = e.await(ctx, e.raft.BootstrapCluster(members))
	if errors.Is(err, raft.ErrCantBootstrap) { // Another node has voted, or has sent its log.
		return true, nil
	}
	return false, err
}

// founders returns the addresses of the nodes that make a new cluster, by their identities. It reports whether one of them is in a cluster. All
// are asked at a time: one that is dead may keep its caller waiting.
func (c *Cluster) founders(ctx context.Context) (nodes map[string]string, found bool, err error) {
	answers, errs := make([]answer, len(c.opts.Join)), make([]error, len(c.opts.Join))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asking sync.WaitGroup
	for i, address := range c.opts.Join {
		if address == c.port.address {
			continue
		}
		asking.Go(func() {
			a, err := c.calls.ask(ctx, placed("", address), question{Op: opWho})
			if err == nil {
				err = a.err()
			}
			if answers[i], errs[i] = a, err; err == nil && a.Joined {
				cancel() // The others don't matter.
			}
		})
	}
	asking.Wait()
	nodes, names := map[string]string{c.id: c.port.address}, map[string]string{c.opts.Node: c.port.address}
	for i, a := range answers {
		switch name := nameOf(a.Node); {
		case a.Joined && errs[i] == nil:
			return nil, true, nil
		case errs[i] != nil || a.Node == "":
		case names[name] != "" && names[name] != a.Address:
			errs[i] = fmt.Errorf("%w: %s and %s are both named %q", ErrMember, names[name], a.Address, name)
		default:
			names[name], nodes[a.Node] = a.Address, a.Address
		}
	}
	return nodes, false, errors.Join(errs...)
}
