package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newSnapshotVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify [OFFSET|FILE…]",
		Short: "Read every byte of snapshots or backups and list what is wrong",
		Long: `verify reads every byte of the store's snapshots, or of those named: a number
means the store's snapshot as of that offset, anything else a file, which may be
a backup. Each snapshot is a line, the last line is the summary, and damage
makes the exit code 4. A snapshot of another store among this store's counts as
damage. A file compressed with gzip or zstd must be decompressed first.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store checkpoint
  kvctl --dir store snapshot verify
  kvctl --dir store snapshot verify 1 -o json
  kvctl --dir store backup copy.walnut
  kvctl snapshot verify copy.walnut`,
		ValidArgsFunction: a.completeSnapshots,
		RunE:              a.starts(a.verifySnapshots),
	}
}

func (a *app) verifySnapshots(arguments []string) error {
	files, err := a.snapshotsOf(arguments)
	if err != nil {
		return fmt.Errorf("snapshot verify: %w", err)
	}
	ctx, stop := interruptible()
	defer stop()
	v := &verification{app: a, listed: len(arguments) == 0}
	bar := a.newTaskBar("verify", bytesOf(files), v.read.Load)
	for _, file := range files {
		v.verify(ctx, file)
	}
	bar.finish()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return v.printAll()
}

// snapshotsOf returns the snapshots that the arguments name, or all of the store's without arguments.
func (a *app) snapshotsOf(arguments []string) (files []kv.SnapshotFile, err error) {
	if len(arguments) == 0 {
		return a.snapshots()
	}
	for _, argument := range arguments {
		file, err := a.snapshotOf(argument)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func bytesOf(files []kv.SnapshotFile) (total int64) {
	for _, file := range files {
		total += file.Bytes
	}
	return total
}

// verification is the outcome of reading snapshots.
type verification struct {
	app     *app
	listed  bool         // The snapshots are from a listing of the store: a checkpoint may have removed some since.
	read    atomic.Int64 // Bytes read so far, for a progress bar in another goroutine.
	files   []verifiedJSON
	damaged []error
	failed  []error // Why other snapshots could not be read.
}

// verifiedJSON is the outcome of one snapshot as JSON output has it.
type verifiedJSON struct {
	Kind     string `json:"kind"`
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	Damage   bool   `json:"damage"`
	Position int64  `json:"position"`
	Problem  string `json:"problem"`
}

// verify reads a snapshot.
func (v *verification) verify(ctx context.Context, file kv.SnapshotFile) {
	err := file.Err
	if err == nil {
		err = kv.VerifySnapshot(ctx, file.Path, kv.Options{})
	}
	v.read.Add(file.Bytes)
	if v.listed && errors.Is(err, fs.ErrNotExist) {
		return
	}
	verified := verifiedJSON{Kind: kindVerified, Path: file.Path, Bytes: file.Bytes}
	var damage *kv.CorruptError
	var compressed compressedError
	switch {
	case errors.As(err, &compressed):
		verified.Problem = compressed.Error()
		v.failed = append(v.failed, fmt.Errorf("snapshot verify: %s: %w", file.Path, compressed))
	case errors.As(err, &damage):
		verified.Damage, verified.Position, verified.Problem = true, damage.Position, damage.Err.Error()
		v.damaged = append(v.damaged, damage)
	case err != nil:
		verified.Problem = err.Error()
		v.failed = append(v.failed, err)
	}
	v.files = append(v.files, verified)
}

// printAll lists the outcomes. Its error is damage if there was any, or else the failures.
func (v *verification) printAll() error {
	for _, file := range v.files {
		if err := v.app.printVerified(file); err != nil {
			return err
		}
	}
	if err := v.app.printVerification(len(v.files), len(v.damaged)); err != nil {
		return err
	}
	if len(v.damaged) > 0 {
		return v.damageFound()
	}
	return errors.Join(v.failed...)
}

// damageFound returns the error for damage. If the store is known, it names the command to run next.
func (v *verification) damageFound() error {
	text := fmt.Sprintf("snapshot verify: %v", v.damaged[0])
	if more := len(v.damaged) - 1; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	if _, err := v.app.dir(); err == nil {
		text += "; see whether the store needs it: " + v.app.commandLine("check")
	}
	return damageFoundError{text}
}

func (a *app) printVerified(file verifiedJSON) error {
	if a.wantsJSON() {
		return a.printJSON(file)
	}
	var err error
	switch {
	case file.Damage:
		_, err = fmt.Fprintf(a.stdout, "damage  %s at position %d: %s\n", file.Path, file.Position, file.Problem)
	case file.Problem != "":
		_, err = fmt.Fprintf(a.stdout, "failed  %s: %s\n", file.Path, file.Problem)
	default:
		_, err = fmt.Fprintf(a.stdout, "ok      %s, %s\n", file.Path, withUnit(file.Bytes))
	}
	return err
}

func (a *app) printVerification(verified, damaged int) error {
	if a.wantsJSON() {
		return a.printJSON(struct {
			Kind     string `json:"kind"`
			Verified int    `json:"verified"`
			Damaged  int    `json:"damaged"`
		}{kindCheck, verified, damaged})
	}
	_, err := fmt.Fprintf(a.stdout, "%d %s verified, %d damaged\n", verified, plural(verified, "snapshot"), damaged)
	return err
}
