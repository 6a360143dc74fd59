package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
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

func TestANodeWithAnotherAddressIsFoundThere(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	moved := c.follower()
	c.stop(moved)
	c.put("key", "2")
	o := c.options(moved)
	o.Advertise = c.net.address(moved + " elsewhere")
	node := c.openWith(moved, o)
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
	require.ErrorIs(t, stranger.Ready(soon(t)), ErrNoLeader)
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

// wipe opens a node with an empty directory under its old name.
func (c *trio) wipe(name string) *Cluster {
	c.t.Helper()
	require.NoError(c.t, os.RemoveAll(filepath.Join(c.dir, name)))
	return c.open(name)
}

// TestADirectoryThatWasLostIsRefusedUnderItsOldName is of a node that has forgotten what it acknowledged: with its vote the others could
// go on without that.
func TestADirectoryThatWasLostIsRefusedUnderItsOldName(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	lost, leader := c.follower(), c.leader()
	c.stop(lost)
	node := c.wipe(lost)
	waitUntil(t, func() bool { return errors.Is(node.Ready(soon(t)), ErrMember) })
	require.ErrorIs(t, node.Status().Trouble, ErrMember)
	require.ErrorContains(t, node.Ready(soon(t)), "another directory")
	c.put("key", "2")
	var third string
	for _, name := range c.names {
		if name != lost && name != leader {
			third = name
		}
	}
	c.stop(third)
	_, err := c.nodes[leader].DB().Put([]byte("key"), []byte("with one of three"))
	require.Error(t, err, "it counts for nothing")
	require.Zero(t, node.replica.Applied())
	c.open(third)
	c.put("key", "3")

	require.NoError(t, c.nodes[leader].Remove(soon(t), lost))
	waitUntil(t, func() bool { return c.member(leader, lost).Voter })
	c.requireShows(lost, "key", "3")
	require.NoError(t, node.Ready(soon(t)))
	c.requireAlike()
}

func TestANodeWhoseDirectoryComesBackAfterAnotherOneTookItsPlaceIsRefused(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	lost, leader := c.follower(), c.leader()
	c.stop(lost)
	require.NoError(t, os.Rename(filepath.Join(c.dir, lost), filepath.Join(c.dir, "old")))
	require.NoError(t, c.nodes[leader].Remove(soon(t), lost))
	c.open(lost)
	waitUntil(t, func() bool { return c.member(leader, lost).Voter })
	c.put("key", "2")

	o := c.options(lost)
	o.Advertise = c.net.address("old")
	old, err := Open(soon(t), filepath.Join(c.dir, "old"), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, old.Close()) }()
	time.Sleep(3 * o.Heartbeat) // Time enough to stand for election.
	require.Equal(t, leader, c.leader())
	require.Error(t, old.Linearizable(briefly(t)))
	c.put("key", "3")
	c.requireAlike()
}

// briefly is a context for what mustn't happen.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestANodeThatIsNotWhereItSaysIsNotLetIn(t *testing.T) {
	c := newTrio(t, "a")
	c.put("key", "1")
	o := c.newcomer("b")
	o.Advertise = freeAddress(t)
	node, err := Open(soon(t), filepath.Join(c.dir, "b"), o)
	require.NoError(t, err)
	waitUntil(t, func() bool { return errors.Is(node.Ready(soon(t)), ErrMember) })
	require.ErrorContains(t, node.Ready(soon(t)), o.Advertise)
	require.NoError(t, node.Close())
	require.Zero(t, c.member("a", "b"))
	c.put("key", "with b as a voter this would have no majority")
}

func TestTwoCopiesOfADirectoryAreNotTakenForOneNodeThatMoved(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	twice := c.follower()
	c.stop(twice)
	require.NoError(t, os.CopyFS(filepath.Join(c.dir, "copy"), os.DirFS(filepath.Join(c.dir, twice))))
	c.open(twice)
	c.requireShows(twice, "key", "1")
	o := c.options(twice)
	o.Advertise = c.net.address("copy")
	dup, err := Open(soon(t), filepath.Join(c.dir, "copy"), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, dup.Close()) }()
	c.net.mu.Lock()
	c.net.targets["copy"] = dup.port.listener.Addr().String()
	c.net.mu.Unlock()
	waitUntil(t, func() bool { return errors.Is(dup.Ready(soon(t)), ErrMember) })
	require.Equal(t, c.net.address(twice), c.member(c.leader(), twice).Address)
	c.put("key", "2")
	c.requireShows(twice, "key", "2")
}

func TestANodeThatWasRemovedStaysSoWhenItIsRestarted(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	gone := c.follower()
	c.requireShows(gone, "key", "1")
	require.NoError(t, c.nodes[c.leader()].Remove(soon(t), gone))
	waitUntil(t, func() bool { return errors.Is(c.nodes[gone].Ready(soon(t)), ErrMember) })
	c.put("key", "2")
	c.stop(gone)
	leader, term := c.leader(), c.nodes[c.leader()].Status().Term
	node := c.open(gone)
	time.Sleep(3 * c.options(gone).Heartbeat) // Time enough to stand for election, and to be let in.
	require.ErrorIs(t, node.Ready(soon(t)), ErrMember)
	require.ErrorIs(t, node.Linearizable(briefly(t)), context.DeadlineExceeded)
	require.Zero(t, c.member(leader, gone))
	require.Equal(t, []any{leader, term}, []any{c.leader(), c.nodes[leader].Status().Term})
	waitUntil(t, func() bool { return node.Join(soon(t)) == nil })
	c.requireShows(gone, "key", "2")
}

func TestALeaderThatIsRemovedHandsOverFirst(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.Heartbeat, o.Lease = 10*time.Second, time.Second })
	c.put("key", "1")
	old := c.leader()
	began := time.Now()
	require.NoError(t, c.nodes[old].Remove(soon(t), old))
	var others []string
	for _, name := range c.names {
		if name != old {
			others = append(others, name)
		}
	}
	waitUntil(t, func() bool { return c.nodes[others[0]].Leads() || c.nodes[others[1]].Leads() })
	require.Less(t, time.Since(began), 8*time.Second, "nobody had to find out")
	require.Zero(t, c.member(others[0], old))
	c.put("key", "2")
}

func TestAChangeOfTheMembersWaitsNoLongerThanItsContext(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	node := c.nodes[c.leader()]
	require.NoError(t, node.lockMembers(soon(t)))
	require.ErrorIs(t, node.Remove(briefly(t), "nobody"), context.DeadlineExceeded)
	node.unlockMembers()
	require.NoError(t, node.Remove(soon(t), "nobody"))
}

func TestTheMembersAreChangedOnlyIfTheyAreWhatTheyWere(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	node := c.nodes[c.leader()]
	after := node.history.newest()
	require.NotZero(t, after)
	c.openWith("d", c.newcomer("d"))
	waitUntil(t, func() bool { return c.member("d", "d").Voter })
	require.Greater(t, node.history.newest(), after)
	e := node.engine()
	err := e.await(soon(t), e.raft.RemoveServer(raft.ServerID(node.id), after, time.Second))
	require.ErrorContains(t, err, "configuration changed")
}

func TestARemovalOutlivesTheLeaderThatItWasAsked(t *testing.T) {
	c := newTrio(t)
	c.openWith("d", c.newcomer("d"))
	waitUntil(t, func() bool { return c.member("d", "d").Voter })
	leader := c.leader()
	asking := c.follower()
	for _, name := range []string{"a", "b", "c"} {
		if name != leader && name != asking {
			c.net.isolate(leader, true)
			require.NoError(t, c.nodes[asking].Remove(soon(t), name), "a leader that doesn't answer isn't the last word")
			c.net.isolate(leader, false)
			return
		}
	}
}

func TestALonelyVoterHandsOverToNobody(t *testing.T) {
	c := newTrio(t, "alone")
	require.ErrorIs(t, c.nodes["alone"].Transfer(soon(t), ""), ErrMember)
	require.NoError(t, c.nodes["alone"].Transfer(soon(t), "alone"))
	c.put("key", "value")
}

func TestALeaderThatStopsOrClosesIsNotTakenForThisNode(t *testing.T) {
	for _, err := range []error{ErrStopped, ErrClosed} {
		require.ErrorIs(t, refused(err).err(), ErrNoLeader)
		require.NotErrorIs(t, refused(err).err(), err)
	}
}

// TestADeadAddressKeepsNoNodeOut is of one that takes connections and never answers, as a machine that hangs.
func TestADeadAddressKeepsNoNodeOut(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, mute.Close()) }()
	dead := mute.Addr().String()
	c := newTrio(t)
	c.put("key", "1")
	o := c.newcomer("d")
	o.Join = append([]string{dead}, o.Join...)
	c.openWith("d", o)
	waitUntil(t, func() bool { return c.member("d", "d").Voter })
	c.requireShows("d", "key", "1")

	o = c.options("e") // As if it were to make a cluster.
	o.Join = append([]string{dead}, o.Join...)
	o.BootstrapExpect++
	c.openWith("e", o)
	waitUntil(t, func() bool { return c.member("e", "e").Voter })
	c.requireShows("e", "key", "1")
}
