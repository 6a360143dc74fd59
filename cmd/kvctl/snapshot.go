package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// snapshotDirectory is the directory of snapshots in a store.
const snapshotDirectory = "snapshot"

func newSnapshot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Look at the store's snapshots",
		Long: `snapshot looks at the snapshots that checkpoints wrote, and at backups, which
have the same format. Only prune changes anything.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store checkpoint
  kvctl --dir store snapshot ls
  kvctl --dir store snapshot inspect 1
  kvctl --dir store snapshot verify
  kvctl --dir store snapshot prune --keep 1`,
		Args: noSuchCommand,
		RunE: whichCommand,
	}
	addTo(cmd, "", newSnapshotLs(a), newSnapshotInspect(a), newSnapshotVerify(a), newSnapshotPrune(a))
	return cmd
}

// snapshots returns the store's snapshots, those of later offsets first.
func (a *app) snapshots() ([]kv.SnapshotFile, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	return kv.Snapshots(dir, kv.Options{})
}

// snapshotOf returns the snapshot that an argument names: a number is the offset of a snapshot in the store, anything else
// the path of a file. Of a file outside the store only path and size are known, and whether it is compressed.
func (a *app) snapshotOf(argument string) (kv.SnapshotFile, error) {
	offset, err := strconv.ParseUint(argument, 10, 64)
	isOffset := err == nil
	if !isOffset && !a.isInStore(argument) {
		info, err := os.Stat(argument)
		if err != nil {
			return kv.SnapshotFile{}, err
		}
		file := kv.SnapshotFile{Path: argument, Bytes: info.Size()}
		if info.Mode().IsRegular() {
			file.Err = packedError(argument)
		}
		return file, nil
	}
	files, err := a.snapshots()
	if err != nil {
		return kv.SnapshotFile{}, err
	}
	for _, file := range files {
		if isOffset && file.Offset == offset || !isOffset && filepath.Base(file.Path) == filepath.Base(argument) {
			return file, nil
		}
	}
	return kv.SnapshotFile{}, fmt.Errorf("no snapshot %s in the store; list the snapshots: %s", argument, a.commandLine("snapshot ls"))
}

// compressedError is that of a snapshot which a program has compressed as a whole. It isn't damage, but has no places to look at.
type compressedError struct{ by string }

func (e compressedError) Error() string {
	return "compressed with " + e.by + "; decompress it first"
}

// packedError returns a compressedError for such a file. Other errors are met again by reading the file.
func packedError(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(file, magic); err != nil || compressorOf(magic) == "" {
		return nil
	}
	return compressedError{compressorOf(magic)}
}

// isInStore reports whether a path is that of a file among the store's snapshots.
func (a *app) isInStore(path string) bool {
	dir, err := a.dir()
	if err != nil {
		return false
	}
	own, ownErr := os.Stat(filepath.Join(dir, snapshotDirectory))
	parent, err := os.Stat(filepath.Dir(path))
	return errors.Join(ownErr, err) == nil && os.SameFile(own, parent)
}

// completeSnapshots offers the store's snapshots, by their offsets, and files.
func (a *app) completeSnapshots(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	files, err := a.snapshots()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var offsets []cobra.Completion
	for _, file := range files {
		offsets = append(offsets, cobra.CompletionWithDesc(strconv.FormatUint(file.Offset, 10), withUnit(file.Bytes)))
	}
	return offsets, cobra.ShellCompDirectiveDefault
}

// snapshotJSON is a snapshot as JSON output has it. Fields that its file doesn't give are left out.
type snapshotJSON struct {
	Kind        string  `json:"kind"`
	Path        string  `json:"path"`
	Bytes       int64   `json:"bytes"`
	Offset      *uint64 `json:"offset,omitempty"`
	Time        string  `json:"time,omitempty"`
	Entries     *uint64 `json:"entries,omitempty"`
	Blocks      *int    `json:"blocks,omitempty"`
	Compression string  `json:"compression,omitempty"`
	Checksum    string  `json:"checksum,omitempty"`
	Error       string  `json:"error,omitempty"`
}

func newSnapshotJSON(f kv.SnapshotFile) snapshotJSON {
	file := snapshotJSON{Kind: kindSnapshot, Path: f.Path, Bytes: f.Bytes, Offset: &f.Offset}
	if f.Err != nil {
		file.Error = f.Err.Error()
		return file
	}
	file.Time, file.Entries, file.Blocks, file.Compression = formatTime(f.Time), &f.Entries, &f.Blocks, f.Packed
	if f.Sum != 0 {
		file.Checksum = f.Sum.String()
	}
	return file
}
