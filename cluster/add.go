package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// Add lets a new node in that was opened without Options.Join, by its name and an address where it is reached. It returns once the node is a
// member without a vote, at the address that it advertises. The node asks for its vote by itself once it has caught up, unless it is a
// NonVoter. That it is a member already is no error. Any node takes the call.
//
// It refuses with ErrMember what isn't at that address or has another name, and a node that has ever been in a cluster, this one or another:
// its log would be thrown away. Other errors are those of Remove.
func (c *Cluster) Add(ctx context.Context, node, address string) error {
	found, err := c.calls.ask(ctx, placed("", address), question{Op: opWho})
	if err == nil {
		err = found.err()
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: there is no node of this cluster at %q: %w", ErrMember, address, err)
	case nameOf(found.Node) != node:
		return fmt.Errorf("%w: the node at %s is %q, not %q", ErrMember, address, nameOf(found.Node), node)
	}
	if isMember, err := c.isMember(ctx, found.Node); err != nil || isMember {
		return err
	}
	if found.Joined {
		return fmt.Errorf("%w: %q has been in a cluster: start it with an empty directory", ErrMember, node)
	}
	q := question{Op: opAdmit, Node: found.Node, Run: found.Run, Address: found.Address, NonVoter: true, Applied: found.Offset}
	return c.onLeader(ctx, q, func() error { return c.admit(ctx, q) })
}

// isMember reports whether a node is a member, by its identity, after all changes that were made before the call.
func (c *Cluster) isMember(ctx context.Context, id string) (bool, error) {
	if err := c.Linearizable(ctx); err != nil {
		return false, err
	}
	servers, err := c.members(ctx)
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == id }), err
}
