package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
)

// TemporarySuffix is what the name of a file ends with while it is being made.
const TemporarySuffix = ".tmp"

// CreateTemporary makes the file that is to get a name, under a temporary one, in place of a file that a process left there when
// it died.
func CreateTemporary(fsys FS, name string) (File, error) {
	file, err := fsys.Create(name + TemporarySuffix)
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	if err := fsys.Remove(name + TemporarySuffix); err != nil {
		return nil, err
	}
	return fsys.Create(name + TemporarySuffix)
}

// RemoveIfThere removes a file that may be gone already.
func RemoveIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// WriteAs makes a file of what is read. It gets its name, in place of one that has it, once all of it is written; if durably,
// once it is durable, and durably so.
func WriteAs(fsys FS, name string, from io.Reader, durably bool) error {
	if err := WriteTemporary(fsys, name, from, durably); err != nil {
		return err
	}
	return Publish(fsys, name, durably)
}

// WriteTemporary is the first half of WriteAs, which Publish follows. After an error what has the name is as it was.
func WriteTemporary(fsys FS, name string, from io.Reader, durably bool) error {
	file, err := CreateTemporary(fsys, name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(file, 0), from)
	if err == nil && durably {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, RemoveIfThere(fsys, name+TemporarySuffix))
	}
	return nil
}

// Publish gives a file that was written under a temporary name its own. After an error it may have it or not.
func Publish(fsys FS, name string, durably bool) error {
	if err := fsys.Rename(name+TemporarySuffix, name); err != nil {
		return errors.Join(err, RemoveIfThere(fsys, name+TemporarySuffix))
	}
	if durably {
		return fsys.SyncDir(filepath.Dir(name))
	}
	return nil
}
