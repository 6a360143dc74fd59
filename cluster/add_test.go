package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestANodeThatKnowsNobodyIsAddedByItsAddress opens nodes that ask nobody to let them in.
func TestANodeThatKnowsNobodyIsAddedByItsAddress(t *testing.T) {
	c := newTrio(t)
	c.fill("", 300)
	o := c.newcomer("d")
	o.Join = nil
	c.openWith("d", o)
	on := c.nodes[c.follower()]
	require.ErrorIs(t, on.Add(soon(t), "e", c.net.address("d")), ErrMember, "it has another name")
	require.ErrorIs(t, on.Add(soon(t), "d", "nowhere"), ErrMember)
	require.ErrorIs(t, on.Add(soon(t), "d", freeAddress(t)), ErrMember, "nothing listens")
	require.Zero(t, c.member("a", "d"))
	require.NoError(t, on.Add(soon(t), "d", c.net.address("d")))
	waitUntil(t, func() bool { return c.member("d", "d").Voter })
	c.requireShows("d", "299", string(make([]byte, 200)))
	require.NoError(t, on.Add(soon(t), "d", c.net.address("d")), "again")
	require.True(t, c.member("d", "d").Voter)

	o = c.newcomer("e")
	o.Join, o.NonVoter = nil, true
	c.openWith("e", o)
	direct := c.net.targets["e"] // Where it listens, which isn't what it advertises.
	require.NoError(t, on.Add(soon(t), "e", direct))
	require.Equal(t, c.net.address("e"), c.member(c.leader(), "e").Address)
	c.requireShows("e", "299", string(make([]byte, 200)))
	require.NoError(t, on.Add(soon(t), "e", c.net.address("e")), "again")
	require.False(t, c.member("e", "e").Voter, "it wants no vote")
	c.requireAlike()
}

// TestANodeOfAnotherClusterIsNotAdded offers a node that has made a cluster of the same name alone: its log would be thrown away.
func TestANodeOfAnotherClusterIsNotAdded(t *testing.T) {
	c := newTrio(t)
	o := c.options("d")
	o.Join, o.BootstrapExpect = nil, 1
	node := c.openWith("d", o)
	waitUntil(t, func() bool {
		_, err := node.DB().Put([]byte("own"), []byte("pair"))
		return err == nil
	})
	require.ErrorIs(t, c.nodes["a"].Add(soon(t), "d", c.net.address("d")), ErrMember)
	require.Zero(t, c.member("a", "d"))
	c.requireShows("d", "own", "pair")
}

func TestANodeThatWasRemovedIsNotAdded(t *testing.T) {
	c := newTrio(t)
	removed := c.follower()
	on := c.nodes[c.leader()]
	require.NoError(t, on.Remove(soon(t), removed))
	waitUntil(t, func() bool { return c.member(on.opts.Node, removed) == Node{} })
	require.ErrorIs(t, on.Add(soon(t), removed, c.net.address(removed)), ErrMember)
}
