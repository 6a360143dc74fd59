package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// backupFile is where a backup is written.
//
// Invariant: a regular file has its own name only once it is whole and durable. Until then it has a temporary one, which
// nobody else has created: whoever finds that name taken gives up, so that two backups can't write to one file. What is no
// regular file, a pipe or a device, is written to directly.
type backupFile struct {
	*os.File
	path      string
	temporary string // "" where path is written to directly.
	force     bool
}

// createBackupFile makes the temporary file. A file of the final name is refused, unless it is to be replaced.
func createBackupFile(path string, force bool) (*backupFile, error) {
	b := &backupFile{path: path, force: force}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		b.File, err = os.OpenFile(path, os.O_WRONLY, 0)
		return b, err
	}
	if err := b.mayTake(); err != nil {
		return nil, err
	}
	b.temporary = path + ".tmp"
	var err error
	b.File, err = b.create()
	if errors.Is(err, fs.ErrExist) && force {
		if err := os.Remove(b.temporary); err != nil {
			return nil, err
		}
		b.File, err = b.create()
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s is there: another backup is at work, or one was killed; --force replaces it", b.temporary)
	}
	return b, err
}

func (b *backupFile) create() (*os.File, error) {
	return os.OpenFile(b.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// mayTake says why the final name can't be taken.
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
		return fmt.Errorf("%s is there already; --force replaces it", b.path)
	}
	return nil
}

// keep makes the file durable, and gives it its name.
func (b *backupFile) keep() error {
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

// isOurs makes sure that the temporary name is still that of the file which was written.
func (b *backupFile) isOurs() error {
	named, err := os.Lstat(b.temporary)
	if err != nil {
		return err
	}
	if written, err := b.Stat(); err != nil || !os.SameFile(named, written) {
		return errors.Join(fmt.Errorf("%s was replaced meanwhile", b.temporary), err)
	}
	return nil
}

// discard removes what was written. What stays where that fails has the temporary name.
func (b *backupFile) discard() {
	if b.temporary != "" && b.isOurs() == nil {
		_ = os.Remove(b.temporary)
	}
	_ = b.Close()
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
