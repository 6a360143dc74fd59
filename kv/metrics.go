package kv

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
	"github.com/walnutkv/walnut/internal/promtext"
)

// Label is a name and a value that tell the metrics of one store from those of others.
type Label struct{ Name, Value string }

// LabelledStats are the numbers of one store on a page of metrics, with the labels that tell it from the other stores there.
type LabelledStats struct {
	Stats
	Labels []Label
}

// WritePrometheus writes the numbers on a page of their own: see the function of that name, which takes several stores. An example
// of a label is the store's name. Without labels there is nothing to tell two stores apart.
func (s Stats) WritePrometheus(w io.Writer, labels ...Label) error {
	return WritePrometheus(w, LabelledStats{s, labels})
}

// WritePrometheus writes the numbers of stores in Prometheus' text format, version 0.0.4, in one write. Names begin with walnut_
// and end in their unit, those of counters in _total. The format wants all samples of a name together, under one HELP and TYPE, so
// several stores share a page only if one call writes it. walnut_build_info is about the program and has no store's labels.
//
// An error of the labels is returned before anything is written: a name that isn't one in Prometheus, begins with two
// underscores, is le, or comes twice; a value that isn't UTF-8; two stores with the same labels. Other errors are those of w.
func WritePrometheus(w io.Writer, stores ...LabelledStats) error {
	page, err := newMetricsPage(stores)
	if err != nil {
		return fmt.Errorf("kv: metrics: %w", err)
	}
	for _, m := range metrics {
		page.number(m)
	}
	for _, m := range histograms {
		page.histogram(m)
	}
	page.buildInfo()
	_, err = w.Write(page.Bytes())
	return err
}

// metric is a gauge, or a counter if its name says so.
type metric struct {
	name, help string
	value      func(s *Stats) float64
}

// metrics are in the order of Stats. names_test.go has the name that each has as a field and in JSON.
var metrics = []metric{
	{"walnut_keys", "Pairs that readers see.", func(s *Stats) float64 { return float64(s.Keys) }},
	{
		"walnut_data_bytes", "Bytes of the keys and values of all pairs, expired ones included.",
		func(s *Stats) float64 { return float64(s.DataBytes) },
	},
	{
		"walnut_deadlines", "Pairs that readers see and that have a deadline.",
		func(s *Stats) float64 { return float64(s.Deadlines) },
	},
	{
		"walnut_expired_keys", "Pairs whose deadline has passed and that nothing has removed.",
		func(s *Stats) float64 { return float64(s.Expired) },
	},
	{
		"walnut_swept_keys_total", "Pairs that were deleted since their deadline had passed.",
		func(s *Stats) float64 { return float64(s.Swept) },
	},
	{"walnut_first_offset", "The first offset that the log holds.", func(s *Stats) float64 { return float64(s.First) }},
	{
		"walnut_durable_offset", "The last offset that no power cut can take.",
		func(s *Stats) float64 { return float64(s.Durable) },
	},
	{"walnut_visible_offset", "The last offset that readers see.", func(s *Stats) float64 { return float64(s.Visible) }},
	{
		"walnut_open_views", "Views that are open, held ones included.",
		func(s *Stats) float64 { return float64(s.OpenViews) },
	},
	{
		"walnut_oldest_view_seconds", "Age of the oldest open view.",
		func(s *Stats) float64 { return s.OldestView.Seconds() },
	},
	{"walnut_segments", "Segments of the log.", func(s *Stats) float64 { return float64(s.Segments) }},
	{"walnut_disk_bytes", "Bytes that the log takes on disk.", func(s *Stats) float64 { return float64(s.DiskBytes) }},
	{"walnut_free_bytes", "Bytes that the file system has left.", func(s *Stats) float64 { return float64(s.FreeBytes) }},
	{"walnut_commits_total", "Commits written.", func(s *Stats) float64 { return float64(s.Commits) }},
	{
		"walnut_commit_bytes_total", "Bytes of the commits written, encoded.",
		func(s *Stats) float64 { return float64(s.CommitBytes) },
	},
	{
		"walnut_written_bytes_total", "Bytes that the commits written take in the log.",
		func(s *Stats) float64 { return float64(s.WrittenBytes) },
	},
	{"walnut_writes_total", "Writes to the log.", func(s *Stats) float64 { return float64(s.Writes) }},
	{
		"walnut_syncs_total", "Syncs of the log that made commits durable.",
		func(s *Stats) float64 { return float64(s.Syncs) },
	},
	{"walnut_slow_syncs_total", "Syncs that were slow.", func(s *Stats) float64 { return float64(s.SlowSyncs) }},
	{"walnut_rolls_total", "Segments that were full.", func(s *Stats) float64 { return float64(s.Rolls) }},
	{
		"walnut_index_rebuilds_total", "Indexes that were found wrong and rebuilt.",
		func(s *Stats) float64 { return float64(s.IndexRebuilds) },
	},
	{
		"walnut_last_backup_timestamp_seconds", "When the last backup ended, in Unix time; 0 if there was none.",
		func(s *Stats) float64 { return unixSeconds(s.LastBackup) },
	},
	{
		"walnut_snapshots", "Snapshots on disk, damaged ones included.",
		func(s *Stats) float64 { return float64(s.Checkpoints.Snapshots) },
	},
	{
		"walnut_snapshot_bytes", "Bytes that the snapshots take on disk.",
		func(s *Stats) float64 { return float64(s.Checkpoints.SnapshotBytes) },
	},
	{
		"walnut_snapshot_offset", "The offset of the newest snapshot.",
		func(s *Stats) float64 { return float64(s.Checkpoints.Offset) },
	},
	{
		"walnut_log_replay_bytes", "Bytes of commits after the newest snapshot, which a start replays.",
		func(s *Stats) float64 { return float64(s.Checkpoints.LogBytes) },
	},
	{
		"walnut_checkpoints_taken_total", "Checkpoints taken.",
		func(s *Stats) float64 { return float64(s.Checkpoints.Taken) },
	},
	{
		"walnut_checkpoints_failed_total", "Checkpoints that failed.",
		func(s *Stats) float64 { return float64(s.Checkpoints.Failed) },
	},
	{
		"walnut_checkpoint_last_seconds", "How long the last checkpoint took.",
		func(s *Stats) float64 { return s.Checkpoints.Last.Seconds() },
	},
	{
		"walnut_checkpoint_last_timestamp_seconds", "When the last checkpoint ended, in Unix time; 0 if there was none.",
		func(s *Stats) float64 { return unixSeconds(s.Checkpoints.LastTime) },
	},
	{
		"walnut_follow_lag_commits", "Commits that a follower has found and does not show yet.",
		func(s *Stats) float64 { return float64(s.FollowLag.Commits) },
	},
	{
		"walnut_follow_lag_age_seconds", "How old what a follower shows may be.",
		func(s *Stats) float64 { return s.FollowLag.Age.Seconds() },
	},
	{
		"walnut_failed", "1 if the store takes no more commits until it is opened again.",
		func(s *Stats) float64 { return oneIf(s.Failed != nil) },
	},
	{
		"walnut_recovery_elapsed_seconds", "How long opening the store took.",
		func(s *Stats) float64 { return s.Recovery.Elapsed.Seconds() },
	},
	{
		"walnut_recovery_replayed_commits", "Commits that opening the store replayed.",
		func(s *Stats) float64 { return float64(s.Recovery.Replayed) },
	},
	{
		"walnut_recovery_loaded_pairs", "Pairs that opening the store loaded from a snapshot.",
		func(s *Stats) float64 { return float64(s.Recovery.Loaded) },
	},
	{
		"walnut_recovery_skipped_snapshots", "Damaged snapshots that opening the store passed over.",
		func(s *Stats) float64 { return float64(len(s.Recovery.Skipped)) },
	},
	{
		"walnut_recovery_cut_bytes", "Bytes of an unfinished tail that opening the store cut.",
		func(s *Stats) float64 { return float64(s.Recovery.Log.CutBytes) },
	},
}

// histogramMetric is a histogram.
type histogramMetric struct {
	name, help string
	spread     func(s *Stats) histogram.Snapshot
	scale      promtext.Scale
}

var histograms = []histogramMetric{
	{
		"walnut_sync_seconds", "How long syncs of the log took.",
		func(s *Stats) histogram.Snapshot { return s.SyncLatency.spread }, inSeconds(10, 35), // 1 µs to 34 s.
	},
	{
		"walnut_commit_seconds", "How long commits took from call to return; each one measured stands for some that were not.",
		func(s *Stats) histogram.Snapshot { return s.CommitLatency.spread }, inSeconds(10, 35),
	},
	{
		"walnut_clone_seconds", "How long writers took to give readers their own state; each one measured stands for some that were not.",
		func(s *Stats) histogram.Snapshot { return s.CloneLatency.spread }, inSeconds(6, 24), // 64 ns to 17 ms.
	},
	{
		"walnut_group_commits", "Commits that one sync made durable.",
		func(s *Stats) histogram.Snapshot { return s.GroupCommits.spread },
		promtext.Scale{From: 0, To: 12, Unit: 1},
	},
}

// inSeconds is the scale of what was recorded in nanoseconds.
func inSeconds(from, to int) promtext.Scale {
	return promtext.Scale{From: from, To: to, Unit: float64(time.Second)}
}

func oneIf(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

// unixSeconds returns 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// metricsPage is Prometheus text in the making.
type metricsPage struct {
	promtext.Page
	stores []LabelledStats
	labels []string // Of each store, as the text has them; "" for none.
}

func newMetricsPage(stores []LabelledStats) (*metricsPage, error) {
	page := &metricsPage{stores: stores}
	seen := map[string]bool{}
	for i, store := range stores {
		labels := make([]promtext.Label, len(store.Labels))
		for j, l := range store.Labels {
			labels[j] = promtext.Label(l)
		}
		text, err := promtext.Labels(labels)
		if err != nil {
			return nil, fmt.Errorf("store %d: %w", i+1, err)
		}
		set := promtext.LabelSet(labels)
		if seen[set] {
			return nil, fmt.Errorf("store %d has the same labels as another one: {%s}", i+1, text)
		}
		seen[set] = true
		page.labels = append(page.labels, text)
	}
	return page, nil
}

func (p *metricsPage) number(m metric) {
	p.Head(m.name, m.help)
	for i := range p.stores {
		value := m.value(&p.stores[i].Stats)
		if m.name == "walnut_free_bytes" && value < 0 {
			continue // The system doesn't say.
		}
		p.Sample(m.name, value, p.labels[i])
	}
}

func (p *metricsPage) histogram(m histogramMetric) {
	p.HistogramHead(m.name, m.help)
	for i := range p.stores {
		p.Histogram(m.name, m.spread(&p.stores[i].Stats), m.scale, p.labels[i])
	}
}

// buildInfo says which version of Walnut the program was built with, and by which Go.
func (p *metricsPage) buildInfo() {
	const name = "walnut_build_info"
	p.Head(name, "The version of Walnut and of Go that the program was built with; always 1.")
	version := moduleVersion(debug.ReadBuildInfo())
	p.Sample(name, 1, promtext.Text("version", version), promtext.Text("goversion", runtime.Version()))
}

// moduleVersion returns the version of this module in a program.
func moduleVersion(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "unknown"
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == "github.com/walnutkv/walnut" && module.Version != "" {
			return module.Version
		}
	}
	return "unknown"
}
