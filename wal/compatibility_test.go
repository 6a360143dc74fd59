package wal

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var update = flag.Bool("update", false, "write testdata/v1 anew, which only version 1 of the format may do")

// v1 says what is in testdata/v1: a log that format version 1 wrote. It must never change, and every later version must
// open it.
var v1 = struct {
	dir         string
	first, last uint64
}{dir: "testdata/v1", first: 29, last: 75}

// writeV1 writes that log: two segments, a third that was truncated in front of them, marks of every kind, and a clean
// close.
func writeV1(t *testing.T) {
	t.Helper()
	require.EqualValues(t, 1, storeVersion, "another version's log goes into another directory")
	require.NoError(t, os.RemoveAll(v1.dir))
	opts := testOptions(vfs.OS)
	l, err := Open(v1.dir, opts)
	require.NoError(t, err)
	fill(t, l, 40)
	require.NoError(t, l.Close())
	l, err = Open(v1.dir, opts)
	require.NoError(t, err)
	fill(t, l, 70)
	require.NoError(t, l.TruncateFront(30))
	fill(t, l, v1.last)
	l.submitMu.Lock()
	require.NoError(t, l.mark())
	l.submitMu.Unlock()
	require.NoError(t, l.Close())
}

// TestVersion1IsStillRead opens what version 1 wrote, as it is and after a copy of it was written to.
func TestVersion1IsStillRead(t *testing.T) {
	if *update {
		writeV1(t)
	}
	opts := testOptions(vfs.OS)
	violations, err := Check(v1.dir, opts)
	require.NoError(t, err)
	require.Empty(t, violations)
	l, err := Open(v1.dir, readOnly(opts))
	require.NoError(t, err)
	require.Equal(t, Clean, l.Recovery().Outcome)
	require.Len(t, l.Segments(), 2)
	requireRecords(t, l, v1.first, v1.last)
	require.NoError(t, l.Close())

	dir := filepath.Join(t.TempDir(), "v1")
	require.NoError(t, os.CopyFS(dir, os.DirFS(v1.dir)))
	l, err = Open(dir, opts)
	require.NoError(t, err)
	require.Empty(t, l.Recovery().RebuiltIndexes)
	fill(t, l, v1.last+50)
	requireRecords(t, l, v1.first, v1.last+50)
	require.NoError(t, l.Close())
}
