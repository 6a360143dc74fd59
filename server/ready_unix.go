//go:build unix

package server

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// readyReader reads from a socket into memory that it asks for only when there are bytes to read, so that an idle connection has none.
type readyReader struct {
	raw    syscall.RawConn
	memory func() []byte // Called again for each attempt.
	unused func()        // Called when there was nothing to read.
	n      int
	err    error
	try    func(fd uintptr) bool // The method, bound once.
}

// newReadyReader returns one for a connection that is a socket, nil for any other, such as one with TLS.
func newReadyReader(from io.Reader, memory func() []byte, unused func()) *readyReader {
	socket, ok := from.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	r := &readyReader{raw: raw, memory: memory, unused: unused}
	r.try = r.read
	return r
}

// Read waits for bytes and reads them into what memory returns.
func (r *readyReader) Read() (n int, err error) {
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	return r.n, r.err
}

// read tries to read, and reports whether that is the result.
func (r *readyReader) read(fd uintptr) bool {
	to := r.memory()
	for {
		r.n, r.err = syscall.Read(int(fd), to)
		switch {
		case errors.Is(r.err, syscall.EINTR):
		case errors.Is(r.err, syscall.EAGAIN):
			r.unused()
			return false
		case r.err != nil:
			r.n, r.err = 0, &net.OpError{Op: "read", Err: r.err}
			return true
		case r.n == 0:
			r.err = io.EOF
			return true
		default:
			return true
		}
	}
}

// peek returns how many bytes a connection has to read, of which it looks for one, or the error of its end. It doesn't wait. One that is no
// socket seems to have none.
func peek(conn net.Conn) (n int, err error) {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn }) // One with TLS, for example.
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, _, failed = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(failed, syscall.EAGAIN), errors.Is(failed, syscall.EINTR):
		return 0, nil
	case failed == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), failed
}
