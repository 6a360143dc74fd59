package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newStats(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Show what the store holds and what its last recovery did",
		Long: `stats shows a store's numbers: its pairs, the offsets it holds, the space it takes, and what opening it found.

It opens the store for reading only, so the recovery it tells of is this opening's, which changes nothing on disk: an
unfinished tail that it reports as cut is left out here, and cut off by the next command that writes.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store stats
  kvctl --dir store stats -o json`,
		Args: cobra.NoArgs,
		RunE: a.starts(func([]string) error {
			return a.withStore(forReading, func(db *kv.DB) error {
				stats := newStatsJSON(db.Stats())
				if a.wantsJSON() {
					return a.printJSON(stats)
				}
				return stats.writeTable(a.stdout)
			})
		}),
	}
}

// statsJSON is kv.Stats as JSON output has it. Sizes are bytes, offsets and counts are numbers.
type statsJSON struct {
	Keys          int          `json:"keys"`
	DataBytes     int64        `json:"data_bytes"`
	First         uint64       `json:"first"`
	Durable       uint64       `json:"durable"`
	Visible       uint64       `json:"visible"`
	Segments      int          `json:"segments"`
	DiskBytes     int64        `json:"disk_bytes"`
	Appends       uint64       `json:"appends"`
	AppendedBytes uint64       `json:"appended_bytes"`
	Writes        uint64       `json:"writes"`
	Syncs         uint64       `json:"syncs"`
	Rolls         uint64       `json:"rolls"`
	Failed        string       `json:"failed"`
	Recovery      recoveryJSON `json:"recovery"`
}

// recoveryJSON is kv.Recovery as JSON output has it.
type recoveryJSON struct {
	Outcome        string   `json:"outcome"`
	First          uint64   `json:"first"`
	Last           uint64   `json:"last"`
	Segments       int      `json:"segments"`
	CutBytes       int64    `json:"cut_bytes"`
	CutPath        string   `json:"cut_path"`
	CutPosition    int64    `json:"cut_position"`
	QuarantinePath string   `json:"quarantine_path"`
	ReloggedBytes  int64    `json:"relogged_bytes"`
	RebuiltIndexes []string `json:"rebuilt_indexes"`
	Removed        []string `json:"removed"`
	Truncated      bool     `json:"truncated"`
	Replayed       uint64   `json:"replayed"`
	Keys           int      `json:"keys"`
	LogSeconds     float64  `json:"log_seconds"`
	ElapsedSeconds float64  `json:"elapsed_seconds"`
}

func newStatsJSON(s kv.Stats) statsJSON {
	stats := statsJSON{
		Keys: s.Keys, DataBytes: s.DataBytes, First: s.First, Durable: s.Durable, Visible: s.Visible,
		Segments: s.Segments, DiskBytes: s.DiskBytes, Appends: s.Appends, AppendedBytes: s.AppendedBytes,
		Writes: s.Writes, Syncs: s.Syncs, Rolls: s.Rolls, Recovery: newRecoveryJSON(s.Recovery),
	}
	if s.Failed != nil {
		stats.Failed = s.Failed.Error()
	}
	return stats
}

func newRecoveryJSON(r kv.Recovery) recoveryJSON {
	return recoveryJSON{
		Outcome: r.Log.Outcome.String(), First: r.Log.First, Last: r.Log.Last, Segments: r.Log.Segments,
		CutBytes: r.Log.CutBytes, CutPath: r.Log.CutPath, CutPosition: r.Log.CutPosition,
		QuarantinePath: r.Log.QuarantinePath, ReloggedBytes: r.Log.ReloggedBytes,
		// Programs get an empty list, never null.
		RebuiltIndexes: append([]string{}, r.Log.RebuiltIndexes...), Removed: append([]string{}, r.Log.Removed...),
		Truncated: r.Log.Truncated, Replayed: r.Replayed, Keys: r.Keys, LogSeconds: r.Log.Elapsed.Seconds(), ElapsedSeconds: r.Elapsed.Seconds(),
	}
}

// writeTable writes the numbers for people: a name and what it means a line.
func (s statsJSON) writeTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("keys", "%d", s.Keys)
	row("data bytes", "%s", withUnit(s.DataBytes))
	row("offsets", "first %d, durable %d, visible %d", s.First, s.Durable, s.Visible)
	row("segments", "%d", s.Segments)
	row("disk bytes", "%s", withUnit(s.DiskBytes))
	row("since opened", "%d appends of %d bytes, %d writes, %d syncs, %d rolls",
		s.Appends, s.AppendedBytes, s.Writes, s.Syncs, s.Rolls)
	if s.Failed != "" {
		row("failed", "%s", s.Failed)
	}
	s.Recovery.writeRows(row)
	return table.Flush()
}

func (r recoveryJSON) writeRows(row func(name, format string, args ...any)) {
	row("last recovery", "%s: %d segments, offsets %d to %d", r.Outcome, r.Segments, r.First, r.Last)
	row("  replayed", "%d commits, %d keys, in %v (log %v)", r.Replayed, r.Keys, shortSeconds(r.ElapsedSeconds),
		shortSeconds(r.LogSeconds))
	if r.CutBytes > 0 {
		row("  cut", "%d bytes of %s at position %d", r.CutBytes, r.CutPath, r.CutPosition)
	}
	if r.QuarantinePath != "" {
		row("  kept", "%s", r.QuarantinePath)
	}
	if r.ReloggedBytes > 0 {
		row("  logged again", "%d bytes", r.ReloggedBytes)
	}
	if len(r.RebuiltIndexes) > 0 {
		row("  rebuilt", "%s", strings.Join(r.RebuiltIndexes, ", "))
	}
	if len(r.Removed) > 0 {
		row("  removed", "%s", strings.Join(r.Removed, ", "))
	}
	if r.Truncated {
		row("  finished", "a truncation of the log's end")
	}
}

// withUnit writes a number of bytes, and what it comes to where that is easier to read.
func withUnit(bytes int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	size, unit := float64(bytes), ""
	for _, next := range units {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	if unit == "" {
		return fmt.Sprint(bytes)
	}
	return fmt.Sprintf("%d (%.1f %s)", bytes, size, unit)
}

func shortSeconds(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond)
}
