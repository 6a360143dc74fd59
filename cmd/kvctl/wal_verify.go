package main

import "github.com/spf13/cobra"

func newWalVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read every byte of the log and list what is wrong",
		Long: `verify is check for the log alone: every frame, every index, every commit, and
that no segment is missing or belongs to another log. Each finding is a line,
the last line is the summary, and damage makes the exit code 4.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store wal verify
  kvctl --dir store wal verify -o json`,
		Args: asUsed,
		RunE: a.starts(func([]string) error { return a.check("wal verify", "wal") }),
	}
}
