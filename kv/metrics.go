package kv

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
)

// WritePrometheus writes the numbers in Prometheus' text format, version 0.0.4, in one write. Names begin with walnut_ and end in
// their unit, those of counters in _total. There are no labels, so a program with two stores serves each at its own path.
func (s Stats) WritePrometheus(w io.Writer) error {
	const second = float64(time.Second)
	var page metricsPage
	page.number("walnut_keys", "Pairs, expired ones included.", float64(s.Keys))
	page.number("walnut_data_bytes", "Bytes of the keys and values of all pairs.", float64(s.DataBytes))
	page.number("walnut_expired_keys", "Pairs whose deadline has passed and that nothing has removed.", float64(s.Expired))
	page.number("walnut_swept_keys_total", "Pairs that were deleted since their deadline had passed.", float64(s.Swept))
	page.number("walnut_first_offset", "The first offset that the log holds.", float64(s.First))
	page.number("walnut_durable_offset", "The last offset that no power cut can take.", float64(s.Durable))
	page.number("walnut_visible_offset", "The last offset that readers see.", float64(s.Visible))
	page.number("walnut_open_views", "Views that are open, held ones included.", float64(s.OpenViews))
	page.number("walnut_oldest_view_seconds", "Age of the oldest open view.", s.OldestView.Seconds())
	page.number("walnut_follow_lag_commits", "Commits that a follower has found and does not show yet.", float64(s.FollowLag.Commits))
	page.number("walnut_follow_lag_seconds", "How old what a follower shows may be.", s.FollowLag.Age.Seconds())
	page.number("walnut_segments", "Segments of the log.", float64(s.Segments))
	page.number("walnut_disk_bytes", "Bytes that the log takes on disk.", float64(s.DiskBytes))
	if s.FreeBytes >= 0 {
		page.number("walnut_free_bytes", "Bytes that the file system has left.", float64(s.FreeBytes))
	}
	page.number("walnut_snapshots", "Snapshots on disk, damaged ones included.", float64(s.Checkpoints.Snapshots))
	page.number("walnut_snapshot_bytes", "Bytes that the snapshots take on disk.", float64(s.Checkpoints.SnapshotBytes))
	page.number("walnut_snapshot_offset", "The offset of the newest snapshot.", float64(s.Checkpoints.Offset))
	page.number("walnut_log_replay_bytes", "Bytes of commits after the newest snapshot, which a start replays.", float64(s.Checkpoints.LogBytes))
	page.number("walnut_checkpoint_seconds", "How long the last checkpoint took.", s.Checkpoints.Last.Seconds())
	failed := 0.0
	if s.Failed != nil {
		failed = 1
	}
	page.number("walnut_failed", "1 where the store takes no more commits until it is opened again.", failed)
	page.number("walnut_recovery_seconds", "How long opening the store took.", s.Recovery.Elapsed.Seconds())
	page.number("walnut_recovery_commits", "Commits that opening the store replayed.", float64(s.Recovery.Replayed))
	page.number("walnut_recovery_loaded_pairs", "Pairs that opening the store loaded from a snapshot.", float64(s.Recovery.Loaded))
	page.number("walnut_recovery_skipped_snapshots", "Damaged snapshots that opening the store passed over.", float64(len(s.Recovery.Skipped)))
	page.number("walnut_recovery_cut_bytes", "Bytes of an unfinished tail that opening the store cut.", float64(s.Recovery.Log.CutBytes))
	page.number("walnut_commits_total", "Commits written.", float64(s.Appends))
	page.number("walnut_commit_bytes_total", "Bytes of the commits written, encoded.", float64(s.AppendedBytes))
	page.number("walnut_written_bytes_total", "Bytes that the commits written take in the log.", float64(s.WrittenBytes))
	page.number("walnut_writes_total", "Writes to the log.", float64(s.Writes))
	page.number("walnut_syncs_total", "Syncs of the log that made commits durable.", float64(s.Syncs))
	page.number("walnut_slow_syncs_total", "Syncs that were slow.", float64(s.SlowSyncs))
	page.number("walnut_rolls_total", "Segments that were full.", float64(s.Rolls))
	page.number("walnut_checkpoints_total", "Checkpoints taken.", float64(s.Checkpoints.Taken))
	page.number("walnut_checkpoint_failures_total", "Checkpoints that failed.", float64(s.Checkpoints.Failed))
	page.number("walnut_index_rebuilds_total", "Indexes that were found wrong and rebuilt.", float64(s.IndexRebuilds))
	page.histogram("walnut_sync_seconds", "How long syncs of the log took.", s.SyncLatency.spread, 10, 35, second) // 1 µs to 34 s.
	page.histogram("walnut_commit_seconds", "How long commits took from call to acknowledgement, by a sample.",
		s.CommitLatency.spread, 10, 35, second)
	page.histogram("walnut_clone_seconds", "How long writers took to give readers their own state, by a sample.",
		s.CloneLatency.spread, 6, 24, second) // 64 ns to 17 ms.
	page.histogram("walnut_group_commits", "Commits that one sync made durable.", s.GroupSize.spread, 0, 12, 1)
	_, err := w.Write(page.Bytes())
	return err
}

// metricsPage is Prometheus text in the making.
type metricsPage struct{ bytes.Buffer }

func (p *metricsPage) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// number writes a gauge, or a counter where the name says so.
func (p *metricsPage) number(name, help string, value float64) {
	kind := "gauge"
	if strings.HasSuffix(name, "_total") {
		kind = "counter"
	}
	p.head(name, kind, help)
	fmt.Fprintf(p, "%s %s\n", name, metricNumber(value))
}

// histogram writes buckets whose bounds are 1<<from to 1<<to. unit is how many of what was recorded make one of what is shown.
func (p *metricsPage) histogram(name, help string, spread histogram.Snapshot, from, to int, unit float64) {
	p.head(name, "histogram", help)
	for power := from; power <= to; power++ {
		bound := metricNumber(float64(uint64(1)<<power) / unit)
		fmt.Fprintf(p, "%s_bucket{le=\"%s\"} %d\n", name, bound, spread.AtMost(power))
	}
	fmt.Fprintf(p, "%s_bucket{le=\"+Inf\"} %d\n", name, spread.Count)
	fmt.Fprintf(p, "%s_sum %s\n", name, metricNumber(float64(spread.Sum)/unit))
	fmt.Fprintf(p, "%s_count %d\n", name, spread.Count)
}

// metricNumber writes whole numbers, up to what a float64 holds exactly, without an exponent.
func metricNumber(value float64) string {
	if whole := int64(value); float64(whole) == value && whole < 1<<53 {
		return strconv.FormatInt(whole, 10)
	}
	return strconv.FormatFloat(value, 'g', -1, 64)
}
