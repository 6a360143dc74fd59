package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// syncFile is fdatasync. It leaves out the inode's times, which are of no use after a power cut.
func syncFile(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) { syncErr = untilDone(func() error { return syscall.Fdatasync(int(fd)) }) })
	if err == nil && syncErr != nil {
		err = &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: syncErr}
	}
	return err
}

// untilDone repeats a system call while signals interrupt it.
func untilDone(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Reserve is fallocate, or Allocate if the file system has no fallocate.
func (f *osFile) Reserve(size int64) error {
	old, err := f.Size()
	if err != nil || old >= size {
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var reserveErr error
	err = conn.Control(func(fd uintptr) {
		reserveErr = untilDone(func() error { return syscall.Fallocate(int(fd), 0, old, size-old) })
	})
	switch {
	case errors.Is(reserveErr, syscall.EOPNOTSUPP), errors.Is(reserveErr, syscall.ENOSYS):
		return f.Allocate(size)
	case reserveErr != nil:
		// Give back what it reserved before it failed, so that the length is the old one.
		return errors.Join(&fs.PathError{Op: "fallocate", Path: f.Name(), Err: reserveErr}, f.Truncate(old))
	}
	return err
}
