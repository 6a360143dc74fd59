package cluster

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// firstOther returns the first node that doesn't lead, which raft by itself would let lead where all have the same entries.
func (c *trio) firstOther(leader string) string {
	return c.names[slices.IndexFunc(c.names, func(name string) bool { return name != leader })]
}

// even puts a pair and waits until all open nodes have the same entries.
func (c *trio) even() (leader string) {
	c.put("key", "value")
	waitUntil(c.t, func() bool {
		leader = c.leader()
		last := c.nodes[leader].Status().Last
		for _, node := range c.nodes {
			if node.Status().Last != last {
				return false
			}
		}
		return true
	})
	return leader
}

func TestANodeThatDoesNotAnswerIsNotLetLead(t *testing.T) {
	for _, row := range []struct {
		name string
		lose func(c *trio, name string)
	}{
		{"stopped", func(c *trio, name string) { c.stop(name) }},
		{"cut off", func(c *trio, name string) { c.net.isolate(name, true) }},
		{"sick", func(c *trio, name string) {
			c.nodes[name].watch.trip(ErrCorrupt)
			waitUntil(c.t, func() bool { return c.nodes[name].Status().Role == role(raft.Shutdown) })
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newTrio(t)
			leader := c.even()
			lost := c.firstOther(leader)
			row.lose(c, lost)
			require.NoError(t, c.nodes[leader].Transfer(soon(t), ""))
			waitUntil(t, func() bool {
				next := c.nodes[leader].Leader().Name
				return next != "" && next != leader && next != lost
			})
		})
	}
}

// TestTheNodeThatHasMostIsLetLead lets one node answer that doesn't get entries any more.
func TestTheNodeThatHasMostIsLetLead(t *testing.T) {
	c, logs := newSickTrioWith(t, time.Minute)
	leader := c.even()
	late := c.firstOther(leader)
	heal := logs[late].hang(t)
	c.put("key", "that it lacks")
	servers, err := c.nodes[leader].members(soon(t))
	require.NoError(t, err)
	for range 50 { // The order of the answers varies.
		heir, err := c.nodes[leader].heir(soon(t), servers)
		require.NoError(t, err)
		require.NotEqual(t, late, heir)
	}
	require.NoError(t, c.nodes[leader].Transfer(soon(t), ""))
	waitUntil(t, func() bool {
		next := c.nodes[leader].Leader().Name
		return next != "" && next != leader && next != late
	})
	heal()
}

func TestNobodyLeadsWhereNoOtherVoterAnswers(t *testing.T) {
	c := newTrio(t)
	leader := c.even()
	for _, name := range c.names {
		if name != leader {
			c.stop(name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorIs(t, c.nodes[leader].Transfer(ctx, ""), context.DeadlineExceeded)
}

// TestANodeThatEndsHandsOverToOneThatAnswers does what Close does first.
func TestANodeThatEndsHandsOverToOneThatAnswers(t *testing.T) {
	c := newTrio(t)
	leader := c.even()
	c.stop(c.firstOther(leader))
	node := c.nodes[leader]
	require.NoError(t, node.handOver(node.engine(), 5*time.Second))
	waitUntil(t, func() bool {
		next := node.Leader().Name
		return next != "" && next != leader
	})
}

// TestALeaderThatIsToHandOverBeforeItHasBegunServesWhereThatFails asks a node to hand over to one that is down as soon as raft leads there. It
// led for good then, and took neither commits nor reads.
func TestALeaderThatIsToHandOverBeforeItHasBegunServesWhereThatFails(t *testing.T) {
	c := newTrio(t)
	a, b := c.nodes["a"], c.nodes["b"]
	aLeads := func() bool { return c.nodes[c.leader()].Transfer(soon(t), "a") == nil && a.Leads() }
	waitUntil(t, aLeads)
	c.stop("c")
	for range 5 {
		waitUntil(t, aLeads)
		var asking sync.WaitGroup
		for range 2 {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				for ctx.Err() == nil && !b.engine().leads() {
					runtime.Gosched() // A look each millisecond would be too late.
				}
				_ = b.transfer(ctx, "c")
			})
		}
		_ = a.Transfer(soon(t), "b")
		asking.Wait()
		waitUntil(t, func() bool { return a.Leads() || b.Leads() })
	}
}
