package cluster

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASurveyAsksEachMember(t *testing.T) {
	c := newTrio(t)
	c.fill("", 20)
	for _, name := range c.names {
		c.requireShows(name, "19", string(make([]byte, 200)))
	}
	gone, asked := c.follower(), c.leader()
	c.nodes[gone].watch.trip(ErrCorrupt) // It still answers.
	waitUntil(t, func() bool { return c.nodes[gone].Status().Role == "stopped" })
	reports := c.nodes[asked].Survey(soon(t))
	require.Len(t, reports, 3)
	for i, r := range reports {
		require.NoError(t, r.Err)
		require.Equal(t, c.names[i], r.Name)
		require.Equal(t, c.names[i], r.Status.Node)
		require.True(t, r.Voter)
		require.Equal(t, r.Name == asked, r.Leads)
		require.Zero(t, r.Lag)
		own := c.nodes[r.Name].Status()
		require.Equal(t, own.Role, r.Status.Role)
		require.Equal(t, own.Applied, r.Status.Applied)
		require.Equal(t, own.Last, r.Status.Last)
		require.Equal(t, own.Snapshot, r.Status.Snapshot)
		if r.Name == gone {
			require.ErrorContains(t, r.Status.Trouble, ErrCorrupt.Error())
			require.Equal(t, "stopped", r.Status.Role)
		} else {
			require.NoError(t, r.Status.Trouble)
			require.Equal(t, asked, r.Status.Leader.Name)
			require.Equal(t, own.Term, r.Status.Term)
		}
	}
	require.Len(t, c.nodes[gone].Survey(soon(t)), 1, "it knows no members any more")

	c.stop(gone)
	c.put("more", "to lack")
	for _, r := range c.nodes[asked].Survey(soon(t)) {
		require.Equal(t, r.Name == gone, r.Err != nil, "%s: %v", r.Name, r.Err)
		if r.Name == gone {
			require.Zero(t, r.Status)
		}
	}
}

func TestASurveySaysWhatANodeLacks(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	leader, late := c.leader(), c.follower()
	c.requireShows(late, "key", "1")
	third := c.names[slices.IndexFunc(c.names, func(name string) bool { return name != leader && name != late })]
	release := c.net.hold(leader, late)
	defer release()
	c.fill("", 20)
	c.requireShows(third, "19", string(make([]byte, 200)))
	for _, r := range c.nodes[third].Survey(soon(t)) {
		require.NoError(t, r.Err)
		if r.Name == late {
			require.GreaterOrEqual(t, r.Lag, uint64(10))
		} else {
			require.Less(t, r.Lag, uint64(10))
		}
	}
}
