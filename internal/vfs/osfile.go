package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// zeros is what Allocate writes, in chunks of at most this size. It is never changed.
//
// A larger chunk would make later syncs slower. Linux caches the bytes of one write as one large folio, and each later write
// and sync of a few bytes in it visits all of its pages: after chunks of 1 MiB they take a sixth longer
// (BenchmarkOSWriteAndSync).
var zeros [64 << 10]byte

// osFile is an open file of the operating system. The methods that it doesn't define are those of *os.File, which repeats a
// system call that a signal interrupted.
type osFile struct {
	*os.File
	readOnly bool
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) HasName(name string) (bool, error) {
	own, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(own, named), err
}

// Allocate writes zeros instead of asking for space with fallocate. Blocks that have been written once need no change of
// metadata when they are written again, so each later Sync is one write to the disk and not two.
func (f *osFile) Allocate(size int64) error {
	old, err := f.Size()
	if err != nil {
		return err
	}
	for off := old; off < size; {
		n, err := f.WriteAt(zeros[:min(size-off, int64(len(zeros)))], off)
		if err != nil {
			err = fmt.Errorf("allocate %d bytes after %d: %w", size-old, old, err)
			return errors.Join(err, f.Truncate(old))
		}
		off += int64(n)
	}
	return nil
}

// Sync is fdatasync, on systems that have it.
func (f *osFile) Sync() error { return syncFile(f.File) }

func (f *osFile) Map(size int64) (Mapping, error) { return f.mapAs(size, f.readOnly) }

func (f *osFile) MapRead(size int64) (Mapping, error) { return f.mapAs(size, true) }

func (f *osFile) mapAs(size int64, readOnly bool) (Mapping, error) {
	length, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size <= 0 || size > length {
		err := fmt.Errorf("%d bytes of %d: %w", size, length, syscall.EINVAL)
		return nil, &fs.PathError{Op: "map", Path: f.Name(), Err: err}
	}
	m, err := mapFile(f.File, size, readOnly)
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: f.Name(), Err: err}
	}
	return m, nil
}
