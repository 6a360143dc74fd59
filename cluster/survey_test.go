package cluster

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
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
		require.NotZero(t, r.Status.Checksum)
		require.True(t, r.Status.summed)
		require.Equal(t, own.Checksum, r.Status.Checksum)
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
	waitUntil(t, func() bool { return len(c.nodes[gone].Survey(soon(t))) == 1 }) // It knows no members any more.

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

// TestASurveyNamesNodesWhoseStatesDiffer compares what nodes say: only those that have applied the same entries can be compared.
func TestASurveyNamesNodesWhoseStatesDiffer(t *testing.T) {
	report := func(name string, applied uint64, sum kv.Checksum) Report {
		return Report{Node: Node{Name: name}, Status: Status{Applied: applied, Checksum: sum, summed: true}}
	}
	unknown := report("b", 7, 0)
	unknown.Status.summed = false
	for name, c := range map[string]struct {
		reports  []Report
		troubled []int
	}{
		"equal":                    {[]Report{report("a", 7, 5), report("b", 7, 5), report("c", 7, 5)}, nil},
		"one has applied less":     {[]Report{report("a", 7, 5), report("b", 6, 4), report("c", 7, 5)}, nil},
		"one knows of no checksum": {[]Report{report("a", 7, 5), unknown, report("c", 7, 5)}, nil},
		"one of three differs":     {[]Report{report("a", 7, 5), report("b", 7, 4), report("c", 7, 5)}, []int{0, 1, 2}},
		"one has no pairs":         {[]Report{report("a", 7, 5), report("b", 7, 0), report("c", 6, 4)}, []int{0, 1}},
		"one of two differs":       {[]Report{report("a", 7, 5), report("b", 7, 4), report("c", 6, 4)}, []int{0, 1}},
	} {
		compareStates(c.reports)
		for i, r := range c.reports {
			require.Equal(t, slices.Contains(c.troubled, i), r.Status.Trouble != nil, "%s: node %s", name, r.Name)
		}
		if len(c.troubled) > 0 {
			require.ErrorContains(t, c.reports[0].Status.Trouble, "the checksum of its pairs as of entry 7 is 0000000000000005, that of node b ", name)
		}
	}
}
