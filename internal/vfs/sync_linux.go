package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// syncFile is fdatasync: it leaves out the times of the inode, which nobody needs after a power cut.
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

// untilDone repeats a system call for as long as a signal interrupts it.
func untilDone(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
