package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newSnapshotPrune(a *app) *cobra.Command {
	var keep int
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the oldest snapshots and print their paths",
		Long: `prune removes the oldest snapshots, all but --keep of them, and prints their
paths. It leaves damaged ones alone and doesn't count them. The log stays as it
is: the next checkpoint truncates it.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store checkpoint
  kvctl --dir store put user:2 Grace
  kvctl --dir store checkpoint
  kvctl --dir store snapshot prune --keep 1`,
		Args: asUsed,
	}
	cmd.Flags().IntVar(&keep, "keep", kv.DefaultSnapshotsKept, "the number of snapshots to leave")
	cmd.PreRunE = notEmpty()
	cmd.RunE = a.starts(func([]string) error {
		if keep < 1 {
			return usagef("snapshot prune: --keep %d: want 1 or more", keep)
		}
		return a.pruneSnapshots(keep)
	})
	return cmd
}

func (a *app) pruneSnapshots(keep int) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	if err := a.mustExist("snapshot prune"); err != nil {
		return err
	}
	opts, err := a.options(forWriting, a.stderr)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	removed, err := kv.PruneSnapshots(ctx, dir, keep, opts)
	if len(removed) > 0 && err == nil {
		a.done = fmt.Sprintf("the removal of %d %s is done", len(removed), plural(len(removed), "snapshot"))
	}
	// The removed paths are printed even if prune failed after removing them.
	for _, path := range removed {
		if err := a.printRemoved(path); err != nil {
			return err
		}
	}
	return err
}

func (a *app) printRemoved(path string) error {
	if a.wantsJSON() {
		return a.printJSON(struct {
			Kind string `json:"kind"`
			Path string `json:"path"`
		}{kindRemoved, path})
	}
	_, err := fmt.Fprintln(a.stdout, path)
	return err
}
