package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// confirmations is how a leader learns that it still is one. It asks the voters for their terms, and counts the answers to questions which
// were asked after a read began: a voter that is in the leader's term has not voted in a later one by then. A leader of a later term has
// the votes of most voters, one of which is among those that answer.
//
// raft.VerifyLeader would do the same with heartbeats, but takes the answer to one that was sent before it was called. Such an answer may come
// after another node was elected and has acknowledged commits, of which a read must know.
type confirmations struct {
	ask func(ctx context.Context, place string) (term uint64, err error)
	ctx context.Context // Done when the node is closed.

	mu     sync.Mutex
	voters map[string]*rounds // By the place: questions to one voter, which share answers.
	left   sync.WaitGroup     // The last questions to nodes that are voters no more.
	closed bool
}

// of returns the questions to a voter. After close it is nil.
func (c *confirmations) of(place string) *rounds {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if c.voters[place] == nil {
		ask := func(ctx context.Context) (uint64, error) { return c.ask(ctx, place) }
		c.voters[place] = &rounds{ask: ask, ctx: c.ctx}
	}
	return c.voters[place]
}

// leave forgets all voters but these.
func (c *confirmations) leave(places []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for place, voter := range c.voters {
		if !slices.Contains(places, place) {
			delete(c.voters, place)
			c.left.Go(voter.close)
		}
	}
}

// confirm makes sure that no node has led in a later term than this one's when it is called. others are the other voters, and need is how
// many of them have to be in that term. One call is in progress at a time.
func (c *confirmations) confirm(ctx context.Context, term uint64, others []string, need int) error {
	c.leave(others)
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(others))
	for _, place := range others {
		voter := c.of(place)
		if voter == nil {
			return ErrClosed
		}
		asking.Go(func() {
			found, err := voter.join(ctx)
			if err == nil && found != term {
				err = fmt.Errorf("%s is in term %d, not %d", place, found, term)
			}
			answers <- err
		})
	}
	var last error
	for missing := len(others); need > 0; missing-- {
		if missing < need {
			return fmt.Errorf("%w: most voters don't confirm this one: %w", ErrNoLeader, last)
		}
		if err := <-answers; err != nil {
			last = err
		} else {
			need--
		}
	}
	return nil
}

// close ends asking, once the context is done, and waits for that.
func (c *confirmations) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, voter := range c.voters {
		voter.close()
	}
	c.left.Wait()
}

// confirmed makes sure that this node led, in a term, when it was called.
func (c *Cluster) confirmed(ctx context.Context, term uint64) error {
	servers, err := c.members(ctx)
	if err != nil {
		return err
	}
	var others []string
	need := voters(servers)/2 + 1
	for _, s := range servers {
		switch {
		case s.Suffrage != raft.Voter:
		case string(s.ID) == c.id:
			need-- // The caller looks at the term of this node afterwards.
		default:
			others = append(others, string(s.Address))
		}
	}
	return c.confirms.confirm(ctx, term, others, need)
}

// askTerm asks a voter for its term.
func (c *Cluster) askTerm(ctx context.Context, place string) (uint64, error) {
	a, err := c.calls.ask(ctx, place, question{Op: opTerm})
	if err == nil {
		err = a.err()
	}
	return a.Term, err
}
