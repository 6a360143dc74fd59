package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// newcomer returns the options of a node that asks the first ones to let it in.
func (c *trio) newcomer(name string) Options {
	o := c.options(name)
	o.BootstrapExpect = 0
	return o
}

// member returns what a node knows of a member; the zero value where it is none.
func (c *trio) member(on, name string) Node {
	nodes, err := c.nodes[on].Members(soon(c.t))
	require.NoError(c.t, err)
	for _, node := range nodes {
		if node.Name == name {
			return node
		}
	}
	return Node{}
}

func TestANewNodeIsLetInAndVotesOnceItHasCaughtUp(t *testing.T) {
	c := newTrio(t)
	c.fill("", 300)
	c.openWith("d", c.newcomer("d"))
	waitUntil(t, func() bool { return c.member("d", "d").Voter })
	c.requireShows("d", "299", string(make([]byte, 200)))
	require.NoError(t, c.nodes["a"].Transfer(soon(t), "d"))
	waitUntil(t, func() bool { return c.nodes["d"].Leads() })
	c.put("led", "by the new one")

	require.NoError(t, c.nodes["a"].Remove(soon(t), "d"))
	waitUntil(t, func() bool { return c.member("a", "d") == Node{} && c.leader() != "d" })
	c.put("after", "it was removed")
	require.NoError(t, c.nodes["a"].Remove(soon(t), "d"), "again")
	require.NoError(t, c.nodes["d"].Join(soon(t)))
	c.requireShows("d", "after", "it was removed")
	c.requireAlike()
}

func TestANonVoterReadsAndNeverLeads(t *testing.T) {
	c := newTrio(t)
	o := c.newcomer("d")
	o.NonVoter = true
	c.openWith("d", o)
	c.put("key", "value")
	waitUntil(t, func() bool { return c.member("d", "d").Address == c.net.address("d") })
	c.requireShows("d", "key", "value")
	require.False(t, c.member("a", "d").Voter)
	require.ErrorIs(t, c.nodes["a"].Transfer(soon(t), "d"), ErrMember)
	c.stop("d")
	c.openWith("d", o)
	c.requireShows("d", "key", "value")
}

// Nothing answers where it was: raft 1.8.0 reads a member's name, without its lock, while one that answers gets another address.
func TestANodeWithAnotherAddressIsFoundThere(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	moved := c.follower()
	c.stop(moved)
	c.put("key", "2")
	o := c.options(moved)
	o.Advertise = c.net.address(moved + " elsewhere")
	node, err := Open(soon(t), filepath.Join(c.dir, moved), o)
	require.NoError(t, err)
	c.nodes[moved] = node
	c.net.mu.Lock()
	c.net.targets[moved+" elsewhere"] = node.port.listener.Addr().String()
	c.net.mu.Unlock()
	other := c.leader()
	if other == moved {
		other = c.follower()
	}
	waitUntil(t, func() bool { return c.member(other, moved).Address == o.Advertise })
	c.put("key", "3")
	c.requireShows(moved, "key", "3")
}

func TestAnAddressThatLeadsToAnotherNodeIsRefused(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	gone := c.follower()
	id := c.nodes[gone].id
	c.stop(gone)
	c.net.mu.Lock()
	c.net.targets[gone] = c.net.targets[c.leader()] // Its address was given to another one.
	c.net.mu.Unlock()
	leader := c.nodes[c.leader()]
	_, err := leader.calls.ask(soon(t), placed(id, c.net.address(gone)), question{Op: opWho})
	require.ErrorIs(t, err, ErrPeer)
	c.put("key", "2")
	c.open(gone)
	c.requireShows(gone, "key", "2")
}

func TestANodeOfAnotherClusterIsNotLetIn(t *testing.T) {
	c := newTrio(t)
	o := c.newcomer("d")
	o.Cluster = "other"
	stranger := c.openWith("d", o)
	require.ErrorIs(t, stranger.Join(soon(t)), ErrPeer)
	waitUntil(t, func() bool { return errors.Is(stranger.Ready(soon(t)), ErrPeer) })
	require.Zero(t, c.member("a", "d"))
}

func TestACompleteRestartMakesNoOtherCluster(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	lost := c.follower()
	c.close()
	// One starts under a new name, with nothing, as on a new disk: it is let in, though it was told to make a cluster.
	o := c.options("e")
	c.openWith("e", o)
	for _, name := range c.names {
		if name != lost {
			c.open(name)
		}
	}
	waitUntil(t, func() bool { return c.member("e", "e").Voter })
	c.requireShows("e", "key", "1")
	require.NoError(t, c.nodes["e"].Remove(soon(t), lost))
	c.put("key", "2")
	c.requireAlike()
}

func TestNoClusterIsMadeBeforeAllNodesAreThere(t *testing.T) {
	c := &trio{t: t, dir: t.TempDir(), names: []string{"a", "b", "c"}, net: newNetwork(t), nodes: map[string]*Cluster{}, with: func(*Options) {}}
	t.Cleanup(c.close)
	c.open("a")
	c.open("b")
	time.Sleep(2 * c.options("a").Heartbeat) // Time enough to do what must not be done.
	require.Zero(t, c.nodes["a"].Leader())
	require.ErrorIs(t, c.nodes["a"].Ready(soon(t)), ErrNoLeader)
	_, err := c.nodes["a"].DB().Put([]byte("key"), nil)
	require.ErrorIs(t, err, kv.ErrNotLeader)
	c.open("c")
	c.put("key", "value")
	c.requireAlike()
}

func TestTwoNodesWithOneNameMakeNoCluster(t *testing.T) {
	c := &trio{t: t, dir: t.TempDir(), names: []string{"a", "b"}, net: newNetwork(t), nodes: map[string]*Cluster{}, with: func(*Options) {}}
	t.Cleanup(c.close)
	c.open("a")
	o := c.options("a")
	o.Advertise = c.net.address("b")
	twin, err := Open(soon(t), filepath.Join(c.dir, "twin"), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, twin.Close()) }()
	c.net.mu.Lock()
	c.net.targets["b"] = twin.port.listener.Addr().String()
	c.net.mu.Unlock()
	waitUntil(t, func() bool {
		_, err := twin.bootstrap(soon(t))
		return errors.Is(err, ErrMember)
	})
	require.Zero(t, twin.Leader())
}

func TestNodesThatAreReplacedLeaveNoConnectionsOpen(t *testing.T) {
	c := newTrio(t, "alone")
	node := c.nodes["alone"]
	for i := range 5 {
		name := fmt.Sprint("n", i)
		c.openWith(name, c.newcomer(name))
		waitUntil(t, func() bool { return c.member("alone", name).Voter })
		require.NoError(t, node.Linearizable(soon(t)))
		require.Len(t, node.Survey(soon(t)), 2)
		waitUntil(t, func() bool { return node.Leads() && node.Remove(soon(t), name) == nil })
		c.stop(name)
	}
	require.NoError(t, node.Linearizable(soon(t)))
	waitUntil(t, func() bool { // What a node that was removed has called ends by itself.
		node.sweepIdle(soon(t))
		node.port.conns.mu.Lock()
		defer node.port.conns.mu.Unlock()
		return len(node.port.conns.open) == 0
	})
	require.Empty(t, node.calls.lines)
	require.Empty(t, node.confirms.voters)
}

func TestNoConnectionThatIsOfUseIsSwept(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	leader := c.nodes[c.leader()]
	require.NoError(t, leader.Linearizable(soon(t)))
	count := func() (ofRaft, lines int) {
		conns := &leader.engine().trans.layer.outgoing
		conns.mu.Lock()
		defer conns.mu.Unlock()
		leader.calls.mu.Lock()
		defer leader.calls.mu.Unlock()
		return len(conns.open), len(leader.calls.lines)
	}
	before, _ := count()
	require.Positive(t, before)
	for range 3 {
		require.Len(t, leader.Survey(soon(t)), 3)
		leader.sweepIdle(soon(t))
	}
	ofRaft, lines := count()
	require.GreaterOrEqual(t, ofRaft, before)
	require.Equal(t, 2, lines)
	leader.sweepIdle(soon(t))
	for _, r := range leader.Survey(soon(t)) {
		require.NoError(t, r.Err, "it is called again")
	}
}

// TestAChangeIsDoneOnceItIsAgreedUpon: where one has been asked for before, the leader has it in its log, which is not enough. Most nodes can't
// append it, and the leader leads still, since it hears from them.
func TestAChangeIsDoneOnceItIsAgreedUpon(t *testing.T) {
	for sentence, prepare := range map[string]func(c *trio) func(ctx context.Context) error{
		"a removal": func(c *trio) func(ctx context.Context) error {
			return func(ctx context.Context) error { return c.nodes["a"].Remove(ctx, "c") }
		},
		"a node that is let in": func(c *trio) func(ctx context.Context) error {
			o := c.newcomer("d")
			o.NonVoter = true
			return c.openWith("d", o).Join
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			c, log := newTrioWithRefusals(t, func(*Options) {})
			c.lead("a")
			c.put("key", "1")
			c.requireShows("b", "key", "1")
			c.net.isolate("c", true)
			log.appends.Store(true)
			ask := prepare(c)
			for range 2 {
				hasty, cancel := context.WithTimeout(t.Context(), time.Second)
				require.Error(t, ask(hasty))
				cancel()
				require.True(t, c.nodes["a"].Leads())
			}
			log.appends.Store(false)
			require.NoError(t, ask(soon(t)))
			c.net.isolate("c", false)
		})
	}
}

// TestMembersThatWereReplacedAreNotAgreedUpon: another leader's may be, where this node has led before it and after.
func TestMembersThatWereReplacedAreNotAgreedUpon(t *testing.T) {
	c := newTrio(t, "a", "b", "c")
	c.lead("a")
	a := c.nodes["a"]
	newest := a.history.newest()
	require.NoError(t, a.agreed(soon(t), a.engine(), newest))
	require.ErrorIs(t, a.agreed(soon(t), a.engine(), newest-1), errAgain)
}
