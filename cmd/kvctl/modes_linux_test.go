package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatIsWrittenIsForTheOwnerAlone tries umasks that give everybody everything, and take from the owner.
func TestWhatIsWrittenIsForTheOwnerAlone(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			work := t.TempDir()
			defer syscall.Umask(syscall.Umask(mask))
			backup := filepath.Join(work, "backup")
			file, err := createBackupFile(backup, false)
			require.NoError(t, err)
			requireMode(t, 0o600, backup+".tmp")
			require.NoError(t, file.keep())
			requireMode(t, 0o600, backup)

			require.NoError(t, os.Chmod(backup, 0o644))
			file, err = createBackupFile(backup, true)
			require.NoError(t, err)
			require.NoError(t, file.keep())
			requireMode(t, 0o600, backup)
		})
	}
	work := t.TempDir()
	defer syscall.Umask(syscall.Umask(0))
	made, err := takeEmptyDir(filepath.Join(work, "crashes"))
	require.NoError(t, err)
	require.True(t, made)
	requireMode(t, os.ModeDir|0o700, filepath.Join(work, "crashes"))
}

// TestABackupFollowsNoLinkAtItsTemporaryName has one that somebody else has put there.
func TestABackupFollowsNoLinkAtItsTemporaryName(t *testing.T) {
	work := t.TempDir()
	precious, backup := filepath.Join(work, "precious"), filepath.Join(work, "backup")
	require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))
	require.NoError(t, os.Symlink(precious, backup+".tmp"))
	_, err := createBackupFile(backup, false)
	require.ErrorContains(t, err, "another backup is writing")
	require.NoError(t, os.Symlink(precious, backup))
	_, err = createBackupFile(backup, false)
	require.ErrorContains(t, err, "exists already")
	file, err := createBackupFile(backup, true)
	require.NoError(t, err)
	_, err = file.Write([]byte("data"))
	require.NoError(t, err)
	require.NoError(t, file.keep())
	requireMode(t, 0o600, backup)
	text, err := os.ReadFile(precious)
	require.NoError(t, err)
	require.Equal(t, "precious", string(text))
}
