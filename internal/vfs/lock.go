package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// Lock is a lock that is held.
type Lock interface {
	// Held returns an error if the lock's file is gone or is another one than when the lock was taken: somebody removed or
	// replaced it by hand. Then nothing says any more that the directory is in use, and on a file system that can't lock
	// directories another process may have taken the lock. It costs one system call, and may be called concurrently.
	Held() error
	// Close releases the lock; a second call does nothing.
	io.Closer
}

// ErrLocked is what a *LockedError is, for errors.Is.
var ErrLocked = errors.New("locked by another process")

// LockedError names the process that holds a lock.
type LockedError struct {
	Name string
	PID  int // The holder, as the lock file has it; 0 if that can't be read or the file isn't the holder's.
}

// Error names the lock and, where it is known, the process that holds it.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Name)
	}
	return fmt.Sprintf("%s is locked by process %d", e.Name, e.PID)
}

// Is reports that a LockedError is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// errLockLost is what Held returns.
var errLockLost = errors.New("the lock file was removed or replaced while it was locked")

// holder is what a lock's file holds.
func holder() []byte { return append(strconv.AppendInt(nil, int64(os.Getpid()), 10), '\n') }

func lockLost(name string) error { return &fs.PathError{Op: "lock", Path: name, Err: errLockLost} }
