package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// promotionLag is how many entries a node may lack when it gets its vote: it has them in a moment, and until then most nodes may have to
	// wait for it.
	promotionLag = 256
	// movedTimeout limits how long a node that has moved is looked for at its old address.
	movedTimeout = time.Second
)

// change is a change of the members, which raft makes unless they have changed after an entry.
type change func(e *engine, after uint64) raft.IndexFuture

// admit lets the node that asks in, on the leader: as one that doesn't vote at first, and once it lacks hardly anything, as a voter. A
// member with a new address gets that. Nothing is done before the node was found at its address: a voter that can't be reached would count
// for the majority, and might keep the others from having one.
func (c *Cluster) admit(ctx context.Context, q question) error {
	e := c.engine()
	if !e.isEstablished() {
		return ErrNoLeader
	}
	if err := checkPlace(q.Node, q.Address); err != nil {
		return err
	}
	next, after, err := c.admission(ctx, q)
	if err == nil && next != nil { // Then it is asked again once the node was found.
		if err := c.find(ctx, &q); err != nil {
			return err
		}
		if err := c.lockMembers(ctx); err != nil {
			return err
		}
		defer c.unlockMembers()
		next, after, err = c.admission(ctx, q)
	}
	switch {
	case err != nil:
		return err
	case next == nil:
		return c.agreed(ctx, e, after)
	}
	if err := c.named("admit "+q.Node, c.changed(ctx, e, next(e, after))); err != nil {
		return err
	}
	c.opts.Logger.Info("members changed", "node", c.opts.Node, "member", placed(q.Node, q.Address))
	return nil
}

// checkPlace refuses what no node is or has.
func checkPlace(id, address string) error {
	_, _, err := net.SplitHostPort(address)
	name, directory, _ := strings.Cut(id, "@")
	if err != nil || name == "" || directory == "" || len(id) > 255 || strings.Contains(directory+address, "@") {
		return fmt.Errorf("%w: %q at %q is no node", ErrMember, id, address)
	}
	return nil
}

// admission returns the next step to let a node in, nil where nothing is left to do, and the entry that has made the members what they are.
func (c *Cluster) admission(ctx context.Context, q question) (next change, after uint64, err error) {
	after = c.history.newest() // Before they are read: if they change in between, raft refuses.
	servers, err := c.members(ctx)
	if err != nil {
		return nil, 0, err
	}
	id, place := raft.ServerID(q.Node), raft.ServerAddress(placed(q.Node, q.Address))
	withoutVote := func(e *engine, after uint64) raft.IndexFuture {
		return e.raft.AddNonvoter(id, place, after, c.opts.DialTimeout)
	}
	withVote := func(e *engine, after uint64) raft.IndexFuture {
		return e.raft.AddVoter(id, place, after, c.opts.DialTimeout)
	}
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return nameOf(string(s.ID)) == nameOf(q.Node) })
	switch {
	case at < 0:
		return withoutVote, after, nil
	case servers[at].ID != id:
		return nil, 0, fmt.Errorf("%w: the member %q has another directory, which this one can't stand in for: its votes and its log are not "+
			"here; open that directory, or remove the member first", ErrMember, nameOf(q.Node))
	case servers[at].Address != place && servers[at].Suffrage != raft.Voter:
		return withoutVote, after, c.moved(ctx, q, servers[at])
	case servers[at].Address != place:
		return withVote, after, c.moved(ctx, q, servers[at])
	case servers[at].Suffrage != raft.Voter && !q.NonVoter && q.Applied+promotionLag >= c.replica.Applied():
		return withVote, after, nil
	}
	return nil, after, nil
}

// find makes sure that a node is where it says, and learns what it has applied and which run it is.
func (c *Cluster) find(ctx context.Context, q *question) error {
	if q.Node == c.id {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout/2) // The node that asks waits for the answer.
	defer cancel()
	place := placed(q.Node, q.Address)
	a, err := c.calls.ask(ctx, place, question{Op: opWho})
	if err == nil {
		err = a.err()
	}
	if err != nil {
		return fmt.Errorf("%w: the leader doesn't reach %s, which that node advertises: %w", ErrMember, place, err)
	}
	if q.Run != a.Run {
		return fmt.Errorf("%w: %s is another copy of the node's directory", ErrMember, place)
	}
	q.Applied = a.Offset
	return nil
}

// moved refuses a new address where the node still answers at the old one: then there are two copies of its directory.
func (c *Cluster) moved(ctx context.Context, q question, old raft.Server) error {
	ctx, cancel := context.WithTimeout(ctx, movedTimeout)
	defer cancel()
	a, err := c.calls.ask(ctx, string(old.Address), question{Op: opWho})
	if err == nil && a.Run != q.Run {
		_, at := parted(string(old.Address))
		return fmt.Errorf("%w: %q runs at %s, too, with a copy of the directory", ErrMember, nameOf(q.Node), at)
	}
	return nil
}

// lockMembers waits until the members aren't being changed here.
func (c *Cluster) lockMembers(ctx context.Context) error {
	select {
	case <-c.changing:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Cluster) unlockMembers() { c.changing <- struct{}{} }
