package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// Lock is a held lock.
type Lock interface {
	// Held returns an error if the lock's file was removed or replaced, by hand for example. On a file system that can't lock
	// directories, another process may hold a lock then. It costs one system call, and may be called concurrently.
	Held() error
	// Close releases the lock; a second call does nothing.
	io.Closer
}

// ErrLocked is what errors.Is finds in a *LockedError.
var ErrLocked = errors.New("locked by another process")

// LockedError names the process that holds a lock.
type LockedError struct {
	Name string
	PID  int // The holder's process id, from the lock file; 0 if the file has none or is not the holder's.
}

// Error names the lock and, if known, the process that holds it.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Name)
	}
	return fmt.Sprintf("%s is locked by process %d", e.Name, e.PID)
}

// Is reports that a LockedError is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// errLockLost is what Held returns, in an *fs.PathError.
var errLockLost = errors.New("the lock file was removed or replaced while it was locked")

// holder returns the content of a lock's file.
func holder() []byte { return append(strconv.AppendInt(nil, int64(os.Getpid()), 10), '\n') }

func lockLost(name string) error { return &fs.PathError{Op: "lock", Path: name, Err: errLockLost} }
