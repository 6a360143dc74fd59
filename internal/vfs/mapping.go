package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"syscall"
)

// Mapping is a part of a file in memory. An access to that memory faults if the file has become shorter, if the disk can't
// read the page, or if a store needs space that a full disk doesn't have. A fault that isn't guarded ends the process.
type Mapping interface {
	// ReadAt copies mapped bytes. Instead of faulting it returns an error that wraps ErrFault. It allocates nothing unless it
	// fails.
	io.ReaderAt
	// Bytes returns the mapped memory. Access it only within Guard, and not after Close. The memory of a Mem can't fault, so
	// the call of Bytes faults instead if any page of the mapping would. So call Bytes within Guard too, and each time.
	Bytes() []byte
	// Close ends the mapping; a second call does nothing. It must not run beside any use of the bytes.
	Close() error
}

// ErrMapUnsupported is what File.Map wraps on a platform without mappings. A caller reads the file instead.
var ErrMapUnsupported = errors.New("mapping files is not supported on this platform")

// ErrFault is what Guard and Mapping.ReadAt wrap if mapped memory can't be accessed.
var ErrFault = errors.New("mapped memory can't be accessed")

// fault is implemented by the value of a panic that is a memory fault, as debug.SetPanicOnFault describes it.
type fault interface{ Addr() uintptr }

// Guard calls access, which may use the memory of mappings, and returns its error. A fault in it becomes an error that wraps
// ErrFault; stores before the fault remain. Any other panic passes through.
func Guard(access func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case fault:
			err = fmt.Errorf("%w: fault at address %#x", ErrFault, cause.Addr())
		default:
			panic(cause)
		}
	}()
	return access()
}

// readMapped is ReadAt of a mapping with the memory data, which is nil after Close. If touch isn't nil, it is called with the
// range that is about to be read, and may fault.
func readMapped(name string, data, p []byte, off int64, touch func(off, end int64)) (n int, err error) {
	switch {
	case data == nil:
		err = fs.ErrClosed
	case off < 0:
		err = syscall.EINVAL
	case off < int64(len(data)):
		err = Guard(func() error {
			from := data[off:]
			if touch != nil {
				touch(off, off+int64(min(len(p), len(from))))
			}
			n = copy(p, from)
			return nil
		})
	}
	if err != nil {
		return 0, &fs.PathError{Op: "read mapping", Path: name, Err: fmt.Errorf("%d bytes at %d: %w", len(p), off, err)}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
