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

// TestAFileThatIsTooLongForAStoreIsRefused has a file with a hole, which takes no space on the disk and hours to read.
func TestAFileThatIsTooLongForAStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	require.NoError(t, err)
	_, err = l.Append([]byte("record"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	path := filepath.Join(dir, storeName(1))
	require.NoError(t, checkSize(path, MaxSegmentSize+2*MaxRecordSizeLimit), "more than the longest that there can be")
	if err := os.Truncate(path, 4<<40); err != nil {
		t.Skipf("making a file with a hole: %v", err)
	}
	for _, opts := range []Options{{}, {ReadOnly: true}, {ReadOnly: true, Follow: true}} {
		_, err = Open(dir, opts)
		requireCorrupt(t, err, path)
	}
	_, err = OpenArchive(Options{}, dir)
	requireCorrupt(t, err, path)
	violations, err := Check(dir, Options{})
	require.NoError(t, err)
	require.Len(t, violations, 1)
	require.True(t, violations[0].Damage)
	s, err := OpenSalvage(dir, Options{})
	require.NoError(t, err)
	_, err = s.Fix()
	require.NoError(t, err)
	require.NoError(t, s.Close())
}
