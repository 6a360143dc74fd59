package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/internal/admin"
)

func newClusterBackup(a *app, flags *clusterFlags) *cobra.Command {
	var how backupFlags
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write a copy of what a node shows to a file, and print its offset",
		Long: `backup writes every pair that the node shows, as of one commit, to a file, as
kvctl backup does of a store, and prints that commit's offset. Any node will do:
offsets are the same on all.

With --since it writes an increment: only the commits after an offset, the one
that an earlier backup or increment printed, of this node or another. If the log
no longer reaches back to that offset, a whole backup is needed.

The file gets its name when it is whole and durable; until then it is FILE.tmp.
backup replaces a file only with --force. With - the bytes go to standard
output, and the offset to standard error. It may take longer than --timeout.`,
		Example: `  kvctl cluster backup monday.walnut
  kvctl cluster backup tuesday.walnut --since 1`,
		Args: asUsed,
	}
	cmd.Flags().Uint64Var(&how.since, "since", 0, "only the commits after this offset, as an increment")
	cmd.Flags().BoolVar(&how.force, "force", false, "replace the file if there is one")
	cmd.RunE = a.starts(func(args []string) error {
		how.increment = cmd.Flags().Changed("since")
		return a.clusterBackup(flags, args[0], how)
	})
	return cmd
}

func (a *app) clusterBackup(flags *clusterFlags, name string, how backupFlags) error {
	if err := a.refuseTarget(name); err != nil {
		return err
	}
	client, err := a.client(flags)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	b := &backup{app: a, ctx: ctx, flags: how, name: name}
	b.take = func(to io.Writer) (uint64, error) {
		if how.increment {
			return client.Backup(ctx, to, &how.since)
		}
		return client.Backup(ctx, to, nil)
	}
	return whyNoBackup(ctx, explained(b.run()))
}

func newClusterRestore(a *app, flags *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Make the pairs of the cluster those of a backup",
		Long: `restore makes the pairs of the running cluster those of a backup, of this
cluster or of any store, and prints how many it has put and deleted. Ask the
node that leads: the others refuse, and say which one that is.

It writes the difference as commits. So readers see it happen, and what is
written meanwhile may stay or not: stop the writers first. Where it breaks off a
part is done; run it again to go on.

A file compressed with gzip or zstd is decompressed. With - the backup is read
from standard input. For increments, or to restore to a moment, make a store of
them with kvctl restore, and a backup of that. It may take longer than
--timeout.`,
		Example: `  kvctl cluster backup monday.walnut
  kvctl cluster restore monday.walnut`,
		Args:    asUsed,
		PreRunE: notEmpty("admin"),
		RunE:    a.starts(func(args []string) error { return a.clusterRestore(flags, args[0]) }),
	}
}

func (a *app) clusterRestore(flags *clusterFlags, name string) error {
	client, err := a.client(flags)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	done, err := a.sendBackup(ctx, client, name)
	if whyEnded(ctx, err) == errInterrupted {
		return fmt.Errorf("cluster restore: %w; a part may be done", errInterrupted)
	}
	if err != nil {
		return fmt.Errorf("cluster restore: %w", explained(err))
	}
	return a.printRestored(done)
}

// sendBackup sends a file, or standard input, with a progress bar of the bytes read.
func (a *app) sendBackup(ctx context.Context, client *admin.Client, name string) (admin.Result, error) {
	files, err := a.openRestoreFiles(ctx, []string{name})
	if err != nil {
		return admin.Result{}, err
	}
	defer files.close()
	bar := a.newTaskBar("restore", files.size(), files.bytesRead)
	defer bar.finish()
	return client.Restore(ctx, files.readers()[0])
}

func (a *app) printRestored(r admin.Result) error {
	a.done = "the restore is done"
	if a.wantsJSON() {
		return a.printJSON(r)
	}
	count := func(n *uint64) uint64 {
		if n == nil {
			return 0
		}
		return *n
	}
	_, err := fmt.Fprintf(a.stdout, "puts     %d\ndeletes  %d\n", count(r.Puts), count(r.Deletes))
	return err
}
