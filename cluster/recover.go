package cluster

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Recovery is what Recover does.
type Recovery struct {
	Members []Node // Those that there are then, which all vote.
	Dropped []Node // Those that are no members any more.
	Last    uint64 // The last entry of this node, which the cluster goes on after.
}

// PlanRecovery says what Recover would do, or why it would refuse to. It changes nothing.
func (c *Cluster) PlanRecovery(ctx context.Context, members []Node) (Recovery, error) {
	plan, _, err := c.planRecovery(ctx, members)
	return plan, err
}

// Recover is the last resort where most voters are lost for good: it gives the cluster other members, this node among them, without the
// agreement that can't be had. Each is named as in Members; one with another address than before gets that. They are voters, and elect a
// leader as soon as enough of them are there. Everything in the log of this node is kept, so nothing that it ever acknowledged is lost; what
// only lost nodes had is. A lost node must not come back: with other lost ones it would go on as the same cluster.
//
// It refuses with ErrMember while most of the old voters answer, while a new member doesn't, and where a new member has entries that this
// node lacks: it must then be called there. Nothing protects against a network that hides a majority which is alive. Other errors are
// ErrStopped, ErrClosed, ctx's, or the disk's.
func (c *Cluster) Recover(ctx context.Context, members []Node) (Recovery, error) {
	if err := c.lockMembers(ctx); err != nil {
		return Recovery{}, err
	}
	defer c.unlockMembers()
	plan, servers, err := c.planRecovery(ctx, members)
	if err != nil {
		return plan, err
	}
	c.opts.Logger.Warn("members are given to the cluster without agreement", "node", c.opts.Node, "members", names(plan.Members),
		"dropped", names(plan.Dropped), "last", plan.Last)
	return plan, c.renewAfter(func() error { return c.rewrite(servers) })
}

// rewrite appends the entry that makes servers the members. Its term is one that no other node has entries of: what was proposed elsewhere
// meanwhile, after the same entry, must not look like this one.
func (c *Cluster) rewrite(servers []raft.Server) error {
	term, err := c.stable.GetUint64([]byte(termKey))
	if err != nil {
		return err
	}
	term += 1 + rand.Uint64N(1<<20)
	if err := c.stable.SetUint64([]byte(termKey), term); err != nil {
		return err
	}
	_, last := c.replica.Log().Bounds()
	return c.logs.StoreLog(&raft.Log{
		Index: last + 1, Term: term, Type: raft.LogConfiguration, AppendedAt: time.Now(),
		Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers}),
	})
}

// planRecovery returns the plan, and the members as the consensus has them.
func (c *Cluster) planRecovery(ctx context.Context, members []Node) (plan Recovery, servers []raft.Server, err error) {
	if err := c.hopeless(ctx); err != nil {
		return plan, nil, err
	}
	old, err := c.Members(ctx)
	if err != nil {
		return plan, nil, err
	}
	plan.Members, plan.Dropped, err = divide(old, members)
	if err != nil {
		return plan, nil, err
	}
	_, plan.Last = c.replica.Log().Bounds()
	if !slices.ContainsFunc(plan.Members, func(n Node) bool { return n.Name == c.opts.Node }) {
		return plan, nil, fmt.Errorf("%w: this node, %q, isn't among the new ones", ErrMember, c.opts.Node)
	}
	ids, err := c.identities(ctx)
	if err != nil {
		return plan, nil, err
	}
	if err := c.judge(plan, c.survey(ctx, slices.Concat(plan.Members, plan.Dropped), ids), old); err != nil {
		return plan, nil, err
	}
	for _, n := range plan.Members {
		id := ids[n.Name]
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(placed(id, n.Address))})
	}
	return plan, servers, nil
}

// divide parts the members into those that stay, as they are named, and those that don't.
func divide(old, wanted []Node) (stay, dropped []Node, err error) {
	stays := map[string]bool{}
	for _, n := range wanted {
		at := slices.IndexFunc(old, func(o Node) bool { return o.Name == n.Name })
		if at < 0 {
			return nil, nil, fmt.Errorf("%w: %q is no member; there are %s", ErrMember, n.Name, names(old))
		}
		if stays[n.Name] {
			return nil, nil, fmt.Errorf("%w: %q is named twice", ErrMember, n.Name)
		}
		if n.Address == "" {
			n.Address = old[at].Address
		}
		stays[n.Name] = true
		stay = append(stay, Node{Name: n.Name, Address: n.Address, Voter: true})
	}
	for _, o := range old {
		if !stays[o.Name] {
			dropped = append(dropped, o)
		}
	}
	return stay, dropped, nil
}

// judge returns why a plan is refused, by what the members say.
func (c *Cluster) judge(plan Recovery, reports []Report, old []Node) error {
	all, answering := 0, 0
	for _, n := range old {
		if !n.Voter {
			continue
		}
		all++
		if slices.ContainsFunc(reports, func(r Report) bool { return r.Name == n.Name && r.takesPart() }) {
			answering++
		}
	}
	if answering > all/2 {
		return fmt.Errorf("%w: %d of %d voters answer, which is enough to elect a leader: remove the lost members instead", ErrMember, answering, all)
	}
	own := c.Status()
	for _, r := range reports[:len(plan.Members)] {
		switch s := r.Status; {
		case !r.takesPart():
			return fmt.Errorf("%w: %q is to be one and doesn't answer: start it first, or leave it out: %w", ErrMember, r.Name, r.why())
		case own.endsBefore(&s):
			return fmt.Errorf("%w: %q has entries up to %d of term %d, this node up to %d of term %d: recover there", ErrMember, r.Name,
				s.Last, s.LastTerm, own.Last, own.LastTerm)
		}
	}
	return nil
}

// takesPart reports whether a member answers and hasn't been stopped.
func (r *Report) takesPart() bool { return r.Err == nil && r.Status.Role != role(raft.Shutdown) }

// why returns why it doesn't.
func (r *Report) why() error { return cmp.Or(r.Err, r.Status.Trouble) }

func names(nodes []Node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Name)
	}
	return strings.Join(all, ", ")
}
