package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// OS is the operating system's file system.
var OS FS = osFS{}

// Modes of what OS creates. Only the owner has access, since a store may hold anything. A umask can take from that what the owner
// needs, so it is given back.
const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
)

// errNotRegular is the error of opening a directory, a pipe or a device. Such a name in a store's directory is a mistake and
// must fail at once: opening a pipe without a writer would wait forever.
var errNotRegular = errors.New("not a regular file")

// errSymlink is the error of opening or creating a name that is a symbolic link: the file it leads to isn't the store's.
var errSymlink = errors.New("a symbolic link, which is not followed")

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	f, err := openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	return newFile(f, false, err)
}

func (osFS) Open(name string) (File, error) {
	f, err := openFile(name, os.O_RDWR)
	return newFile(f, false, err)
}

func (osFS) OpenRead(name string) (File, error) {
	f, err := openFile(name, os.O_RDONLY)
	return newFile(f, true, err)
}

func newFile(f *os.File, readOnly bool, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, readOnly: readOnly}, nil
}

// openFile opens a regular file. It doesn't follow a symbolic link, and doesn't wait for the other end of a pipe.
func openFile(name string, flag int) (*os.File, error) {
	f, err := openSystem(name, flag)
	if err != nil {
		return nil, explainSymlink(name, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	case flag&os.O_CREATE != 0 && info.Mode().Perm()&fileMode != fileMode:
		_ = f.Chmod(fileMode) // A file system that can't has no modes that would keep the owner out.
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// explainSymlink turns the error of opening a symbolic link into errSymlink. The error of the system differs between systems,
// and doesn't say it.
func explainSymlink(name string, cause error) error {
	info, err := os.Lstat(name)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return cause
	}
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: %w", errSymlink, errors.Unwrap(cause))}
}

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) Rename(oldName, newName string) error {
	if err := sameDir(oldName, newName); err != nil {
		return err
	}
	return os.Rename(oldName, newName)
}

func (osFS) Link(oldName, newName string) error { return os.Link(oldName, newName) }

// sameDir refuses a rename to another directory. Two directories would have to be synced for that, and file systems differ
// in what a power cut between the two syncs leaves.
func sameDir(oldName, newName string) error {
	if filepath.Dir(oldName) == filepath.Dir(newName) {
		return nil
	}
	return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: syscall.EXDEV}
}

// listTries is how often a directory is read whose names keep vanishing.
const listTries = 100

var errVanishing = errors.New("its files vanish while it is read")

// List reads the directory again where a name has vanished: what took its place may not be among the names, and a log whose only segment is
// left out would seem to have none.
func (osFS) List(dir string) ([]Entry, error) {
	for range listTries {
		if entries, vanished, err := list(dir); err != nil || !vanished {
			return entries, err
		}
	}
	return nil, &fs.PathError{Op: "list", Path: dir, Err: errVanishing}
}

func list(dir string) (entries []Entry, vanished bool, err error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, err
	}
	entries = make([]Entry, 0, len(found))
	for _, d := range found {
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			vanished = true
			continue
		}
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, Entry{Name: d.Name(), Dir: d.IsDir(), Size: info.Size()})
	}
	return entries, vanished, nil
}

func (f osFS) MkdirAll(dir string) error { return mkdirAll(f, dir) }

func (osFS) isDir(name string) (bool, error) {
	info, err := os.Stat(name)
	return err == nil && info.IsDir(), err
}

func (osFS) mkdir(name string) error {
	if err := os.Mkdir(name, dirMode); err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && info.IsDir() && info.Mode().Perm()&dirMode != dirMode {
		_ = os.Chmod(name, dirMode) // As for a file.
	}
	return nil
}

func (osFS) SyncDir(dir string) error { return syncDir(dir) }

func (osFS) FreeSpace(dir string) (int64, error) {
	free, err := freeSpace(dir)
	if err != nil {
		return 0, &fs.PathError{Op: "freespace", Path: dir, Err: err}
	}
	return free, nil
}

func (osFS) Lock(name string) (Lock, error) { return lockFile(name) }
