package wal

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var update = flag.Bool("update", false, "write the test data again that this version of the format wrote")

// v2 says what is in testdata/v2: a log that format version 2 wrote. It must never change, and every later version must
// open it.
var v2 = struct {
	dir         string
	first, last uint64
}{dir: "testdata/v2", first: 29, last: 75}

// writeV2 writes that log: some segments, one before them that was truncated, an end that was cut, marks of every kind, and a
// clean close.
func writeV2(t *testing.T) {
	t.Helper()
	require.EqualValues(t, 2, storeVersion, "another version's log goes into another directory")
	require.NoError(t, os.RemoveAll(v2.dir))
	opts := testOptions(vfs.OS)
	l, err := Open(v2.dir, opts)
	require.NoError(t, err)
	fill(t, l, 40)
	require.NoError(t, l.Close())
	l, err = Open(v2.dir, opts)
	require.NoError(t, err)
	fill(t, l, 70)
	require.NoError(t, l.TruncateFront(30))
	require.NoError(t, l.TruncateBack(60))
	fill(t, l, v2.last)
	writeMark(t, l)
	require.NoError(t, l.Close())
}

// TestVersion2IsStillRead opens what version 2 wrote, as it is and after a copy of it was written to.
func TestVersion2IsStillRead(t *testing.T) {
	if *update {
		writeV2(t)
	}
	opts := testOptions(vfs.OS)
	violations, err := Check(v2.dir, opts)
	require.NoError(t, err)
	require.Empty(t, violations)
	l, err := Open(v2.dir, readOnly(opts))
	require.NoError(t, err)
	require.Equal(t, Clean, l.Recovery().Outcome)
	require.Len(t, l.Segments(), 3)
	requireRecords(t, l, v2.first, v2.last)
	require.NoError(t, l.Close())

	dir := filepath.Join(t.TempDir(), "v2")
	require.NoError(t, os.CopyFS(dir, os.DirFS(v2.dir)))
	l, err = Open(dir, opts)
	require.NoError(t, err)
	require.Empty(t, l.Recovery().RebuiltIndexes)
	fill(t, l, v2.last+50)
	requireRecords(t, l, v2.first, v2.last+50)
	require.NoError(t, l.Close())
}

// TestVersion1IsRefused: what the format before the first release wrote is refused by its version, and left as it is.
func TestVersion1IsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/v1")))
	opts := testOptions(vfs.OS)
	_, err := Open(dir, opts)
	require.ErrorIs(t, err, ErrVersion)
	require.ErrorContains(t, err, "format 1, this program reads format 2: a program from before the first release wrote it")
	_, err = Open(dir, readOnly(opts))
	require.ErrorIs(t, err, ErrVersion)
	_, err = Check(dir, opts)
	require.ErrorIs(t, err, ErrVersion)
	_, err = OpenArchive(opts, dir)
	require.ErrorIs(t, err, ErrVersion)
	for _, entry := range must(os.ReadDir("testdata/v1")) {
		was := must(os.ReadFile(filepath.Join("testdata/v1", entry.Name())))
		require.Equal(t, was, must(os.ReadFile(filepath.Join(dir, entry.Name()))))
	}
}
