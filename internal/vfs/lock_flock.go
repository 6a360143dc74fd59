//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockTries is how often a lock is tried whose file is removed each time before the lock is taken.
const lockTries = 10

// osLock holds a flock of a file, and one of the file's directory, for as long as both are open. Such a lock belongs to the
// open file, not to the process, so a second Lock in the same process fails too.
//
// A lock of the file alone would be lost with its name: after somebody removed the file by hand, the next process would
// make a new one and lock that. The directory can't be removed while a store is in it. The file is locked all the same: it
// holds the process id, and some file systems (NFS) lock only files.
type osLock struct {
	name string
	info fs.FileInfo // Of the file that was locked.
	file *os.File
	dir  *os.File // nil where the file system can't lock a directory.
}

func lockFile(name string) (Lock, error) {
	l, err := untilHeld(func() (*osLock, error) { return takeLock(name) })
	if err != nil {
		return nil, err
	}
	if err := writeHolder(l.file); err != nil {
		return nil, errors.Join(fmt.Errorf("write the holder into %s: %w", name, err), l.Close())
	}
	return l, nil
}

// untilHeld takes a lock again where its file was removed or replaced after it was opened and before it was locked.
func untilHeld(take func() (*osLock, error)) (*osLock, error) {
	for try := 1; ; try++ {
		l, err := take()
		if err != nil {
			return nil, err
		}
		lost := l.Held()
		if lost == nil {
			return l, nil
		}
		if err := l.Close(); err != nil || try == lockTries {
			return nil, errors.Join(lost, err)
		}
	}
}

// takeLock locks the file, which it makes if it is missing, and its directory.
func takeLock(name string) (*osLock, error) {
	file, err := openFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	l := &osLock{name: name, file: file}
	if l.info, err = file.Stat(); err == nil {
		err = flock(file)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = &LockedError{Name: name, PID: readHolder(file)}
	}
	if err == nil {
		err = l.lockDir()
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// lockDir locks the directory, where the file system can. If another process has locked it, the lock file isn't that one's.
func (l *osLock) lockDir() error {
	dir, err := os.Open(filepath.Dir(l.name))
	if err != nil {
		return err
	}
	switch err := flock(dir); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return errors.Join(&LockedError{Name: l.name}, dir.Close())
	case err != nil:
		return dir.Close()
	}
	l.dir = dir
	return nil
}

func (l *osLock) Held() error {
	found, err := os.Lstat(l.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(found, l.info) {
		return lockLost(l.name)
	}
	return err
}

func (l *osLock) Close() error {
	var errs []error
	for _, f := range []*os.File{l.dir, l.file} {
		if f != nil {
			// Closing alone gives the lock back only when no copy of the descriptor is left. A process that is just being
			// started has one until it runs its own program, and would keep the next writer out for that moment.
			errs = append(errs, syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
		}
	}
	l.dir, l.file = nil, nil
	return errors.Join(errs...)
}

// flock locks a file or a directory. If another open file has the lock, errors.Is finds syscall.EWOULDBLOCK.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EINTR):
			return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// writeHolder writes the process id over what the file holds, which takes no more space if it held one. Where a full disk
// refuses even that the file stays empty: the lock doesn't depend on what is in its file.
func writeHolder(f *os.File) error {
	n, err := f.WriteAt(holder(), 0)
	if IsNoSpace(err) {
		n, err = 0, nil
	}
	return errors.Join(err, f.Truncate(int64(n)))
}

// readHolder returns 0 where the holder hasn't written its process id yet, or the file has something else in it.
func readHolder(f *os.File) int {
	var text [20]byte
	n, err := f.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	line, _, _ := strings.Cut(string(text[:n]), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
