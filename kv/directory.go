package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// checkDir says whether the directory holds a store, or may become one.
func checkDir(dir string, opts Options) error {
	if err := checkName(dir); err != nil {
		return err
	}
	entries, err := opts.fs.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && opts.ReadOnly:
		return fmt.Errorf("%w: %w", ErrNotStore, err)
	case err != nil:
		return ignoreMissing(err)
	}
	if err := checkReplica(entries, opts); err != nil {
		return err
	}
	foreign, store := "", false
	for _, entry := range entries {
		if entry.Name == restoringName {
			return fmt.Errorf("%w: a restore was not finished; restore again, or remove the directory", ErrNotStore)
		}
		if isOwnDir(entry.Name) && !entry.Dir { // Not damage: a repair would make another log beside the one that the link leads to.
			return fmt.Errorf("%w: %s in it is no directory, and a link to one isn't followed: move the directory there", ErrNotStore, entry.Name)
		}
		store = store || entry.Name == walName
		if entry.Name != lockName && (opts.member == nil || !isReplicas(entry.Name)) {
			foreign = entry.Name
		}
	}
	switch {
	case store:
		return nil
	case hasSnapshots(dir, opts):
		err := fmt.Errorf("the log's directory is missing, though snapshots are there: %w", errLogEnds)
		return &CorruptError{Path: filepath.Join(dir, walName), Err: err}
	case opts.ReadOnly:
		return fmt.Errorf("%w: no directory %s in it", ErrNotStore, walName)
	case foreign != "":
		return fmt.Errorf("%w: no directory %s in it, but %q", ErrNotStore, walName, foreign)
	}
	return nil
}

// hasSnapshots reports whether there are snapshots in a store's directory.
func hasSnapshots(dir string, opts Options) bool {
	places, err := newInventory(dir, opts).list()
	return err == nil && len(places) > 0
}

// checkName refuses an empty name, which is more likely a setting that is missing than the current directory.
func checkName(dir string) error {
	if dir == "" {
		return fmt.Errorf("%w: the directory's name is empty; the current directory is %q", ErrNotStore, ".")
	}
	return nil
}

// isOwn reports whether a name in a store's directory is one of the store's.
func isOwn(name string) bool {
	return isReplicas(name) || slices.Contains([]string{lockName, archiveName, walName, snapshotName, quarantineName, restoringName}, name)
}

// isOwnDir reports whether a name in a store's directory is that of a directory in which the store makes and removes files. A link in its
// place leads to files that are not the store's.
func isOwnDir(name string) bool {
	return name == walName || name == snapshotName || name == quarantineName
}

// foreignIn returns the name of something in a directory that is not the store's; empty where there is nothing.
func foreignIn(dir string, opts Options) (string, error) {
	entries, err := opts.fs.List(dir)
	i := slices.IndexFunc(entries, func(e vfs.Entry) bool { return !isOwn(e.Name) })
	if i < 0 {
		return "", ignoreMissing(err)
	}
	return entries[i].Name, nil
}

// openWAL opens the log of the store in a directory. It refuses one that ends before the newest snapshot: that snapshot's
// commits were durable in the log when it was taken, so a part of the log has been lost, cut or replaced. Nothing is made in the
// place of a log that is gone, so that it can be put back. To a reader, a log without a segment is no store. Neither is one
// that has foreign files beside it: other programs have directories of that name, too.
func openWAL(dir string, opts Options, places []snapshot.Place) (*wal.Log, error) {
	logOpts := opts.log(dir)
	foreign, err := foreignIn(dir, opts)
	if err != nil {
		return nil, err
	}
	logOpts.MustExist = len(places) > 0 || foreign != ""
	replicated, err := isReplica(dir, opts)
	if err != nil {
		return nil, err
	}
	log, err := wal.Open(filepath.Join(dir, walName), logOpts)
	isGone := errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt)
	switch {
	case isGone && len(places) > 0:
		return nil, logEnds(places[0], 0)
	case isGone && opts.ReadOnly:
		return nil, fmt.Errorf("%w: %w", ErrNotStore, err)
	case isGone && foreign != "":
		return nil, fmt.Errorf("%w: %w, but %q beside it", ErrNotStore, err, foreign)
	case err != nil || len(places) == 0 || places[0].Offset <= log.Last() || replicated: // A replica goes on from a snapshot it was sent.
		return log, err
	}
	if _, err := log.Read(places[0].Offset); !errors.Is(err, ErrOutOfRange) {
		return log, nil // It is damaged there, which reading it will say.
	}
	return nil, errors.Join(logEnds(places[0], log.Last()), log.Close())
}

func logEnds(newest snapshot.Place, last uint64) *CorruptError {
	return &CorruptError{
		Path: newest.Path, Offset: newest.Offset,
		Err: fmt.Errorf("the snapshot shows commit %d, but the log ends with %d: %w", newest.Offset, last, errLogEnds),
	}
}

var errLogEnds = errors.New("a part of the log is missing")
