package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// backupFlags say what to back up, and how.
type backupFlags struct {
	since       uint64
	increment   bool // Only the commits after since.
	force       bool
	compression choice
}

func newBackup(a *app) *cobra.Command {
	flags := backupFlags{compression: newCompression()}
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write a copy of the store to a file, and print its offset",
		Long: `backup writes every pair, as of one commit, to a file, and prints that commit's
offset. It works beside a live writer. restore makes a store from the file, and
snapshot verify reads every byte of it.

With --since it writes an increment: only the commits after an offset, the one
that an earlier backup or increment printed. restore takes it with --increment.
If the log no longer reaches back to that offset, a whole backup is needed.

The file gets its name when it is whole and durable; until then it is FILE.tmp.
backup replaces a file only with --force, and never one in the store's own
directory. With - the bytes go to standard output, and the offset to standard
error.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store backup monday.walnut
  kvctl --dir store put user:2 Grace
  kvctl --dir store backup tuesday.walnut --since 1
  kvctl --dir store backup - --compression zstd > copy.walnut
  kvctl snapshot verify monday.walnut tuesday.walnut`,
		Args: asUsed,
	}
	cmd.Flags().Uint64Var(&flags.since, "since", 0, "only the commits after this offset, as an increment")
	cmd.Flags().BoolVar(&flags.force, "force", false, "replace the file if there is one")
	addCompression(cmd, &flags.compression)
	cmd.RunE = a.starts(func(args []string) error {
		flags.increment = cmd.Flags().Changed("since")
		return a.backup(args[0], flags)
	})
	return cmd
}

// backup opens the store before it creates the file, so that a mistyped directory leaves no file.
func (a *app) backup(name string, flags backupFlags) error {
	compression, err := flags.compression.compression()
	if err != nil {
		return err
	}
	if err := a.refuseTarget(name); err != nil {
		return err
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	err = a.withStoreUntil(ctx, forReading, func(db *kv.DB) error {
		b := &backup{app: a, ctx: ctx, flags: flags, name: name}
		b.take = func(to io.Writer) (uint64, error) {
			if flags.increment {
				return db.BackupSince(ctx, to, flags.since)
			}
			return db.Backup(ctx, to)
		}
		if err := refuseWithin(dir, name); name != "-" && err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		return b.run()
	}, func(opts *kv.Options) { opts.SnapshotCompression = compression })
	return whyNoBackup(ctx, err)
}

// refuseTarget refuses to write a backup to a terminal, or to a file without a name.
func (a *app) refuseTarget(name string) error {
	switch {
	case name == "":
		return usagef("backup: the file's name is empty")
	case name == "-" && a.toTerminal:
		return usagef("backup: standard output is a terminal; redirect it, or name a file")
	}
	return nil
}

// whyNoBackup makes an error of a backup what the user gets.
func whyNoBackup(ctx context.Context, err error) error {
	if errors.Is(err, syscall.EPIPE) {
		// Not wrapped: half a backup is a failure even if its reader closed the pipe.
		return fmt.Errorf("backup: %v", err)
	}
	if whyEnded(ctx, err) == errInterrupted {
		return fmt.Errorf("backup: %w; no backup was made", errInterrupted)
	}
	return err
}

// backup is a backup in progress.
type backup struct {
	app   *app
	ctx   context.Context
	flags backupFlags
	name  string
	take  func(to io.Writer) (offset uint64, err error) // Writes the backup or increment.
}

// run writes it to where it is wanted.
func (b *backup) run() error {
	if b.name == "-" {
		return b.toStdout()
	}
	return b.toFile()
}

// backupJSON is the outcome of a backup as JSON output has it.
type backupJSON struct {
	Kind   string  `json:"kind"`
	Path   string  `json:"path,omitempty"` // Left out if the bytes went to standard output.
	Offset uint64  `json:"offset"`
	Since  *uint64 `json:"since,omitempty"` // Only of an increment.
	Bytes  int64   `json:"bytes"`
}

func (b *backup) toFile() error {
	file, err := b.create()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	outcome, err := b.write(&stoppable{ctx: b.ctx, out: file})
	if err == nil {
		err = file.keep()
	}
	if err != nil {
		file.discard()
		return fmt.Errorf("backup to %s: %w", b.name, err)
	}
	outcome.Path = b.name
	b.app.done = fmt.Sprintf("the backup is made, as of offset %d", outcome.Offset)
	return b.app.printResult(outcome.Offset, outcome)
}

// create creates the file. An interrupt ends it even if the file is a pipe that has no reader.
func (b *backup) create() (*backupFile, error) {
	if info, err := os.Stat(b.name); err != nil || info.Mode().Type()&fs.ModeNamedPipe == 0 {
		return createBackupFile(b.name, b.flags.force)
	}
	type created struct {
		file *backupFile
		err  error
	}
	done := make(chan created, 1)
	go func() {
		file, err := createBackupFile(b.name, b.flags.force)
		done <- created{file, err}
	}()
	select {
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	case result := <-done:
		return result.file, result.err
	}
}

// toStdout prints the outcome on standard error, since the bytes take standard output.
func (b *backup) toStdout() error {
	stdout := newOutput(&stoppable{ctx: b.ctx, out: b.app.rawStdout})
	outcome, err := b.write(stdout)
	if err == nil {
		err = stdout.Flush()
	}
	if err != nil {
		return fmt.Errorf("backup to standard output: %w", err)
	}
	beside := *b.app
	beside.stdout = newOutput(b.app.stderr)
	return errors.Join(beside.printResult(outcome.Offset, outcome), beside.stdout.Flush())
}

// write writes the backup or increment.
func (b *backup) write(to io.Writer) (backupJSON, error) {
	var written byteCount
	out := io.MultiWriter(to, &written)
	bar := b.app.newTaskBar("backup", -1, written.Load)
	defer bar.finish()
	outcome := backupJSON{Kind: kindResult}
	if b.flags.increment {
		outcome.Since = &b.flags.since
	}
	var err error
	outcome.Offset, err = b.take(out)
	outcome.Bytes = written.Load()
	return outcome, err
}
