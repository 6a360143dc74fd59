package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// lockedByte is the high half of the position of the one byte that is locked. It is far past the file's end, since nothing
// else could read a byte that is locked, and the file names the holder.
const lockedByte = 1 << 30

// osLock holds a file open and a byte of it locked. The system releases both when the process ends. While the file is open
// nothing can remove or rename it, or move its directory, so the lock can't be lost.
type osLock struct {
	name string
	file *os.File // nil once it is closed.
	info fs.FileInfo
}

func lockFile(name string) (Lock, error) {
	file, err := openHandle(name, os.O_RDWR|os.O_CREATE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE,
		windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		return nil, err
	}
	l := &osLock{name: name, file: file}
	if l.info, err = file.Stat(); err == nil && !l.info.Mode().IsRegular() {
		err = &fs.PathError{Op: "lock", Path: name, Err: errNotRegular}
	}
	if err == nil {
		err = lockByte(file)
	}
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return nil, errors.Join(&LockedError{Name: name, PID: readHolder(file)}, file.Close())
	}
	if err == nil {
		if err = writeHolder(file); err != nil {
			err = fmt.Errorf("write the holder into %s: %w", name, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func lockByte(file *os.File) error {
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(file.Fd()), how, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
	if err != nil {
		return &fs.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return nil
}

func (l *osLock) Held() error {
	found, err := os.Lstat(l.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(found, l.info) {
		return lockLost(l.name)
	}
	return err
}

// Close closes the file, which releases the lock.
func (l *osLock) Close() error {
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
