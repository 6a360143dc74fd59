package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"syscall"
)

// Mapping is a part of a file in memory. Touching that memory can fault: where the file has become shorter, where the disk
// can't read a page, and where a store needs space that a full disk doesn't have. An unguarded fault ends the process.
type Mapping interface {
	// ReadAt copies mapped bytes. It never faults: the error wraps ErrFault instead. It allocates nothing unless it fails.
	io.ReaderAt
	// Bytes is the mapped memory. Touch it only within Guard, and not once Close has been called. In a Mem, whose memory
	// can't fault, the call of Bytes faults where any mapped page would: so make that call within Guard too, each time.
	Bytes() []byte
	// Close ends the mapping; a second call does nothing. It must not run beside any use of the bytes.
	Close() error
}

// ErrMapUnsupported is what File.Map wraps on a platform without mappings. A caller reads the file instead.
var ErrMapUnsupported = errors.New("mapping files is not supported on this platform")

// ErrFault is what a Mapping's ReadAt and Guard wrap where mapped memory can't be accessed.
var ErrFault = errors.New("mapped memory can't be accessed")

// fault is what the runtime panics with when memory can't be accessed, if debug.SetPanicOnFault is on.
type fault interface{ Addr() uintptr }

// Guard calls access, which touches memory of mappings, and turns a fault in it into an error that wraps ErrFault. What
// access had stored before the fault stays. Any other panic goes on.
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

// readMapped is ReadAt of a mapping whose memory is data, nil once the mapping is closed. Before it reads it calls touch,
// unless that is nil, with the range that it is about to read.
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
