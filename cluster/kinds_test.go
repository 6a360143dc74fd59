package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEachMemberSaysWhichKindsItKnows upgrades one of the nodes.
func TestEachMemberSaysWhichKindsItKnows(t *testing.T) {
	upgraded := ""
	c := newTrioWith(t, func(o *Options) {
		if o.Node == upgraded {
			o.knows = newestKind + 1
		}
	})
	upgraded = c.follower()
	c.stop(upgraded)
	for _, r := range c.nodes[c.leader()].Survey(soon(t)) {
		require.Equal(t, r.Name == upgraded, r.Err != nil, "one that gives no answer may know less")
	}
	c.open(upgraded)
	c.requireAlike()
	for _, on := range c.names {
		for _, r := range c.nodes[on].Survey(soon(t)) {
			want := uint64(newestKind)
			if r.Name == upgraded {
				want++
			}
			require.NoError(t, r.Err)
			require.Equal(t, want, r.Status.Knows, "%s, as %s sees it", r.Name, on)
		}
	}
}
