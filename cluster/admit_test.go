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
)

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
	if c.member(gone, gone) == (Node{}) { // It has heard of that.
		require.ErrorIs(t, c.nodes[gone].Status().Trouble, ErrMember)
	}
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

func TestWhatIsNoNodeIsNotLetIn(t *testing.T) {
	for _, c := range []struct {
		id, address string
		isNode      bool
	}{
		{"a@1f2e", "10.0.0.1:7000", true},
		{"a@1f2e", "[fe80::1]:7000", true},
		{"", "10.0.0.1:7000", false},
		{"a", "10.0.0.1:7000", false},
		{"@1f2e", "10.0.0.1:7000", false},
		{"a@1f2e@", "10.0.0.1:7000", false},
		{"a@1f2e", "", false},
		{"a@1f2e", "10.0.0.1", false},
		{"a@1f2e", "b@10.0.0.1:7000", false},
		{string(make([]byte, 251)) + "@1f2e", "10.0.0.1:7000", false},
	} {
		require.Equal(t, c.isNode, checkPlace(c.id, c.address) == nil, "%q at %q", c.id, c.address)
	}
}
