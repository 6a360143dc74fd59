package cluster

import (
	"context"
	"sync"
	"time"
)

const (
	clocksCompared = time.Minute      // How often a node asks for the leader's time.
	clocksApart    = 10 * time.Second // What is worth a warning: with it deadlines are wrong by as much.
	clocksWarned   = time.Hour        // How often that is logged, at most.
)

// clocks is how far the leader's clock is from this node's. Deadlines go by the leader's, so that pairs live longer or shorter once another node
// leads. Nothing else goes by clocks. The zero value has compared nothing.
type clocks struct {
	mu     sync.Mutex
	ahead  time.Duration // Of the leader's.
	warned time.Time     // By the monotonic clock.
}

// note notes how far the leader's clock is ahead, and reports whether that is to be logged.
func (k *clocks) note(ahead time.Duration) (warn bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ahead = ahead
	if ahead.Abs() < clocksApart || !k.warned.IsZero() && time.Since(k.warned) < clocksWarned {
		return false
	}
	k.warned = time.Now()
	return true
}

// read returns how far the leader's clock was ahead when it was asked last.
func (k *clocks) read() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ahead
}

// watchClocks compares the clocks until the node is closed.
func (c *Cluster) watchClocks() {
	for {
		select {
		case <-time.After(clocksCompared):
			c.compareClocks(c.ctx)
		case <-c.ctx.Done():
			return
		}
	}
}

// compareClocks asks for the leader's time, if another node leads and answers.
func (c *Cluster) compareClocks(ctx context.Context) {
	if c.engine().leads() {
		c.clocks.note(0)
		return
	}
	began := time.Now()
	asked := c.opts.now()
	a, err := c.askLeader(ctx, question{Op: opWho})
	if err != nil || a.Time == 0 {
		return
	}
	took := time.Since(began)
	ahead := time.Unix(0, a.Time).Sub(asked.Add(took / 2).Round(0))
	if ahead.Abs() < took { // The way of the question and that of the answer may differ by as much.
		ahead = 0
	}
	if c.clocks.note(ahead) {
		c.opts.Logger.Warn("the leader's clock and this node's are apart; deadlines go by the leader's",
			"node", c.opts.Node, "leader", nameOf(a.Node), "ahead", ahead.Round(time.Millisecond))
	}
}
