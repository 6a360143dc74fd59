package kv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRemovingTheLockFileAdmitsNoSecondWriter(t *testing.T) {
	dir := t.TempDir()
	opts := Options{CheckpointFactor: -1}
	db := openStore(t, dir, opts)
	put(t, db, "k", "v")
	require.NoError(t, os.Remove(filepath.Join(dir, lockName)))
	for range 2 {
		_, err := Open(dir, opts)
		require.ErrorIs(t, err, ErrLocked)
	}
	checkpoint(t, db)
	put(t, db, "the store", "goes on")
}

// TestAStoreWhoseDirectoryWasMovedFailsAtACheckpoint has another store in the directory's place, which must not be touched.
func TestAStoreWhoseDirectoryWasMovedFailsAtACheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	opts := Options{CheckpointFactor: -1}
	db, err := Open(dir, opts)
	require.NoError(t, err)
	put(t, db, "k", "1")
	checkpoint(t, db)
	require.NoError(t, os.Rename(dir, dir+".old"))
	other := openStore(t, dir, opts)
	put(t, db, "k", "2")
	require.NoError(t, db.Stats().Failed)
	_, err = db.Checkpoint(t.Context())
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "the lock is lost")
	require.ErrorContains(t, err, dir)

	_, err = db.Put([]byte("k"), []byte("3"))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "the lock is lost")
	require.ErrorIs(t, db.Stats().Failed, ErrFailed)
	value, err := db.Get([]byte("k"))
	require.NoError(t, err, "reads go on")
	require.Equal(t, "2", string(value))
	require.ErrorIs(t, db.Close(), ErrFailed)

	places, err := other.snapshots.list()
	require.NoError(t, err)
	require.Empty(t, places, "nothing was written into the other store")
	moved := openStore(t, dir+".old", opts)
	requireHolds(t, moved, "k=2")
}
