package cluster

import (
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/internal/promtext"
	"github.com/walnutkv/walnut/kv"
)

// WritePrometheus writes the numbers of the store and of this node in Prometheus' text format, version 0.0.4, in one write. Those of the
// store are what kv.Stats.WritePrometheus writes, how long syncs of the log took among them. Names of the others begin with
// walnut_cluster_. It asks no other node. Labels tell the node from others; role and outcome are taken. Errors are those of
// kv.Stats.WritePrometheus.
func (c *Cluster) WritePrometheus(w io.Writer, labels ...kv.Label) error {
	text, err := promtext.Labels(labels, "role", "outcome")
	if err != nil {
		return fmt.Errorf("cluster: metrics: %w", err)
	}
	page := &metricsPage{labels: text}
	if err := c.DB().Stats().WritePrometheus(page, labels...); err != nil {
		return err
	}
	s := c.state()
	page.state(&s)
	page.lag(max(s.Committed, c.fresh.known()), s.Applied)
	page.contact(c.engine().raft, s.Role)
	page.counts(&c.counts)
	_, err = w.Write(page.Bytes())
	return err
}

// metricsPage is Prometheus text in the making.
type metricsPage struct {
	promtext.Page
	labels string // Those of the node.
}

// number writes a metric.
func (p *metricsPage) number(name, help string, value float64) {
	p.Head(name, help)
	p.sample(name, value)
}

// sample writes a line. more are labels besides those of the node.
func (p *metricsPage) sample(name string, value float64, more ...string) {
	p.Sample(name, value, append([]string{p.labels}, more...)...)
}

// state writes where the node is.
func (p *metricsPage) state(s *Status) {
	const role = "walnut_cluster_role"
	p.Head(role, "1 for what the node is now.")
	for _, one := range []string{"leader", "follower", "candidate", "stopped"} {
		value := 0.0
		if one == s.Role {
			value = 1
		}
		p.sample(role, value, promtext.Text("role", one))
	}
	voters := 0
	for _, m := range s.Members {
		if m.Voter {
			voters++
		}
	}
	p.number("walnut_cluster_members", "Members that this node knows.", float64(len(s.Members)))
	p.number("walnut_cluster_voters", "Members that vote.", float64(voters))
	p.number("walnut_cluster_term", "Term of the consensus, which grows with each election.", float64(s.Term))
	p.number("walnut_cluster_committed_offset", "The last entry that the node knows to be agreed upon.", float64(s.Committed))
	p.number("walnut_cluster_applied_offset", "The last entry that the store shows.", float64(s.Applied))
	p.number("walnut_cluster_first_offset", "The first entry of the log.", float64(s.First))
	p.number("walnut_cluster_last_offset", "The last entry of the log.", float64(s.Last))
}

func (p *metricsPage) lag(agreed, applied uint64) {
	p.number("walnut_cluster_lag_entries", "Entries that are known to be agreed upon and that the store doesn't show yet.",
		float64(agreed-min(agreed, applied)))
}

// contact writes how long the node has been without word from the leader, if it ever had any.
func (p *metricsPage) contact(r *raft.Raft, role string) {
	const name = "walnut_cluster_contact_age_seconds"
	p.Head(name, "How long ago the node had word from the leader; 0 on the leader.")
	switch last := r.LastContact(); {
	case role == "leader":
		p.sample(name, 0)
	case !last.IsZero():
		p.sample(name, time.Since(last).Seconds())
	}
}

// counts writes what has happened since the node was opened.
func (p *metricsPage) counts(n *counts) {
	p.number("walnut_cluster_elections_total", "Times that the node stood for election.", float64(n.elections.Load()))
	p.number("walnut_cluster_leaderships_total", "Times that the node was elected.", float64(n.leaderships.Load()))
	p.number("walnut_cluster_snapshots_sent_total", "Snapshots that the node began to send to another one.", float64(n.sent.Load()))
	p.number("walnut_cluster_snapshots_received_total", "Snapshots that the node was sent whole.", float64(n.installed.Load()))
	const proposals = "walnut_cluster_proposals_total"
	p.Head(proposals, "Groups of commits that were proposed on this node, by what became of them.")
	p.sample(proposals, float64(n.done.Load()), promtext.Text("outcome", "done"))
	p.sample(proposals, float64(n.refused.Load()), promtext.Text("outcome", "refused"))
	p.sample(proposals, float64(n.conflicts.Load()), promtext.Text("outcome", "conflict"))
	p.sample(proposals, float64(n.undecided.Load()), promtext.Text("outcome", "undecided"))
}
