package wal

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/walnutkv/walnut/internal/vfs"
)

func joinName(dir, name string) string { return filepath.Join(dir, name) }

// createFile makes a new file under a temporary name, in place of one that a process left when it died.
func createFile(fsys vfs.FS, path string) (vfs.File, error) {
	file, err := fsys.Create(path)
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	if err := fsys.Remove(path); err != nil {
		return nil, err
	}
	return fsys.Create(path)
}

// publishName gives a finished file its final name, durably.
func publishName(fsys vfs.FS, path string) error {
	if err := fsys.Rename(path+temporarySuffix, path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// removeFile removes a file that may be gone already.
func removeFile(fsys vfs.FS, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func corrupt(path string, position int64, offset uint64, err error) error {
	return &CorruptError{Path: path, Position: position, Offset: offset, Err: err}
}
