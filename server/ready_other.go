//go:build !unix

package server

import (
	"io"
	"net"
)

// readyReader can't be had on this system.
type readyReader struct{}

func newReadyReader(io.Reader, func() []byte, func()) *readyReader { return nil }

// Read is never called.
func (*readyReader) Read() (n int, err error) { return 0, io.EOF }

// peek says that there is nothing.
func peek(net.Conn) (n int, err error) { return 0, nil }
