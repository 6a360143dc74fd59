package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// restoreFlags say what to restore besides a backup, and up to which commit.
type restoreFlags struct {
	increments  []string
	archives    []string
	toOffset    uint64
	toTime      string
	compression choice
}

// errNothingRestored is what an interrupt leaves, whenever it comes.
var errNothingRestored = fmt.Errorf("%w; nothing was restored", errInterrupted)

func newRestore(a *app) *cobra.Command {
	flags := restoreFlags{compression: newCompression()}
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Make a store from a backup, as of then or of any moment since",
		Long: `restore makes a store in --dir, which must be empty or missing, from what backup
wrote, and prints the offset of the last commit in it. It makes the store wholly
or not at all: a restore that fails leaves nothing. One that is killed leaves a
directory that no command takes for a store, and in which restore can be run
again.

To the backup it adds, in this order, the commits of increments (--increment,
once for each, the oldest first) and those of segments of the log (--archive:
the archive's directory, and the store's own directory wal if that is left). Of
a replicated store these are one node's, and the backup may be another's.
With --to-offset or --to-time it ends with that commit, or with the last one
made by that time.

A file compressed with gzip or zstd is decompressed. With - the backup is read
from standard input.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store backup monday.walnut
  kvctl --dir store put user:1 Grace
  kvctl --dir store put user:1 Oops
  kvctl --dir store backup tuesday.walnut --since 1
  kvctl --dir copy restore monday.walnut
  kvctl --dir before restore monday.walnut --increment tuesday.walnut \
    --to-offset 2
  kvctl --dir before get user:1`,
		Args: asUsed,
	}
	cmd.Flags().StringArrayVar(&flags.increments, "increment", nil, "an increment that backup --since wrote; may be repeated")
	cmd.Flags().StringArrayVar(&flags.archives, "archive", nil, "a directory with segments of the log; may be repeated")
	cmd.Flags().Uint64Var(&flags.toOffset, "to-offset", 0, "the last commit to restore (default all there are)")
	cmd.Flags().StringVar(&flags.toTime, "to-time", "", "restore the commits made up to this time, such as 2026-01-31T23:59:00Z")
	addCompression(cmd, &flags.compression)
	completeDirectory(cmd, "archive")
	completeFiles(cmd, "increment")
	cmd.PreRunE = notEmpty("to-time")
	cmd.RunE = a.starts(func(args []string) error {
		if cmd.Flags().Changed("to-offset") && cmd.Flags().Changed("to-time") {
			return usagef("restore: want --to-offset or --to-time, but not both")
		}
		if cmd.Flags().Changed("to-offset") && flags.toOffset == 0 {
			return usagef("restore: --to-offset 0: commits are numbered from 1")
		}
		return a.restore(args[0], flags)
	})
	return cmd
}

// options returns the options for kv, except for the increments.
func (f restoreFlags) options() (kv.RestoreOptions, error) {
	compression, err := f.compression.compression()
	if err != nil {
		return kv.RestoreOptions{}, err
	}
	opts := kv.RestoreOptions{Archive: f.archives, ToOffset: f.toOffset, Compression: compression}
	if f.toTime != "" {
		if opts.ToTime, err = time.Parse(time.RFC3339, f.toTime); err != nil {
			return opts, usagef("restore: --to-time %s: want a time such as 2026-01-31T23:59:00Z", shown(f.toTime))
		}
	}
	return opts, nil
}

func (a *app) restore(backup string, flags restoreFlags) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	opts, err := flags.options()
	if err != nil {
		return err
	}
	if err := areDirectories(flags.archives); err != nil {
		return fmt.Errorf("restore: --archive %w", err)
	}
	ctx, stop := interruptible()
	defer stop()
	files, err := a.openRestoreFiles(ctx, append([]string{backup}, flags.increments...))
	if err != nil {
		if whyEnded(ctx, err) == errInterrupted {
			err = errNothingRestored
		}
		return fmt.Errorf("restore: %w", err)
	}
	defer files.close()
	opts.Logger = a.logger(a.stderr)
	offset, err := a.runRestore(ctx, dir, files, opts)
	if whyEnded(ctx, err) == errInterrupted {
		return fmt.Errorf("restore: %w", errNothingRestored)
	}
	if err != nil {
		return files.explain(dir, err)
	}
	files.warnOfRest(opts.Logger)
	a.done = fmt.Sprintf("the restore is done, up to offset %d", offset)
	return a.printOffset(offset)
}

// areDirectories returns an error for the first name that isn't that of a directory.
func areDirectories(names []string) error {
	for _, name := range names {
		info, err := os.Stat(name)
		var path *fs.PathError
		switch {
		case errors.As(err, &path):
			return fmt.Errorf("%s: %w", name, path.Err)
		case !info.IsDir():
			return fmt.Errorf("%s: not a directory", name)
		}
	}
	return nil
}

// runRestore restores with a progress bar, of the bytes read or, with an archive, of the commits.
func (a *app) runRestore(ctx context.Context, dir string, files *restoreFiles, opts kv.RestoreOptions) (uint64, error) {
	if len(opts.Archive) > 0 {
		bar := a.newOpenBar()
		defer bar.finish()
		opts.Progress = bar.update
	} else {
		bar := a.newTaskBar("restore", files.size(), files.bytesRead)
		defer bar.finish()
	}
	readers := files.readers()
	opts.Increments = readers[1:]
	return kv.Restore(ctx, readers[0], dir, opts)
}

// openRestoreFiles opens the backup and the increments.
func (a *app) openRestoreFiles(ctx context.Context, names []string) (*restoreFiles, error) {
	if i := slices.Index(names, "-"); i >= 0 && slices.Contains(names[i+1:], "-") {
		return nil, usagef("standard input (-) can be only one of the files")
	}
	files := &restoreFiles{}
	for _, name := range names {
		in, err := a.openInputUntil(ctx, name)
		if err != nil {
			files.close()
			return nil, err
		}
		files.all = append(files.all, in)
	}
	return files, nil
}

// explain adds to an error of damage the name of the file, which kv read as a stream, and the command to look closer at it.
func (f *restoreFiles) explain(dir string, err error) error {
	var damage *kv.CorruptError
	if !errors.As(err, &damage) {
		return err
	}
	if damage.Path != "backup" && !strings.HasPrefix(damage.Path, "increment ") {
		return closerError{err, ""} // In an archive, for which there is no store to check.
	}
	in := f.reading.Load()
	if errors.Is(err, kv.ErrNotBackup) {
		_, why, _ := strings.Cut(damage.Err.Error(), kv.ErrNotBackup.Error()+": ")
		return fmt.Errorf("restore: %s is no backup: %s", in.name, why) // Not wrapped: nothing is damaged.
	}
	named := *damage
	named.Path = in.name
	command := ""
	if in.file != nil && !in.compressed {
		command = "kvctl snapshot verify " + shellQuote(in.name)
	}
	return closerError{fmt.Errorf("restore %s: %w", dir, &named), command}
}
