//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockTries bounds how often a lock is tried if its file is removed each time just before it is locked.
const lockTries = 10

// osLock holds a flock of a file and a flock of the file's directory while both are open. A flock belongs to the open file and
// not to the process, so a second Lock in the same process fails too.
//
// The file's lock alone would be lost with its name: after the file was removed by hand, the next process would create and
// lock a new one. A directory with a store in it isn't removed as easily. The directory's lock alone would not do either:
// some file systems (NFS) lock only files, and the file names the process.
type osLock struct {
	name    string
	file    *os.File
	info    fs.FileInfo // Of the file that was locked.
	dir     *os.File    // nil where the file system can't lock a directory.
	dirInfo fs.FileInfo // Of the directory; nil as well.
}

func lockFile(name string) (Lock, error) {
	l, err := untilHeld(func() (*osLock, error) { return takeLock(name) })
	if err != nil {
		return nil, err
	}
	if err = l.refuseOthersFile(); err == nil {
		err = writeHolder(l.file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the holder into %s: %w", name, err), l.Close())
	}
	return l, nil
}

// errNotLock is the error of a lock whose file is somebody else's under another name.
var errNotLock = errors.New("the file has another name, too, and contains what no lock has written: remove this name")

// refuseOthersFile refuses a file with two names that contains anything but a process id, which would be overwritten. A file with one
// name is in nobody's way, and may contain whatever a power cut left.
func (l *osLock) refuseOthersFile() error {
	stat, ok := l.info.Sys().(*syscall.Stat_t)
	if !ok || stat.Nlink < 2 || l.info.Size() == 0 {
		return nil
	}
	if pid := readHolder(l.file); pid == 0 || l.info.Size() != int64(len(holderText(pid))) {
		return errNotLock
	}
	return nil
}

// untilHeld takes a lock again if its file was removed or replaced between being opened and being locked.
func untilHeld(take func() (*osLock, error)) (*osLock, error) {
	for try := 1; ; try++ {
		l, err := take()
		if err != nil {
			return nil, err
		}
		lost := l.isStill(os.Lstat, l.name, l.info)
		if lost == nil {
			return l, nil
		}
		if err := l.Close(); err != nil || try == lockTries {
			return nil, errors.Join(lost, err)
		}
	}
}

// takeLock locks a file and its directory. It creates the file if it is missing.
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

// lockDir locks the directory, if the file system can. If the directory is locked already, the file isn't the holder's, since
// it was free.
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
	l.dirInfo, err = dir.Stat()
	return err
}

func (l *osLock) Held() error {
	if l.dirInfo != nil {
		return l.isStill(os.Stat, filepath.Dir(l.name), l.dirInfo)
	}
	return l.isStill(os.Lstat, l.name, l.info)
}

// isStill returns an error unless a name stands for what was locked.
func (l *osLock) isStill(stat func(string) (fs.FileInfo, error), name string, locked fs.FileInfo) error {
	found, err := stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(found, locked) {
		return lockLost(l.name)
	}
	return err
}

func (l *osLock) Close() error {
	var errs []error
	for _, f := range []*os.File{l.dir, l.file} {
		if f != nil {
			// Close alone releases the lock only if no copy of the descriptor is left. A child process has copies between fork
			// and exec, and would keep the next writer out until then.
			errs = append(errs, syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
		}
	}
	l.dir, l.file = nil, nil
	return errors.Join(errs...)
}

// flock locks a file or a directory. If it is locked already, errors.Is finds syscall.EWOULDBLOCK.
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
