package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// metricsOf returns the samples of a node's page, by their names and labels.
func (c *trio) metricsOf(name string) map[string]float64 {
	c.t.Helper()
	var page bytes.Buffer
	require.NoError(c.t, c.nodes[name].WritePrometheus(&page))
	samples := map[string]float64{}
	for line := range strings.Lines(page.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		sample, text, found := strings.Cut(strings.TrimSpace(line), " ")
		require.True(c.t, found, line)
		value, err := strconv.ParseFloat(text, 64)
		require.NoError(c.t, err, line)
		require.NotContains(c.t, samples, sample, "it comes twice")
		samples[sample] = value
	}
	return samples
}

func TestMetricsSayWhatANodeIsAndWhatItHasDone(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.TrailingLogs = 1 })
	c.put("key", "1")
	late := c.follower()
	c.stop(late)
	for round := range 3 {
		c.fill(fmt.Sprint(round, " "), 100)
		for name := range c.nodes {
			c.checkpoint(name)
		}
	}
	c.open(late)
	c.requireShows(late, "2 99", string(make([]byte, 200)))

	// On a busy machine the leadership may be lost meanwhile, so what all have done is added up.
	var led map[string]float64
	waitUntil(t, func() bool {
		led = c.metricsOf(c.leader())
		return led[`walnut_cluster_role{role="leader"}`] == 1
	})
	require.Equal(t, 0.0, led[`walnut_cluster_role{role="follower"}`])
	require.Equal(t, 0.0, led["walnut_cluster_contact_age_seconds"])
	require.GreaterOrEqual(t, led["walnut_cluster_leaderships_total"], 1.0)
	require.GreaterOrEqual(t, led["walnut_cluster_elections_total"], led["walnut_cluster_leaderships_total"])
	require.Positive(t, led["walnut_sync_seconds_count"], "syncs of the log are measured")
	all := map[string]float64{}
	for name := range c.nodes {
		for sample, value := range c.metricsOf(name) {
			all[sample] += value
		}
	}
	require.GreaterOrEqual(t, all[`walnut_cluster_proposals_total{outcome="done"}`]+all[`walnut_cluster_proposals_total{outcome="undecided"}`], 301.0)
	require.GreaterOrEqual(t, all["walnut_cluster_snapshots_sent_total"], 1.0)

	waitUntil(t, func() bool { return c.metricsOf(late)["walnut_cluster_lag_entries"] == 0 })
	got, status := c.metricsOf(late), c.nodes[late].Status()
	require.Equal(t, 3.0, got["walnut_cluster_members"])
	require.Equal(t, 3.0, got["walnut_cluster_voters"])
	require.LessOrEqual(t, got["walnut_cluster_term"], float64(status.Term))
	require.Positive(t, got["walnut_cluster_term"])
	require.LessOrEqual(t, got["walnut_cluster_applied_offset"], float64(status.Applied))
	require.Greater(t, got["walnut_cluster_applied_offset"], 300.0)
	require.GreaterOrEqual(t, got["walnut_cluster_snapshots_received_total"], 1.0)
	require.Equal(t, 301.0, got["walnut_keys"], "the store's are on the page, too")
}

func TestMetricsSayWhatBecameOfProposals(t *testing.T) {
	var n counts
	for _, err := range []error{nil, nil, kv.ErrConflict, kv.ErrNotLeader, kv.ErrUndecided, kv.ErrClosed} {
		n.proposed(err)
	}
	var page metricsPage
	page.counts(&n)
	for outcome, want := range map[string]int{"done": 2, "conflict": 1, "refused": 1, "undecided": 2} {
		require.Contains(t, page.String(), fmt.Sprintf("\nwalnut_cluster_proposals_total{outcome=%q} %d\n", outcome, want))
	}

	c := newTrio(t)
	waitUntil(t, func() bool {
		name := c.follower()
		_, err := c.nodes[name].DB().Put([]byte("key"), nil)
		return errors.Is(err, kv.ErrNotLeader) && c.metricsOf(name)[`walnut_cluster_proposals_total{outcome="refused"}`] >= 1
	})
}

func TestMetricsSayHowFarANodeLags(t *testing.T) {
	var page metricsPage
	page.lag(12, 7)
	require.Contains(t, page.String(), "\nwalnut_cluster_lag_entries 5\n")
	page.Reset()
	page.lag(7, 12)
	require.Contains(t, page.String(), "\nwalnut_cluster_lag_entries 0\n", "what was agreed upon was heard of before")
}

func TestLabelsThatWouldMixMetricsAreRefused(t *testing.T) {
	c := newTrio(t, "alone")
	for _, refused := range []string{"role", "outcome", "le", "a-b"} {
		var page bytes.Buffer
		require.Error(t, c.nodes["alone"].WritePrometheus(&page, kv.Label{Name: refused, Value: "x"}), refused)
		require.Zero(t, page.Len())
	}
}

// TestPromtoolFindsNothing asks Prometheus' own tool about a page with labels that have to be escaped.
func TestPromtoolFindsNothing(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing (Debian: prometheus)")
	}
	c := newTrio(t, "alone")
	c.put("key", "value")
	var page bytes.Buffer
	require.NoError(t, c.nodes["alone"].WritePrometheus(&page, kv.Label{Name: "cluster", Value: "\\\"\n"}, kv.Label{Name: "node", Value: "a"}))
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = &page
	said, err := check.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Empty(t, string(said))
}
