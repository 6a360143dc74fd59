package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Place is where a snapshot is, by its name alone: nothing is known of what is in the file.
type Place struct {
	Path   string
	Offset uint64
	Bytes  int64 // The file's size.
}

// List returns the snapshots in a directory, those of later offsets first, without opening them. Other names are left
// out, and a directory that doesn't exist has none. A name that can be seen may not be durable yet, where the process that
// gave it died: sync the directory before anything is removed because of it. fsys is for this module's tests; nil is
// the operating system's.
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

// list returns what is in a directory, nothing where it doesn't exist.
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

// Remove removes the snapshot as of an offset, durably. Who has it open can go on reading.
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

// RemoveTemporary removes what a Write that died has left in a directory, and returns the paths that are gone, for the
// caller to tell. It must not be called while a Write is running there.
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
			return removed, fmt.Errorf("remove an unfinished snapshot: %w", err)
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
