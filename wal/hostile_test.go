package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestALinkInPlaceOfTheQuarantineIsNotFollowed has a log whose torn tail is to be kept aside.
func TestALinkInPlaceOfTheQuarantineIsNotFollowed(t *testing.T) {
	from, dir, others := t.TempDir(), t.TempDir(), t.TempDir()
	l, err := Open(from, Options{})
	require.NoError(t, err)
	_, err = l.Append([]byte("record"))
	require.NoError(t, err)
	data := must(os.ReadFile(filepath.Join(from, storeName(1))))
	require.NoError(t, l.Close())
	copy(data[len(bytes.TrimRight(data, "\x00"))+64:], "a part of a frame")
	require.NoError(t, os.WriteFile(filepath.Join(dir, storeName(1)), data, 0o600))

	require.NoError(t, os.Symlink(others, filepath.Join(dir, "quarantine")))
	_, err = Open(dir, Options{})
	require.ErrorContains(t, err, "link")
	require.Empty(t, must(os.ReadDir(others)))

	require.NoError(t, os.Remove(filepath.Join(dir, "quarantine")))
	l, err = Open(dir, Options{})
	require.NoError(t, err)
	require.Equal(t, Torn, l.Recovery().Outcome)
	require.NoError(t, l.Close())

	named := filepath.Join(t.TempDir(), "link") // One that the caller names may be a link.
	require.NoError(t, os.Symlink(others, named))
	require.NoError(t, os.WriteFile(filepath.Join(dir, storeName(1)), data, 0o600))
	l, err = Open(dir, Options{QuarantineDir: named})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Len(t, must(os.ReadDir(others)), 1)
}
