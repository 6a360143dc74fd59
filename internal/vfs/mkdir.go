package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// dirMaker is what MkdirAll needs of a file system.
type dirMaker interface {
	isDir(name string) (bool, error)
	mkdir(name string) error
	SyncDir(name string) error
}

// mkdirAll makes each directory durable before it creates the next one inside. So a process that dies on the way leaves at
// most the last one unsynced, and the next process syncs that one.
func mkdirAll(m dirMaker, dir string) error {
	dir = filepath.Clean(dir)
	ok, err := m.isDir(dir)
	if err == nil && !ok {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if err == nil {
		return syncFound(m, dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := mkdirAll(m, parent); err != nil {
		return err
	}
	if err := m.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return m.SyncDir(parent)
}

// syncFound syncs the name of a directory that already exists, since its creator may have died before doing so.
// A parent that this process may not read belongs to another user, and so does the durability of its names.
func syncFound(m dirMaker, dir string) error {
	err := m.SyncDir(filepath.Dir(dir))
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
