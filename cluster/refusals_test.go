package cluster

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// refusals is a log that refuses appends or cuts for want of room while that is set.
type refusals struct {
	entryLog
	appends, cuts atomic.Bool
	refused       atomic.Int64
}

func (r *refusals) Append(committed uint64, entries []kv.Entry) error {
	if r.appends.Load() {
		r.refused.Add(1)
		return fmt.Errorf("test: %w", kv.ErrNoSpace)
	}
	return r.entryLog.Append(committed, entries)
}

func (r *refusals) DropBack(last uint64) error {
	if r.cuts.Load() {
		r.refused.Add(1)
		return fmt.Errorf("test: %w", kv.ErrNoSpace)
	}
	return r.entryLog.DropBack(last)
}

// newTrioWithRefusals is newTrioWith for three nodes, of which b's log may refuse.
func newTrioWithRefusals(t *testing.T, with func(o *Options)) (*trio, *refusals) {
	t.Helper()
	r := &refusals{}
	return newTrioWith(t, func(o *Options) {
		if with(o); o.Node == "b" {
			o.disk = func(log entryLog) entryLog {
				r.entryLog = log
				return r
			}
		}
	}), r
}

// lead lets a node lead.
func (c *trio) lead(name string) {
	c.t.Helper()
	waitUntil(c.t, func() bool { return c.nodes[c.leader()].Transfer(soon(c.t), name) == nil && c.nodes[name].Leads() })
}

// TestAnEntryThatWasNeverAgreedUponIsNotApplied has a node with a worthless entry that can't cut it. So the leader goes back to what both have,
// in a message with one large entry, while it knows that more is agreed upon.
func TestAnEntryThatWasNeverAgreedUponIsNotApplied(t *testing.T) {
	c, log := newTrioWithRefusals(t, func(o *Options) { o.message = 1000 })
	c.lead("b")
	c.put("large", string(make([]byte, 5000)))
	for _, name := range c.names {
		c.requireShows(name, "large", string(make([]byte, 5000)))
	}
	c.net.isolate("b", true)
	b := c.nodes["b"]
	var worthless kv.Batch
	worthless.Put([]byte("worthless"), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := b.DB().ApplyContext(ctx, &worthless)
	require.ErrorIs(t, err, kv.ErrUndecided)
	waitUntil(t, func() bool { return c.nodes["a"].Leads() || c.nodes["c"].Leads() })
	for i := range 5 {
		c.put(fmt.Sprint(i), "agreed")
	}
	log.cuts.Store(true)
	c.net.isolate("b", false)
	waitUntil(t, func() bool { return log.refused.Load() > 20 })
	has, err := b.DB().Has([]byte("worthless"))
	require.NoError(t, err)
	require.False(t, has)
	require.NoError(t, b.watch.stopped())
	log.cuts.Store(false)
	c.requireShows("b", "4", "agreed")
	c.requireAlike()
}

// TestANodeGoesOnWhoseLogBeginsAfterItsLeadersSnapshot: it refuses some entries, so the leader goes back to what it can send as a snapshot alone.
func TestANodeGoesOnWhoseLogBeginsAfterItsLeadersSnapshot(t *testing.T) {
	c, log := newTrioWithRefusals(t, func(o *Options) { o.TrailingLogs = 1 })
	c.lead("a")
	c.fill("", 10)
	c.requireShows("c", "9", string(make([]byte, 200)))
	c.checkpoint("c")
	c.net.isolate("b", true)
	c.fill("", 50)
	c.checkpoint("a")
	c.put("key", "1")
	c.checkpoint("a")
	c.net.isolate("b", false)
	c.requireShows("b", "key", "1")
	c.lead("c")
	c.put("key", "2")
	c.requireShows("b", "key", "2")
	first, _ := c.nodes["b"].replica.Log().Bounds()
	require.Greater(t, first, c.nodes["c"].Status().Snapshot+1)
	log.appends.Store(true)
	c.put("key", "3")
	waitUntil(t, func() bool { return log.refused.Load() > 5 })
	log.appends.Store(false)
	c.requireShows("b", "key", "3")
	require.NoError(t, c.nodes["b"].Ready(soon(t)))
}
