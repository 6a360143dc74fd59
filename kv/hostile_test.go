package kv

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// closedStore returns the directory of a store in the system's files that was closed, with a snapshot and commits after it.
func closedStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	put(t, db, "a", "1")
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
	put(t, db, "b", "2")
	require.NoError(t, db.Close())
	return dir
}

// filesBelow returns the modes and contents of all files below a directory.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		}
		found[path] = text
		return nil
	}))
	return found
}

// useInEveryWay opens, checks and repairs the store in a directory, takes a checkpoint and prunes, and returns the errors.
func useInEveryWay(t *testing.T, dir string) (errs []error) {
	t.Helper()
	for _, opts := range []Options{{}, {ReadOnly: true}, {ReadOnly: true, Follow: true}} {
		db, err := Open(dir, opts)
		if err == nil && !opts.ReadOnly {
			put(t, db, "c", "3")
			_, checkpointErr := db.Checkpoint(t.Context())
			errs = append(errs, checkpointErr)
		}
		if err == nil {
			err = db.Close()
		}
		errs = append(errs, err)
	}
	_, err := Check(t.Context(), dir, Options{})
	_, pruneErr := PruneSnapshots(t.Context(), dir, 1, Options{})
	_, listErr := Snapshots(dir, Options{})
	view, viewErr := OpenDiskView(t.Context(), dir, Options{})
	if viewErr == nil {
		viewErr = view.Close()
	}
	plan, planErr := PlanRepair(t.Context(), dir, Options{})
	if planErr == nil {
		planErr = plan.Apply(t.Context())
	}
	return append(errs, err, pruneErr, listErr, viewErr, planErr)
}

// TestALinkInPlaceOfAStoresDirectoryIsNotFollowed hands over a store with a link to a directory of somebody else's, in which names are
// those that a store would replace or remove.
func TestALinkInPlaceOfAStoresDirectoryIsNotFollowed(t *testing.T) {
	for _, name := range []string{walName, snapshotName, quarantineName} {
		t.Run(name, func(t *testing.T) {
			dir, others := closedStore(t), t.TempDir()
			for _, other := range []string{"00000000000000000009.snap", "00000000000000000009.snap.tmp", "00000000000000000002.store.tmp"} {
				require.NoError(t, os.WriteFile(filepath.Join(others, other), []byte("precious"), 0o600))
			}
			require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
			require.NoError(t, os.Symlink(others, filepath.Join(dir, name)))
			before, own := filesBelow(t, others), filesBelow(t, dir)
			for i, err := range useInEveryWay(t, dir) {
				require.ErrorIs(t, err, ErrNotStore, "%d", i)
				require.ErrorContains(t, err, name)
			}
			require.Equal(t, before, filesBelow(t, others))
			require.Equal(t, own, filesBelow(t, dir))
		})
	}
}
