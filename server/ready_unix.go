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

// hasInput reports whether a connection has something to read, its end included. It doesn't wait. Of one that is no socket it says no.
func hasInput(conn net.Conn) (has bool) {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn }) // One with TLS, for example.
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
			has = !errors.Is(err, syscall.EAGAIN)
			return true
		})
	}
	return has || err != nil
}
