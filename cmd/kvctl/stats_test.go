package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestStatsTellEverythingARecoveryDid(t *testing.T) {
	stats := kv.Stats{Keys: 3, Failed: kv.ErrFailed}
	stats.Recovery.Replayed, stats.Recovery.Elapsed = 5, 1500*time.Millisecond
	log := &stats.Recovery.Log
	log.CutBytes, log.CutPath, log.CutPosition, log.QuarantinePath = 77, "wal/1.store", 4096, "quarantine/x"
	log.ReloggedBytes, log.RebuiltIndexes, log.Removed, log.Truncated = 99, []string{"wal/1.index"}, []string{"wal/2.store"}, true
	var out bytes.Buffer
	require.NoError(t, writeStats(&out, stats))
	for _, want := range []string{
		"77 bytes of wal/1.store at position 4096", "quarantine/x", "99 bytes", "wal/1.index", "wal/2.store", "truncation",
		"5 commits", "1.5s", kv.ErrFailed.Error(),
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
		FreeBytes: 2048, Appends: 11, AppendedBytes: 220, WrittenBytes: 440, Writes: 5, Syncs: 6, SlowSyncs: 1, Rolls: 2, IndexRebuilds: 3,
		OpenSnapshots: 4, OldestSnapshot: time.Hour, SyncLatency: latency, CommitLatency: latency, CloneLatency: latency,
		GroupSize: kv.Sizes{Count: 6, Mean: 1.25, P50: 1, P90: 2, P99: 3, P999: 4, Max: 5},
	})
	for _, want := range []string{
		"2048 (2.0 KiB)", "11 commits of 220 bytes, written as 440", "5 writes, 6 syncs (1 slow), 2 rolls, 3 indexes rebuilt",
		"4 open, the oldest for 1h0m0s", "mean 1.2, p50 1, p90 2, p99 3, p99.9 4, max 5",
	} {
		require.Contains(t, busy, want)
	}
	require.Equal(t, 3, strings.Count(busy, "p50 1ns, p90 2µs, p99 3ms, p99.9 4s, max 1m0s (9 measured)"))
}

func TestSizesAreShownInTheUnitThatFits(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0", 1023: "1023", 1024: "1024 (1.0 KiB)", 1536: "1536 (1.5 KiB)", 5 << 20: "5242880 (5.0 MiB)",
		3 << 40: "3298534883328 (3.0 TiB)", 5000 << 40: "5497558138880000 (5000.0 TiB)",
	} {
		require.Equal(t, want, withUnit(bytes))
	}
}
