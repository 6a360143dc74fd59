package cluster

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestWhatIsPutShowsOnAllNodes(t *testing.T) {
	c := newTrio(t)
	c.put("fruit", "red")
	for _, name := range c.names {
		c.requireShows(name, "fruit", "red")
		require.NoError(t, c.nodes[name].Ready(soon(t)))
	}
	require.NoError(t, c.nodes[c.leader()].DB().Update(func(tx *kv.Tx) error {
		value, err := tx.Get([]byte("fruit"))
		if err != nil {
			return err
		}
		return tx.Put([]byte("fruit"), append([]byte("dark "), value...))
	}))
	c.requireShows(c.follower(), "fruit", "dark red")
	_, err := c.nodes[c.follower()].DB().Put([]byte("fruit"), nil)
	require.ErrorIs(t, err, kv.ErrNotLeader)
	require.Equal(t, c.leader(), c.nodes[c.follower()].Leader().Name)
}

func TestAnotherNodeLeadsOnceTheLeaderIsClosed(t *testing.T) {
	c := newTrio(t)
	c.put("before", "1")
	old := c.leader()
	c.stop(old)
	c.put("after", "2")
	require.NotEqual(t, old, c.leader())
	c.open(old)
	c.requireShows(old, "after", "2")
	c.requireAlike()
}

func TestAllNodesCanBeRestarted(t *testing.T) {
	c := newTrio(t)
	for round := range 2 {
		for _, name := range c.names {
			c.put(fmt.Sprint(round, name), "in time")
			c.stop(name)
			c.put(fmt.Sprint(round, name, " down"), "without it")
			c.open(name)
			c.requireShows(name, fmt.Sprint(round, name, " down"), "without it")
		}
	}
	c.close()
	for _, name := range c.names {
		c.open(name)
	}
	c.requireShows("a", "1c down", "without it")
	c.requireAlike()
}

func TestALeaderThatIsCutOffIsReplacedAndComesBack(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	old := c.leader()
	c.net.isolate(old, true)
	waitUntil(t, func() bool { return !c.nodes[old].Leads() })
	c.put("key", "2")
	_, err := c.nodes[old].DB().Put([]byte("key"), []byte("3"))
	require.ErrorIs(t, err, kv.ErrNotLeader)
	require.Error(t, c.nodes[old].Ready(soon(t)))
	value, err := c.nodes[old].DB().Get([]byte("key"))
	require.NoError(t, err)
	require.Equal(t, "1", string(value), "it shows what it has")
	c.net.isolate(old, false)
	c.requireShows(old, "key", "2")
	c.requireAlike()
}

// TestAFollowerThatLacksTooMuchGetsASnapshot also restarts it, and lets it lead.
func TestAFollowerThatLacksTooMuchGetsASnapshot(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.TrailingLogs = 1 })
	c.put("first", "1")
	late := c.follower()
	c.stop(late)
	for round := range 3 {
		c.fill(fmt.Sprint(round, " "), 400)
		for name := range c.nodes {
			c.checkpoint(name)
		}
	}
	node := c.open(late)
	c.requireShows(late, "2 399", string(make([]byte, 200)))
	first, _ := node.replica.Log().Bounds()
	require.Greater(t, first, uint64(400), "its log begins with the snapshot")
	c.put("after", "2")
	c.stop(late)
	c.open(late)
	c.requireShows(late, "after", "2")
	require.NoError(t, c.nodes[late].Transfer(soon(t), late))
	waitUntil(t, func() bool { return c.nodes[late].Leads() })
	c.put("led", "3")
	c.requireAlike()
}

func TestRaftGoesOnWhereTheStoreHasRecoveredTo(t *testing.T) {
	c := newTrio(t)
	for i := range 50 {
		c.put(fmt.Sprint(i), "value")
		c.requireShows("a", fmt.Sprint(i), "value")
	}
	c.close()
	node := c.open("a")
	require.Greater(t, node.replica.Applied(), uint64(40), "the last entry says what was agreed upon")
	require.Equal(t, node.replica.Applied(), node.engine().raft.AppliedIndex())
}

func TestLeadershipIsTransferredOnCommand(t *testing.T) {
	c := newTrio(t)
	for _, name := range append(c.names, c.names...) {
		require.NoError(t, c.nodes[c.follower()].Transfer(soon(t), name), "any node takes the call")
		waitUntil(t, func() bool { return c.nodes[name].Leads() })
		c.put("led by", name)
	}
	require.ErrorIs(t, c.nodes["a"].Transfer(soon(t), "nobody"), ErrMember)
	c.requireAlike()
}

func TestANodeThatDivergedIsHealedByASnapshot(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.TrailingLogs = 1 })
	c.put("before", "1")
	old := c.leader()
	c.net.isolate(old, true)
	// What it proposes now is in its log and will never be agreed upon.
	node := c.nodes[old]
	for i := range 200 {
		node.engine().raft.Apply([]byte(fmt.Sprint("worthless ", i)), time.Second)
	}
	waitUntil(t, func() bool { return !node.Leads() })
	_, worthless := node.replica.Log().Bounds()
	for round := range 3 {
		c.put(fmt.Sprint(round), "kept")
		for name := range c.nodes {
			if name != old {
				c.checkpoint(name)
			}
		}
	}
	require.Less(t, c.nodes[c.leader()].replica.Applied(), worthless, "its log is the longest")
	run := node.engine()
	c.net.isolate(old, false)
	c.requireShows(old, "2", "kept")
	first, _ := node.replica.Log().Bounds()
	require.Greater(t, first, uint64(2), "it was a snapshot")
	waitUntil(t, func() bool { return node.engine() != run })
	c.put("after", "2")
	c.requireShows(old, "after", "2")
	c.stop(old)
	c.open(old)
	c.put("again", "3")
	c.requireAlike()
}

func TestNothingRunsAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	c := newTrio(t)
	c.put("key", "value")
	c.requireShows(c.follower(), "key", "value")
	name := c.leader()
	node := c.nodes[name]
	c.close()
	require.NoError(t, node.Close())
	require.ErrorIs(t, node.Linearizable(soon(t)), ErrClosed)
	require.ErrorIs(t, node.Ready(soon(t)), ErrClosed)
	_, err := node.DB().Put([]byte("key"), nil)
	require.ErrorIs(t, err, kv.ErrClosed)
	waitUntil(t, func() bool { return runtime.NumGoroutine() <= before+len(c.net.proxies) })
}

func TestOneNodeIsACluster(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "value")
	c.requireShows("alone", "key", "value")
	require.ErrorIs(t, c.nodes["alone"].Remove(soon(t), "alone"), ErrMember)
	c.stop("alone")
	c.open("alone")
	c.requireShows("alone", "key", "value")
}

func TestADirectoryOfAnotherClusterIsRefused(t *testing.T) {
	c := newTrio(t, "alone")
	c.stop("alone")
	for _, with := range []func(o *Options){func(o *Options) { o.Cluster = "other" }, func(o *Options) { o.Node = "other" }} {
		o := c.options("alone")
		with(&o)
		_, err := Open(soon(t), c.dir+"/alone", o)
		require.ErrorIs(t, err, kv.ErrReplica)
	}
	require.Equal(t, raft.ServerID("alone"), raft.ServerID(c.open("alone").opts.Node))
}
