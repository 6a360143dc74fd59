//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestALockIsGivenBackThoughAProcessBeingStartedHasItsFile stands in for that process, which has copies of all descriptors
// until it runs its own program.
func TestALockIsGivenBackThoughAProcessBeingStartedHasItsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	held, err := lockFile(name)
	require.NoError(t, err)
	inherited, err := syscall.Dup(int(held.(*osLock).f.Fd()))
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Close(inherited)) }()
	require.NoError(t, held.Close())
	again, err := lockFile(name)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
