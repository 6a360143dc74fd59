package cluster

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// candidate is a voter that may lead next, and what it says of itself.
type candidate struct {
	name   string
	status Status
	err    error // Why it can't lead; nil where it can.
}

// heir names the voter that is best to lead next: of those that answer now the one whose log ends last. raft by itself would take the one
// that was sent most, which may be dead. The first one that lacks nothing will do, so that a dead one is waited for only where all others
// lack something.
func (c *Cluster) heir(ctx context.Context, servers []raft.Server) (name string, err error) {
	own := c.state()
	ctx, cancel := context.WithTimeout(ctx, c.heirTime(ctx))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	answers := make(chan candidate, len(servers))
	asked := 0
	for _, s := range servers {
		if s.Suffrage == raft.Voter && string(s.ID) != c.id {
			asked++
			asking.Go(func() { answers <- c.candidate(ctx, s) })
		}
	}
	best := candidate{err: ErrNoLeader}
	for ; asked > 0 && (best.err != nil || best.status.endsBefore(&own)); asked-- {
		if next := <-answers; best.err != nil || next.err == nil && best.status.endsBefore(&next.status) {
			best = next
		}
	}
	if best.err != nil {
		return "", fmt.Errorf("%w: no other voter can lead now: %w", errAgain, best.err)
	}
	return best.name, nil
}

// heirTime is how long voters are asked: they answer in milliseconds. The rest of the time is for the one that is to lead.
func (c *Cluster) heirTime(ctx context.Context) time.Duration {
	limit := c.opts.Lease
	if deadline, has := ctx.Deadline(); has {
		limit = min(limit, time.Until(deadline)/2)
	}
	return limit
}

// candidate asks a voter.
func (c *Cluster) candidate(ctx context.Context, s raft.Server) candidate {
	name := nameOf(string(s.ID))
	a, err := c.askStatus(ctx, string(s.Address))
	if err != nil {
		return candidate{name: name, err: err}
	}
	r := Report{Status: a.status()}
	if !r.takesPart() {
		err = cmp.Or(r.why(), ErrStopped)
	}
	return candidate{name, r.Status, err}
}

// endsBefore reports whether a node's log ends before another one's, as the consensus compares them.
func (s *Status) endsBefore(other *Status) bool {
	return cmp.Or(cmp.Compare(s.LastTerm, other.LastTerm), cmp.Compare(s.Last, other.Last)) < 0
}

// handOver lets another node lead, if this one does and there is another voter.
func (c *Cluster) handOver(e *engine, limit time.Duration) error {
	if !e.leads() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.transfer(ctx, "")
}
