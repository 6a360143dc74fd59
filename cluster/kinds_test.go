package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestANewerKindWaitsUntilEachMemberKnowsIt upgrades the nodes one after the other.
func TestANewerKindWaitsUntilEachMemberKnowsIt(t *testing.T) {
	upgraded := map[string]bool{}
	c := newTrioWith(t, func(o *Options) {
		if upgraded[o.Node] {
			o.knows = newestKind + 1
		}
	})
	require.NoError(t, c.nodes[c.leader()].allKnow(soon(t), newestKind))
	for _, name := range c.names {
		err := c.nodes[c.leader()].allKnow(soon(t), newestKind+1)
		require.ErrorIs(t, err, ErrMember)
		require.ErrorContains(t, err, `"`+name+`" knows entries up to kind 1, not 2`)
		c.stop(name)
		upgraded[name] = true
		require.Error(t, c.nodes[c.leader()].allKnow(soon(t), newestKind), "one that gives no answer may know less")
		c.open(name)
		c.put("by", name)
		waitUntil(t, func() bool { return c.nodes[c.leader()].allKnow(soon(t), newestKind) == nil })
	}
	require.NoError(t, c.nodes[c.leader()].allKnow(soon(t), newestKind+1))
	for _, r := range c.nodes["a"].Survey(soon(t)) {
		require.EqualValues(t, newestKind+1, r.Status.Knows)
	}
	o := c.newcomer("d")
	o.knows = newestKind
	c.openWith("d", o)
	waitUntil(t, func() bool {
		return c.member("d", "d").Voter && c.nodes[c.leader()].allKnow(soon(t), newestKind) == nil
	})
	require.ErrorIs(t, c.nodes[c.leader()].allKnow(soon(t), newestKind+1), ErrMember, "nor may one that joined later")
}
