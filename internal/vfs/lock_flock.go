//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// osLock holds a flock for as long as its file is open. The lock belongs to the open file, not to the process, so that
// a second Lock in the same process fails too.
type osLock struct{ f *os.File }

func lockFile(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := writeHolder(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write the holder into %s: %w", name, err), f.Close())
	}
	return &osLock{f: f}, nil
}

func (l *osLock) Close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	// Closing alone gives the lock back only when no copy of the descriptor is left. A process that this one is just starting
	// has one until it runs its own program, and would keep the next writer out for that moment.
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return &LockedError{Name: f.Name(), PID: readHolder(f)}
		}
		return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// readHolder returns 0 where the holder hasn't written its process id yet, or the file has something else in it.
func readHolder(f *os.File) int {
	var text [20]byte
	n, err := f.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
