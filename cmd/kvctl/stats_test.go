package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestStatsShowEverythingARecoveryDid(t *testing.T) {
	stats := kv.Stats{Keys: 3, Failed: kv.ErrFailed}
	stats.Recovery.Replayed, stats.Recovery.Elapsed = 5, 1500*time.Millisecond
	log := &stats.Recovery.Log
	log.CutBytes, log.CutPath, log.CutPosition, log.QuarantinePath = 77, "wal/1.store", 4096, "quarantine/x"
	log.ReloggedBytes, log.RebuiltIndexes, log.Removed = 99, []string{"wal/1.index"}, []string{"wal/2.store"}
	stats.Recovery.Snapshot, stats.Recovery.Loaded, stats.Recovery.Removed = "snapshot/8.snap", 444, []string{"snapshot/9.snap.tmp"}
	stats.Recovery.Skipped = []kv.SkippedSnapshot{{Path: "snapshot/9.snap", Err: kv.ErrCorrupt}}
	var out bytes.Buffer
	require.NoError(t, writeStats(&out, stats))
	for _, want := range []string{
		"77 bytes of wal/1.store at position 4096", "quarantine/x", "99 bytes", "wal/1.index", "wal/2.store",
		"5 commits", "1.5s", "444 pairs of snapshot/8.snap", "snapshot/9.snap: " + kv.ErrCorrupt.Error(), "wal/2.store, snapshot/9.snap.tmp", kv.ErrFailed.Error(),
	} {
		require.Contains(t, out.String(), want)
	}
}

func TestStatsShowWhatWasMeasuredAndNothingThatWasNot(t *testing.T) {
	shown := func(stats kv.Stats) string {
		var out bytes.Buffer
		require.NoError(t, writeStats(&out, stats))
		return out.String()
	}
	quiet := shown(kv.Stats{FreeBytes: -1})
	for _, unwanted := range []string{"p50", "free bytes", "failed"} {
		require.NotContains(t, quiet, unwanted)
	}
	latency := kv.Latency{Count: 9, P50: 1, P90: 2 * time.Microsecond, P99: 3 * time.Millisecond, P999: 4 * time.Second, Max: time.Minute}
	busy := shown(kv.Stats{
		FreeBytes: 2048, Commits: 11, CommitBytes: 220, WrittenBytes: 440, Writes: 5, Syncs: 6, SlowSyncs: 1, Rolls: 2, IndexRebuilds: 3,
		OpenViews: 4, OldestView: time.Hour, SyncLatency: latency, CommitLatency: latency, CloneLatency: latency,
		GroupCommits: kv.Sizes{Count: 6, Mean: 1.25, P50: 1, P90: 2, P99: 3, P999: 4, Max: 5},
	})
	for _, want := range []string{
		"2048 (2.0 KiB)", "11 commits of 220 bytes, written as 440", "5 writes, 6 syncs (1 slow), 2 rolls, 3 indexes rebuilt",
		"4 open, the oldest for 1h0m0s", "mean 1.2, p50 1, p90 2, p99 3, p99.9 4, max 5",
	} {
		require.Contains(t, busy, want)
	}
	require.Equal(t, 3, strings.Count(busy, "p50 1ns, p90 2µs, p99 3ms, p99.9 4s, max 1m0s (9 measured)"))
}

func TestStatsShowWhatAStartWouldReplayAndTheOutcomeOfCheckpoints(t *testing.T) {
	for _, c := range []struct {
		name  string
		stats kv.CheckpointStats
		want  []string
	}{
		{
			"nothing yet",
			kv.CheckpointStats{LogBytes: 2048, Due: 1 << 20},
			[]string{`^snapshots +0$`, `to replay +2048 \(2.0 KiB\); a checkpoint is due at 1048576 \(1.0 MiB\)$`},
		},
		{"none by itself", kv.CheckpointStats{Due: math.MaxInt64}, []string{`to replay +0; no checkpoint starts by itself$`}},
		{
			"some taken, the last one failed",
			kv.CheckpointStats{Snapshots: 2, SnapshotBytes: 300, Offset: 77, Taken: 5, Failed: 1, Last: time.Second, Err: kv.ErrNoSpace},
			[]string{
				`^snapshots +2, 300, the newest as of offset 77$`, `^  checkpoints +5 taken, 1 failures, the last in 1s$`,
				`^  last failure +` + kv.ErrNoSpace.Error() + `$`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, writeStats(&out, kv.Stats{Checkpoints: c.stats}))
			for _, want := range c.want {
				require.Regexp(t, `(?m)`+want, out.String())
			}
		})
	}
}

func TestSizesAreShownInTheUnitThatFits(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0", 1023: "1023", 1024: "1024 (1.0 KiB)", 1536: "1536 (1.5 KiB)", 5 << 20: "5242880 (5.0 MiB)",
		3 << 40: "3298534883328 (3.0 TiB)", 5000 << 40: "5497558138880000 (5000.0 TiB)",
	} {
		require.Equal(t, want, withUnit(bytes))
	}
}
