package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// checkpointFlags say what a checkpoint keeps, and how.
type checkpointFlags struct {
	keep        int
	archive     string
	compression choice
}

func newCheckpoint(a *app) *cobra.Command {
	flags := checkpointFlags{compression: newCompression()}
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Write a snapshot, then truncate the log before it",
		Long: `checkpoint writes a snapshot of everything in the store, so that the next start
needs only the log after it, and prints the snapshot's offset. If nothing was
committed since the newest snapshot, it writes none. Then it removes the oldest
snapshots, all but --keep of them, and truncates the log up to the oldest one
left, in whole segments.

With --archive, the truncated segments are kept in a directory, for a restore to
any moment. If the store has an archive already, use its directory: without
--archive the log stays as it is, and a warning says so.

A failure leaves the snapshots and the log as they were. A program that has the
store open takes its checkpoints itself.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store checkpoint
  kvctl --dir store put user:2 Grace
  kvctl --dir store checkpoint --keep 1 --archive archive -o json
  kvctl --dir store snapshot ls`,
		Args: asUsed,
	}
	cmd.Flags().IntVar(&flags.keep, "keep", kv.DefaultSnapshotsKept, "the number of snapshots to leave")
	cmd.Flags().StringVar(&flags.archive, "archive", "", "where to keep truncated segments (default nowhere)")
	addCompression(cmd, &flags.compression)
	completeDirectory(cmd, "archive")
	cmd.PreRunE = notEmpty("archive")
	cmd.RunE = a.starts(func([]string) error { return a.checkpoint(flags) })
	return cmd
}

func (a *app) checkpoint(flags checkpointFlags) error {
	if flags.keep < 1 {
		return usagef("checkpoint: --keep %d: want 1 or more", flags.keep)
	}
	compression, err := flags.compression.compression()
	if err != nil {
		return err
	}
	if err := a.mustExist("checkpoint"); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	err = a.withStoreUntil(ctx, forWriting, func(db *kv.DB) error {
		bar := a.newTaskBar("checkpoint", -1, nil)
		offset, err := db.Checkpoint(ctx)
		bar.finish()
		if err != nil {
			return err
		}
		a.done = fmt.Sprintf("the checkpoint is done, as of offset %d", offset)
		return a.printOffset(offset)
	}, func(opts *kv.Options) {
		opts.SnapshotsKept, opts.ArchiveDir, opts.SnapshotCompression = flags.keep, flags.archive, compression
	})
	if whyEnded(ctx, err) == errInterrupted {
		return fmt.Errorf("checkpoint: %w; the snapshots and the log that were there are in force", errInterrupted)
	}
	return err
}

// printOffset writes an offset as the whole of a command's output.
func (a *app) printOffset(offset uint64) error {
	return a.printResult(offset, struct {
		Kind   string `json:"kind"`
		Offset uint64 `json:"offset"`
	}{kindResult, offset})
}

// newCompression returns the choice of the compression of snapshots and backups.
func newCompression() choice { return newChoice("s2", "zstd", "none") }

func (c choice) compression() (kv.Compression, error) {
	compression, err := kv.ParseCompression(c.value)
	if err != nil {
		return 0, usageError{err}
	}
	return compression, nil
}

// addCompression adds the flag for the compression.
func addCompression(cmd *cobra.Command, compression *choice) {
	cmd.Flags().Var(compression, "compression", "the compression: s2 is fast, zstd smaller")
	completeWords(cmd, "compression", compression.allowed...)
}
