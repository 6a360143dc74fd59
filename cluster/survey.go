package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/walnutkv/walnut/kv"
)

// Report is what a member said of itself when it was asked.
type Report struct {
	Node          // The member, as the node that asks knows it.
	Status Status // Without Members. The zero value where there is no answer.
	Lag    uint64 // How many entries it hasn't applied of those that any of the nodes knows to be agreed upon.
	Err    error  // Why there is no answer; nil where there is one.
}

// reported is a status on its way. Term and leader are in every answer.
type reported struct {
	Role      string  `json:"role"`
	Committed uint64  `json:"committed"`
	Applied   uint64  `json:"applied"`
	Checksum  *uint64 `json:"checksum,omitempty"` // Nil where it isn't known.
	First     uint64  `json:"first"`
	Last      uint64  `json:"last"`
	LastTerm  uint64  `json:"lastTerm"` // The term of the last entry.
	Snapshot  uint64  `json:"snapshot"`
	Knows     uint64  `json:"knows"`
	Announced string  `json:"announced,omitempty"`
	Trouble   string  `json:"trouble,omitempty"`
}

// report returns this node's.
func (c *Cluster) report() answer {
	s := c.Status()
	r := &reported{
		Role: s.Role, Committed: s.Committed, Applied: s.Applied, First: s.First, Last: s.Last,
		LastTerm: s.LastTerm, Snapshot: s.Snapshot, Knows: s.Knows, Announced: s.Announced,
	}
	if s.summed {
		r.Checksum = (*uint64)(&s.Checksum)
	}
	if s.Trouble != nil {
		r.Trouble = s.Trouble.Error()
	}
	return answer{Term: s.Term, Status: r}
}

// status is the inverse of report.
func (a *answer) status() Status {
	r := a.Status
	s := Status{
		Node: nameOf(a.Node), Role: r.Role, Term: a.Term, Committed: r.Committed, Applied: r.Applied,
		First: r.First, Last: r.Last, LastTerm: r.LastTerm, Snapshot: r.Snapshot, Knows: r.Knows, Announced: r.Announced,
	}
	if r.Checksum != nil {
		s.Checksum, s.summed = kv.Checksum(*r.Checksum), true
	}
	if node, address := parted(a.Leader); node != "" {
		s.Leader = Node{Name: nameOf(node), Address: address, Voter: true, Leads: true}
	}
	if r.Trouble != "" {
		s.Trouble = errors.New(r.Trouble)
	}
	return s
}

// Survey asks all members for their status now, at the same time and as long as ctx lasts at most, and returns what they say in the order
// of their names. A member that gives no answer has an error. Only this node is asked where it has been stopped, or is in no cluster yet.
func (c *Cluster) Survey(ctx context.Context) []Report {
	members, _ := c.Members(ctx)
	if len(members) == 0 {
		members = []Node{{Name: c.opts.Node, Address: c.port.address}}
	}
	ids, _ := c.identities(ctx)
	return c.survey(ctx, members, ids)
}

// identities returns the members' identities by their names.
func (c *Cluster) identities(ctx context.Context) (map[string]string, error) {
	servers, err := c.members(ctx)
	ids := map[string]string{}
	for _, s := range servers {
		ids[nameOf(string(s.ID))] = string(s.ID)
	}
	return ids, err
}

// survey asks some nodes, which have these identities.
func (c *Cluster) survey(ctx context.Context, members []Node, ids map[string]string) []Report {
	reports := make([]Report, len(members))
	var asking sync.WaitGroup
	for i, m := range members {
		reports[i].Node = m
		if m.Name == c.opts.Node {
			reports[i].Status = c.Status()
			reports[i].Status.Members = nil
			continue
		}
		asking.Go(func() {
			if a, err := c.askStatus(ctx, placed(ids[m.Name], m.Address)); err != nil {
				reports[i].Err = err
			} else {
				reports[i].Status = a.status()
			}
		})
	}
	asking.Wait()
	newest := uint64(0)
	for _, r := range reports {
		newest = max(newest, r.Status.Committed)
	}
	for i := range reports {
		if r := &reports[i]; r.Err == nil {
			r.Lag = newest - min(newest, r.Status.Applied)
		}
	}
	compareStates(reports)
	return reports
}

// compareStates notes as trouble where two nodes that have applied the same entries have other pairs. Which of them is right, a third may show.
func compareStates(reports []Report) {
	differ := func(a, b *Status) bool {
		return a.summed && b.summed && a.Applied == b.Applied && a.Checksum != b.Checksum
	}
	for i := range reports {
		own := &reports[i].Status
		j := slices.IndexFunc(reports, func(r Report) bool { return differ(own, &r.Status) })
		if j >= 0 {
			own.Trouble = errors.Join(own.Trouble, fmt.Errorf("the checksum of its pairs as of entry %d is %v, that of node %s %v",
				own.Applied, own.Checksum, reports[j].Name, reports[j].Status.Checksum))
		}
	}
}

// askStatus asks another member.
func (c *Cluster) askStatus(ctx context.Context, place string) (answer, error) {
	a, err := c.calls.ask(ctx, place, question{Op: opStatus})
	if err == nil {
		err = a.err()
	}
	if err == nil && a.Status == nil {
		err = errAnswer
	}
	return a, err
}
