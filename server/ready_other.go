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

// hasInput says no.
func hasInput(net.Conn) bool { return false }
