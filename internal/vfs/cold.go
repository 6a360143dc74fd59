package vfs

import (
	"errors"
	"io"
)

// Cold returns a file system whose files for reading are open only while something is read: there may be more of them than a
// process may have open.
func Cold(fs FS) FS { return coldFS{fs} }

type coldFS struct{ FS }

func (c coldFS) OpenRead(name string) (File, error) { return coldFile{fs: c.FS, name: name}, nil }

// coldFile is a file that is opened again by each call. If it is replaced in between, no frame of it checks out.
type coldFile struct {
	File // Never set: nothing but reading is asked of it.

	fs   FS
	name string
}

func (f coldFile) Close() error { return nil }

func (f coldFile) ReadAt(p []byte, position int64) (n int, err error) {
	file, err := f.fs.OpenRead(f.name)
	if err != nil {
		return 0, err
	}
	n, err = file.ReadAt(p, position)
	if closed := file.Close(); closed != nil && (err == nil || err == io.EOF) {
		err = closed
	}
	return n, err
}

func (f coldFile) Size() (int64, error) {
	file, err := f.fs.OpenRead(f.name)
	if err != nil {
		return 0, err
	}
	size, err := file.Size()
	return size, errors.Join(err, file.Close())
}
