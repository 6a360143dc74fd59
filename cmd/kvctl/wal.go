package main

import (
	"github.com/spf13/cobra"
)

func newWal(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "Look at the store's log, and repair it",
		Long: `wal looks at the store's write-ahead log: its segments, its records, and whether
every byte of it is sound. Its commands work on a damaged log. None but repair
with --apply changes anything.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store wal ls
  kvctl --dir store wal dump
  kvctl --dir store wal verify
  kvctl --dir store wal repair`,
		Args: noSuchCommand,
		RunE: whichCommand,
	}
	addTo(cmd, "", newWalLs(a), newWalDump(a), newWalVerify(a), newWalRepair(a))
	return cmd
}
