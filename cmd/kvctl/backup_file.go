package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// backupFile is the file that a backup is written to.
//
// Invariant: a regular file has its final name only once it is whole and durable. Until then it has a temporary name. A
// backup that finds that name taken gives up, so that two backups can't write to one file. A pipe or a device is written to
// directly.
type backupFile struct {
	*os.File
	path      string
	temporary string      // "" if path is written to directly.
	created   fs.FileInfo // Of the temporary file, which is closed before it is renamed.
	force     bool
}

// createBackupFile creates the temporary file. It refuses a final name that is taken, unless force is set.
func createBackupFile(path string, force bool) (*backupFile, error) {
	b := &backupFile{path: path, force: force}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		b.File, err = os.OpenFile(path, os.O_WRONLY, 0)
		return b, b.named(err)
	}
	if err := b.mayTake(); err != nil {
		return nil, err
	}
	b.temporary = path + ".tmp"
	var err error
	b.File, err = b.create()
	if errors.Is(err, fs.ErrExist) && force {
		if err := os.Remove(b.temporary); err != nil {
			return nil, b.named(err)
		}
		b.File, err = b.create()
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("another backup is writing %s, or one was killed; --force starts afresh", b.path)
	}
	if err == nil {
		b.created, err = b.Stat()
	}
	return b, b.named(err)
}

// Write writes to the file.
func (b *backupFile) Write(data []byte) (int, error) {
	n, err := b.File.Write(data)
	return n, b.named(err)
}

// named gives an error the file's final name in place of the temporary one, of which the user knows nothing.
func (b *backupFile) named(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &link):
		return &fs.PathError{Op: link.Op, Path: b.path, Err: link.Err}
	case errors.As(err, &path) && path.Path == b.temporary:
		return &fs.PathError{Op: path.Op, Path: b.path, Err: path.Err}
	}
	return err
}

func (b *backupFile) create() (*os.File, error) {
	const mode = 0o600
	file, err := os.OpenFile(b.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err == nil {
		_ = file.Chmod(mode) // A umask may have taken the owner's access; a file system without modes takes none.
	}
	return file, err
}

// mayTake returns an error if the final name can't be taken.
func (b *backupFile) mayTake() error {
	info, err := os.Lstat(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", b.path)
	case !b.force:
		return fmt.Errorf("%s exists already; --force replaces it", b.path)
	}
	return nil
}

// keep makes the file durable, and gives it its name.
func (b *backupFile) keep() error { return b.named(b.rename()) }

func (b *backupFile) rename() error {
	if b.temporary == "" {
		return b.Close()
	}
	if err := b.Sync(); err != nil {
		return err
	}
	if err := errors.Join(b.isOurs(), b.mayTake()); err != nil {
		return err
	}
	if err := b.Close(); err != nil {
		return err
	}
	if err := os.Rename(b.temporary, b.path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(b.path))
}

// isOurs returns an error if the temporary name is no longer that of the written file.
func (b *backupFile) isOurs() error {
	named, err := os.Lstat(b.temporary)
	if err != nil {
		return err
	}
	if !os.SameFile(named, b.created) {
		return fmt.Errorf("another backup took over the writing of %s", b.path)
	}
	return nil
}

// discard removes the written file. If that fails, the file keeps its temporary name.
func (b *backupFile) discard() {
	if b.temporary != "" && b.isOurs() == nil {
		_ = os.Remove(b.temporary)
	}
	_ = b.Close()
}

// refuseWithin refuses to replace a file inside a directory, such as one of the log of the store that is backed up.
func refuseWithin(dir, path string) error {
	if _, err := os.Lstat(path); err != nil {
		return nil // There is nothing to replace, or that is met again.
	}
	root, err := os.Stat(dir)
	if err != nil {
		return err
	}
	parent, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		parent, err = filepath.EvalSymlinks(parent)
	}
	if err != nil {
		return err
	}
	for {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		if os.SameFile(root, info) {
			return fmt.Errorf("%s is a file in the store itself; name one elsewhere", path)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
		parent = filepath.Dir(parent)
	}
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
