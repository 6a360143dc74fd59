package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatusSaysWhoLeadsAndHowFarANodeIs(t *testing.T) {
	c := newTrio(t)
	c.fill("", 20)
	leader, follower := c.leader(), c.follower()
	c.requireShows(follower, "19", string(make([]byte, 200)))
	c.checkpoint(leader)
	s := c.nodes[leader].Status()
	require.Equal(t, "leader", s.Role)
	require.Equal(t, leader, s.Leader.Name)
	require.Len(t, s.Members, 3)
	require.True(t, s.Members[0].Name == "a" && s.Members[0].Voter)
	require.Equal(t, s.Applied, s.Committed)
	require.Equal(t, s.Applied, s.Snapshot)
	require.NoError(t, s.Trouble)
	other := c.nodes[follower].Status()
	require.Equal(t, "follower", other.Role)
	require.Equal(t, s.Leader, other.Leader)
	require.Equal(t, s.Term, other.Term)
	require.Zero(t, other.Snapshot)

	node := c.nodes[follower]
	node.watch.trip(ErrCorrupt)
	waitUntil(t, func() bool { return node.Status().Role == "stopped" })
	require.ErrorIs(t, node.Status().Trouble, ErrStopped)
	require.ErrorIs(t, node.Status().Trouble, ErrCorrupt)
}
