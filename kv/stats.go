package kv

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
	"github.com/walnutkv/walnut/wal"
)

// Stats are a store's numbers at one moment. Counters, latencies and sizes count from Open. They marshal to JSON, for programs and
// for expvar, and WritePrometheus writes them as Prometheus text. Dashboards read both, so names in them stay.
type Stats struct {
	Keys      int    `json:"keys"`       // Pairs that readers see.
	DataBytes int64  `json:"data_bytes"` // Bytes of the keys and values of all pairs, expired ones included.
	Deadlines int    `json:"deadlines"`  // Those of them that have a deadline.
	Expired   int    `json:"expired"`    // Pairs whose deadline has passed and that are not deleted yet; in snapshots they are as well.
	Swept     uint64 `json:"swept"`      // Expired pairs that the store has deleted by itself.

	Checksum Checksum `json:"checksum"` // Of all pairs as of Visible, expired ones included.

	First   uint64 `json:"first"`   // The first offset that the log holds; one more than the last where it holds none.
	Durable uint64 `json:"durable"` // The last offset that no power cut can take.
	Visible uint64 `json:"visible"` // The last offset that readers see.

	OpenViews  int           `json:"open_views"` // Views and ReadViews that are open, each of which keeps memory from being freed.
	OldestView time.Duration `json:"-"`          // The age of the oldest of them, 0 where there is none.

	Segments  int   `json:"segments"`   // Segments of the log.
	DiskBytes int64 `json:"disk_bytes"` // Bytes that the log takes on disk.
	FreeBytes int64 `json:"free_bytes"` // Bytes that the log's file system has left; -1 where the system doesn't say, and in memory.

	Commits       uint64 `json:"commits"`        // Commits written.
	CommitBytes   uint64 `json:"commit_bytes"`   // Their bytes, encoded.
	WrittenBytes  uint64 `json:"written_bytes"`  // Their bytes in the log's files, with what the log puts around them.
	Writes        uint64 `json:"writes"`         // Writes to the log's files; where records go through a mapping there are none.
	Syncs         uint64 `json:"syncs"`          // Syncs of the log's files that made commits durable.
	SlowSyncs     uint64 `json:"slow_syncs"`     // Those of them that took Options.SlowSync or longer.
	Rolls         uint64 `json:"rolls"`          // Segments that were full, so that a new one was begun.
	IndexRebuilds uint64 `json:"index_rebuilds"` // Indexes of the log that were found wrong and rebuilt.

	SyncLatency   Latency `json:"sync_seconds"`   // How long each of Syncs took: the disk's share of a commit.
	GroupCommits  Sizes   `json:"group_commits"`  // How many commits each of Syncs made durable.
	CommitLatency Latency `json:"commit_seconds"` // From the call to its return, an Update's function included; a sample (see Latency).
	CloneLatency  Latency `json:"clone_seconds"`  // How long writers took to give readers their own state; a sample as well.

	LastBackup  time.Time       `json:"-"` // When the last Backup or BackupSince ended that succeeded; zero if there was none since Open.
	Checkpoints CheckpointStats `json:"-"`

	FollowLag FollowLag `json:"-"` // How far a follower lags.

	Recovery Recovery `json:"-"` // What Open found and did.
	Failed   error    `json:"-"` // Why the store takes no more commits, or no longer follows; nil where it does.
}

// Latency says how long something took. P50 is what half of all took at most, P90 nine in ten, and so on; they are at most an
// eighth off. Of what is only sampled, the first 1000 are measured, and of the rest one in 16, by chance. Each one measured stands for
// those since the one before it, so that Count counts all.
type Latency struct {
	Count                          uint64
	Mean, P50, P90, P99, P999, Max time.Duration

	spread histogram.Snapshot // In nanoseconds.
}

// Sizes says how large something was, with names as in Latency.
type Sizes struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p999"`
	Max   int64   `json:"max"`

	spread histogram.Snapshot
}

func newLatency(spread histogram.Snapshot) Latency {
	quantile := func(share float64) time.Duration { return time.Duration(spread.Quantile(share)) }
	return Latency{
		Count: spread.Count, Mean: time.Duration(spread.Mean()), P50: quantile(0.5), P90: quantile(0.9), P99: quantile(0.99),
		P999: quantile(0.999), Max: time.Duration(spread.Max), spread: spread,
	}
}

func newSizes(spread histogram.Snapshot) Sizes {
	return Sizes{
		Count: spread.Count, Mean: spread.Mean(), P50: spread.Quantile(0.5), P90: spread.Quantile(0.9), P99: spread.Quantile(0.99),
		P999: spread.Quantile(0.999), Max: spread.Max, spread: spread,
	}
}

// Stats returns the store's numbers. It waits for no commit and no transaction, so it may be called anywhere, also inside
// an Update. It takes time in proportion to Expired, which is little as a rule. Of a closed store only Recovery is set.
func (db *DB) Stats() Stats {
	stats := Stats{Recovery: db.recovery}
	visible := db.visible.load()
	if visible == nil {
		return stats
	}
	now := db.now()
	stats.Expired, stats.Swept = visible.expired(now), db.sweeper.swept.Load()
	stats.Deadlines = visible.deadlines.len() - stats.Expired
	stats.Keys, stats.DataBytes, stats.Visible = visible.tree.len()-stats.Expired, visible.dataBytes, visible.offset
	stats.Checksum = Checksum(visible.sum)
	stats.OpenViews, stats.OldestView = db.views.open(now)
	stats.CommitLatency, stats.CloneLatency = newLatency(db.commits.snapshot()), newLatency(db.visible.clones.snapshot())
	db.follow.countSnapshots()
	stats.Checkpoints, stats.LastBackup = db.checkpoints.read(), deadlineTime(db.backedUp.Load())
	stats.takeLog(db.log.Stats())
	if err := stats.Checkpoints.Err; stats.Failed == nil && errors.Is(err, ErrFailed) {
		stats.Failed = err // The lock is lost.
	}
	var ended error
	if stats.FollowLag, ended = db.follow.lag(); ended != nil {
		stats.Failed = ended
	}
	return stats
}

// takeLog sets the numbers that the log knows.
func (stats *Stats) takeLog(log wal.Stats) {
	stats.First, stats.Durable, stats.Failed = log.First, log.Durable, log.Failed
	stats.Segments, stats.DiskBytes, stats.FreeBytes = log.Segments, log.Bytes, log.FreeBytes
	stats.Commits, stats.CommitBytes, stats.WrittenBytes = log.Appends, log.AppendedBytes, log.WrittenBytes
	stats.Writes, stats.Syncs, stats.SlowSyncs = log.Writes, log.Syncs, log.SlowSyncs
	stats.Rolls, stats.IndexRebuilds = log.Rolls, log.IndexRebuilds
	stats.SyncLatency, stats.GroupCommits = newLatency(log.SyncLatency), newSizes(log.GroupSize)
}

// MarshalJSON returns the numbers as one object. Sizes are in bytes, durations in seconds, as the names say; what is not
// known, and a size at which nothing ever happens, is -1; times are in seconds of Unix time, 0 where there is none; an error is its
// text, and empty where there is none.
func (s Stats) MarshalJSON() ([]byte, error) {
	type numbers Stats // Without this method.
	c := s.Checkpoints
	checkpoints := checkpointsJSON{
		Snapshots: c.Snapshots, SnapshotBytes: c.SnapshotBytes, Offset: c.Offset, LogBytes: c.LogBytes, DueBytes: c.Due,
		Taken: c.Taken, Failed: c.Failed, LastSeconds: c.Last.Seconds(),
		LastTimestamp: unixSeconds(c.LastTime), Error: errorText(c.Err),
	}
	if c.Due == math.MaxInt64 {
		checkpoints.DueBytes = -1
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // A page that embeds the object escapes it.
	err := encoder.Encode(struct {
		numbers
		OldestViewSeconds float64         `json:"oldest_view_seconds"`
		FollowLag         followLagJSON   `json:"follow_lag"`
		LastBackup        float64         `json:"last_backup_timestamp_seconds"`
		Checkpoints       checkpointsJSON `json:"checkpoints"`
		Failed            string          `json:"failed"`
		Recovery          recoveryJSON    `json:"recovery"`
	}{
		numbers(s), s.OldestView.Seconds(),
		followLagJSON{s.FollowLag.Commits, s.FollowLag.Age.Seconds()},
		unixSeconds(s.LastBackup), checkpoints, errorText(s.Failed), newRecoveryJSON(s.Recovery),
	})
	return out.Bytes(), err
}

// MarshalJSON returns the numbers as Stats has them, in seconds.
func (l Latency) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count uint64  `json:"count"`
		Mean  float64 `json:"mean"`
		P50   float64 `json:"p50"`
		P90   float64 `json:"p90"`
		P99   float64 `json:"p99"`
		P999  float64 `json:"p999"`
		Max   float64 `json:"max"`
	}{l.Count, l.Mean.Seconds(), l.P50.Seconds(), l.P90.Seconds(), l.P99.Seconds(), l.P999.Seconds(), l.Max.Seconds()})
}

type followLagJSON struct {
	Commits    uint64  `json:"commits"`
	AgeSeconds float64 `json:"age_seconds"`
}

type checkpointsJSON struct {
	Snapshots     int     `json:"snapshots"`
	SnapshotBytes int64   `json:"snapshot_bytes"`
	Offset        uint64  `json:"offset"`
	LogBytes      int64   `json:"log_bytes"`
	DueBytes      int64   `json:"due_bytes"` // -1 where no checkpoint starts by itself.
	Taken         uint64  `json:"taken"`
	Failed        uint64  `json:"failed"`
	LastSeconds   float64 `json:"last_seconds"`
	LastTimestamp float64 `json:"last_timestamp_seconds"`
	Error         string  `json:"error"`
}

type recoveryJSON struct {
	Outcome        string        `json:"outcome"`
	First          uint64        `json:"first"`
	Last           uint64        `json:"last"`
	Segments       int           `json:"segments"`
	CutBytes       int64         `json:"cut_bytes"`
	CutPath        string        `json:"cut_path"`
	CutPosition    int64         `json:"cut_position"`
	QuarantinePath string        `json:"quarantine_path"`
	ReloggedBytes  int64         `json:"relogged_bytes"`
	RebuiltIndexes []string      `json:"rebuilt_indexes"`
	Removed        []string      `json:"removed"`
	Snapshot       string        `json:"snapshot"`
	Loaded         int           `json:"loaded"`
	Skipped        []skippedJSON `json:"skipped"`
	Replayed       uint64        `json:"replayed"`
	Keys           int           `json:"keys"`
	LogSeconds     float64       `json:"log_seconds"`
	ElapsedSeconds float64       `json:"elapsed_seconds"`
}

type skippedJSON struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func newRecoveryJSON(r Recovery) recoveryJSON {
	skipped := []skippedJSON{}
	for _, s := range r.Skipped {
		skipped = append(skipped, skippedJSON{Path: s.Path, Error: errorText(s.Err)})
	}
	return recoveryJSON{
		Outcome: r.Log.Outcome.String(), First: r.Log.First, Last: r.Log.Last, Segments: r.Log.Segments,
		CutBytes: r.Log.CutBytes, CutPath: r.Log.CutPath, CutPosition: r.Log.CutPosition,
		QuarantinePath: r.Log.QuarantinePath, ReloggedBytes: r.Log.ReloggedBytes,
		// Programs get an empty list, never null.
		RebuiltIndexes: append([]string{}, r.Log.RebuiltIndexes...), Removed: append(append([]string{}, r.Log.Removed...), r.Removed...),
		Snapshot: r.Snapshot, Loaded: r.Loaded, Skipped: skipped,
		Replayed: r.Replayed, Keys: r.Keys,
		LogSeconds: r.Log.Elapsed.Seconds(), ElapsedSeconds: r.Elapsed.Seconds(),
	}
}
