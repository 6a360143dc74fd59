package main

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOnlyTheOwnerCanConnectToTheSocket has a umask that leaves everybody everything. The mode is right from the first moment on: it is
// that before the name is changed to it.
func TestOnlyTheOwnerCanConnectToTheSocket(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "sock")
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error { return socket.Control(limitSocket) }}
	early, err := config.Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	requireMode(t, os.ModeSocket|0o600, path)
	require.NoError(t, early.Close())

	listener, err := listenUnix(path)
	require.NoError(t, err)
	requireMode(t, os.ModeSocket|0o600, path)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, listener.Close())
}

func requireMode(t *testing.T, want os.FileMode, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, want, info.Mode(), path)
}
