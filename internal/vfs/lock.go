package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Lock is a held lock.
type Lock interface {
	// Held returns an error once another process could take the lock, and ErrLockLost if that is certain: the directory was
	// moved, removed or replaced, by hand for example. On a file system that can't lock directories, removing or replacing the
	// lock's file is enough. It costs one system call, and may be called concurrently.
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

// ErrLockLost is what Held returns, in an *fs.PathError.
var ErrLockLost = errors.New("the lock is lost: its file or directory was moved, removed or replaced")

// holder returns the content of a lock's file.
func holder() []byte { return holderText(os.Getpid()) }

func holderText(pid int) []byte { return append(strconv.AppendInt(nil, int64(pid), 10), '\n') }

func lockLost(name string) error { return &fs.PathError{Op: "lock", Path: name, Err: ErrLockLost} }

// writeHolder overwrites the file with the process id, which takes no further space if it held one before. On a disk too full
// for it the file stays empty, since the lock doesn't depend on it.
func writeHolder(f *os.File) error {
	n, err := f.WriteAt(holder(), 0)
	if IsNoSpace(err) {
		n, err = 0, nil
	}
	return errors.Join(err, f.Truncate(int64(n)))
}

// readHolder returns 0 if the holder hasn't written its process id yet or the file contains something else.
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
