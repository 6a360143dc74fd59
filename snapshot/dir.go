package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Place says where a snapshot is. It comes from the name alone: the file has not been opened.
type Place struct {
	Path   string
	Offset uint64
	Bytes  int64 // The file's size.
}

// List returns the snapshots in a directory, those of later offsets first, without opening them. It leaves out other
// names, and returns none for a directory that doesn't exist. A name may not be durable yet if the process that gave it
// died: sync the directory before removing anything because of it. fsys is for this module's tests; nil means the operating
// system's.
func List(fsys vfs.FS, dir string) ([]Place, error) {
	entries, err := list(fsys, dir)
	if err != nil {
		return nil, err
	}
	var places []Place
	for _, e := range entries {
		if offset, ok := parseName(e.Name); ok && !e.Dir {
			places = append(places, Place{Path: Path(dir, offset), Offset: offset, Bytes: e.Size})
		}
	}
	slices.Reverse(places) // Names sort as their offsets do.
	return places, nil
}

// list returns the entries of a directory, none if it doesn't exist.
func list(fsys vfs.FS, dir string) ([]vfs.Entry, error) {
	entries, err := orOS(fsys).List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return entries, nil
}

// Remove removes the snapshot as of an offset, durably. An open File can still be read.
func Remove(fsys vfs.FS, dir string, offset uint64) error {
	fsys = orOS(fsys)
	if err := fsys.Remove(Path(dir, offset)); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", Path(dir, offset), err)
	}
	return nil
}

// RemoveTemporary removes what a Write that died has left in a directory, and returns the removed paths so that the caller
// can log them. It must not be called while a Write is running there.
func RemoveTemporary(fsys vfs.FS, dir string) (removed []string, err error) {
	fsys = orOS(fsys)
	entries, err := list(fsys, dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Dir || !isTemporary(e.Name) {
			continue
		}
		path := filepath.Join(dir, e.Name)
		if err := fsys.Remove(path); err != nil {
			return removed, fmt.Errorf("remove unfinished snapshot: %w", err)
		}
		removed = append(removed, path)
	}
	if len(removed) == 0 {
		return nil, nil
	}
	if err := fsys.SyncDir(dir); err != nil {
		return removed, fmt.Errorf("remove unfinished snapshots in %s: %w", dir, err)
	}
	return removed, nil
}
