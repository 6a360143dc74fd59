package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newStats(a *app) *cobra.Command {
	var flags statsFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what the store holds and what its last recovery did",
		Long: `stats shows a store's numbers: its pairs, the offsets it holds, the space it
takes, and what opening it finds.

It reads the snapshot and the log that an opening would load and replay, and
changes nothing on disk: an unfinished tail reported as cut is left out here,
and cut off by the next command that writes. Numbers counted since the store was
opened, such as syncs, are zero here. A program that writes shows them under the
same names, by way of kv.Stats.

With --watch it shows them again and again, beside a live writer, until it is
interrupted: on a terminal in place of the last ones, elsewhere after them.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store stats
  kvctl --dir store stats -o json
  kvctl --dir store stats --prometheus`,
		Args: asUsed,
		RunE: a.starts(func([]string) error {
			switch {
			case flags.prometheus && a.wantsJSON():
				return usagef("stats: want --prometheus or --output json, but not both")
			case flags.prometheus && flags.watch:
				return usagef("stats: want --prometheus or --watch, but not both")
			case flags.every <= 0:
				return usagef("stats: --every %v: want more than 0", flags.every)
			case flags.watch:
				return a.watchStats(flags.every)
			}
			return a.withView(func(ctx context.Context, v view) error {
				stats, err := v.Stats(ctx)
				if err != nil {
					return err
				}
				return a.printStats(stats, flags.prometheus)
			})
		}),
	}
	cmd.Flags().BoolVar(&flags.prometheus, "prometheus", false, "write Prometheus' text format")
	cmd.Flags().BoolVar(&flags.watch, "watch", false, "show the numbers again and again")
	cmd.Flags().DurationVar(&flags.every, "every", 2*time.Second, "how often --watch shows them")
	return cmd
}

// statsFlags say how to show the numbers.
type statsFlags struct {
	prometheus, watch bool
	every             time.Duration
}

// watchStats follows the store's writer until an interrupt.
func (a *app) watchStats(every time.Duration) error {
	const clearScreen = "\x1b[H\x1b[2J\x1b[3J"
	ctx, stop := interruptible()
	defer stop()
	follow := func(o *kv.Options) { o.Follow = true }
	err := a.withStoreUntil(ctx, forReading, func(db *kv.DB) error {
		next := time.NewTicker(every)
		defer next.Stop()
		for {
			stats := db.Stats()
			if a.toTerminal && !a.wantsJSON() {
				fmt.Fprint(a.stdout, clearScreen)
			}
			if err := errors.Join(a.printStats(stats, false), a.stdout.Flush()); err != nil {
				return err
			}
			if stats.Failed != nil {
				return fmt.Errorf("stats: %w", stats.Failed)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-next.C:
			}
		}
	}, follow)
	if whyEnded(ctx, err) == errInterrupted {
		return nil // It was interrupted while it opened the store.
	}
	return err
}

func (a *app) printStats(stats kv.Stats, prometheus bool) error {
	switch {
	case prometheus:
		return stats.WritePrometheus(a.stdout)
	case a.wantsJSON():
		return a.printStatsJSON(stats)
	}
	return writeStats(a.stdout, stats)
}

// printStatsJSON writes the numbers as kv.Stats has them, and their kind.
func (a *app) printStatsJSON(stats kv.Stats) error {
	object, err := marshalJSON(stats)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "{\"kind\":%q,%s\n", kindStats, object[1:])
	return err
}

// row adds a line to a table: a name and a text.
type row func(name, format string, args ...any)

// writeStats writes the numbers for people.
func writeStats(w io.Writer, s kv.Stats) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	add := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	add("keys", "%d", s.Keys)
	if s.Expired > 0 {
		add("  expired", "%d", s.Expired)
	}
	add("data bytes", "%s", withUnit(s.DataBytes))
	add("checksum", "%v", s.Checksum)
	add("offsets", "first %d, durable %d, visible %d", s.First, s.Durable, s.Visible)
	add("segments", "%d", s.Segments)
	add("disk bytes", "%s", withUnit(s.DiskBytes))
	if s.FreeBytes >= 0 {
		add("free bytes", "%s", withUnit(s.FreeBytes))
	}
	writeCheckpoints(add, s.Checkpoints)
	writeActivity(add, s)
	if s.Failed != nil {
		add("failed", "%v", s.Failed)
	}
	writeRecovery(add, s.Recovery)
	return table.Flush()
}

// writeCheckpoints writes which snapshots a start could use, and how much log it would replay.
func writeCheckpoints(add row, c kv.CheckpointStats) {
	if c.Snapshots == 0 {
		add("snapshots", "0")
	} else {
		add("snapshots", "%d, %s, the newest as of offset %d", c.Snapshots, withUnit(c.SnapshotBytes), c.Offset)
	}
	due := "no checkpoint starts by itself"
	if c.Due != math.MaxInt64 {
		due = "a checkpoint is due at " + withUnit(c.Due)
	}
	add("  to replay", "%s; %s", withUnit(c.LogBytes), due)
}

// writeActivity writes what has happened since the store was opened, with details only if there are any.
func writeActivity(add row, s kv.Stats) {
	add("since opened", "%d commits of %d bytes, written as %d", s.Commits, s.CommitBytes, s.WrittenBytes)
	add("  log", "%d writes, %d syncs (%d slow), %d rolls, %d indexes rebuilt", s.Writes, s.Syncs, s.SlowSyncs, s.Rolls, s.IndexRebuilds)
	add("  checkpoints", "%d taken, %d failures, the last in %v", s.Checkpoints.Taken, s.Checkpoints.Failed, shortTime(s.Checkpoints.Last))
	if s.Checkpoints.Err != nil {
		add("  last failure", "%v", s.Checkpoints.Err)
	}
	add("  views", "%d open, the oldest for %v", s.OpenViews, s.OldestView.Round(time.Millisecond))
	writeLatency(add, "  sync", s.SyncLatency)
	writeLatency(add, "  commit", s.CommitLatency)
	writeLatency(add, "  clone", s.CloneLatency)
	if size := s.GroupCommits; size.Count > 0 {
		add("  commits a sync", "mean %.1f, p50 %d, p90 %d, p99 %d, p99.9 %d, max %d", size.Mean, size.P50, size.P90, size.P99, size.P999, size.Max)
	}
}

func writeLatency(add row, name string, l kv.Latency) {
	if l.Count > 0 {
		add(name, "p50 %v, p90 %v, p99 %v, p99.9 %v, max %v (%d measured)", l.P50, l.P90, l.P99, l.P999, l.Max, l.Count)
	}
}

func writeRecovery(add row, r kv.Recovery) {
	counted := func(count int, noun string) string { return fmt.Sprint(count, " ", plural(count, noun)) }
	add("last recovery", "%s: %s, offsets %d to %d", r.Log.Outcome, counted(r.Log.Segments, "segment"), r.Log.First, r.Log.Last)
	if r.Snapshot == "" {
		add("  loaded", "no snapshot")
	} else {
		add("  loaded", "%s of %s", counted(int(r.Loaded), "pair"), r.Snapshot)
	}
	for _, skipped := range r.Skipped {
		add("  skipped", "%s: %v", skipped.Path, skipped.Err)
	}
	add("  replayed", "%s, %s, in %v (log %v)", counted(int(r.Replayed), "commit"), counted(int(r.Keys), "key"), shortTime(r.Elapsed),
		shortTime(r.Log.Elapsed))
	if r.Log.CutBytes > 0 {
		add("  cut", "%d bytes of %s at position %d", r.Log.CutBytes, r.Log.CutPath, r.Log.CutPosition)
	}
	if r.Log.QuarantinePath != "" {
		add("  kept", "%s", r.Log.QuarantinePath)
	}
	if r.Log.ReloggedBytes > 0 {
		add("  logged again", "%d bytes", r.Log.ReloggedBytes)
	}
	if len(r.Log.RebuiltIndexes) > 0 {
		add("  rebuilt", "%s", strings.Join(r.Log.RebuiltIndexes, ", "))
	}
	if removed := slices.Concat(r.Log.Removed, r.Removed); len(removed) > 0 {
		add("  removed", "%s", strings.Join(removed, ", "))
	}
}

// withUnit returns a number of bytes, followed by the same in a larger unit if there is one.
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

func shortTime(elapsed time.Duration) time.Duration { return elapsed.Round(10 * time.Microsecond) }
