package main

import (
	"bytes"
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
	require.NoError(t, newStatsJSON(stats).writeTable(&out))
	for _, want := range []string{
		"77 bytes of wal/1.store at position 4096", "quarantine/x", "99 bytes", "wal/1.index", "wal/2.store", "truncation",
		"5 commits", "1.5s", kv.ErrFailed.Error(),
	} {
		require.Contains(t, out.String(), want)
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
