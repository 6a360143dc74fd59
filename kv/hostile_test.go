package kv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/snapshot"
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
func useInEveryWay(t *testing.T, dir string, log *slog.Logger) (errs []error) {
	t.Helper()
	for _, opts := range []Options{{Logger: log}, {Logger: log, ReadOnly: true}, {Logger: log, ReadOnly: true, Follow: true}} {
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
	found, err := Check(t.Context(), dir, Options{Logger: log})
	for _, violation := range found {
		errs = append(errs, errors.New(violation.String()))
	}
	_, pruneErr := PruneSnapshots(t.Context(), dir, 1, Options{Logger: log})
	_, listErr := Snapshots(dir, Options{})
	view, viewErr := OpenDiskView(t.Context(), dir, Options{Logger: log})
	if viewErr == nil {
		viewErr = view.Close()
	}
	plan, planErr := PlanRepair(t.Context(), dir, Options{Logger: log})
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
			for i, err := range useInEveryWay(t, dir, nil) {
				require.ErrorIs(t, err, ErrNotStore, "%d", i)
				require.ErrorContains(t, err, name)
			}
			require.Equal(t, before, filesBelow(t, others))
			require.Equal(t, own, filesBelow(t, dir))
		})
	}
}

// TestNothingOfAPairIsInErrorsAndLogs damages a store and a backup whose pairs are made of four letters, and looks for these letters in
// whatever the library says. Parts of files in the place of others are what a disk leaves that writes to the wrong place.
func TestNothingOfAPairIsInErrorsAndLogs(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	secret := func(n int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = "QXZJ"[rng.IntN(4)]
		}
		return string(text)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := Options{Logger: log, SnapshotCompression: snapshot.NoCompression}
	sound := filepath.Join(t.TempDir(), "sound")
	db, err := Open(sound, opts)
	require.NoError(t, err)
	for range 2 {
		for range 20 {
			put(t, db, secret(8), secret(60))
		}
		_, err = db.Checkpoint(t.Context())
		require.NoError(t, err)
		put(t, db, secret(8), secret(60))
	}
	var backup bytes.Buffer
	_, err = db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	files := map[string][]byte{}
	for _, name := range []string{"wal/00000000000000000001.store", "wal/00000000000000000001.index",
		"snapshot/00000000000000000020.snap", "snapshot/00000000000000000041.snap"} {
		data, err := os.ReadFile(filepath.Join(sound, name))
		require.NoError(t, err)
		files[name] = data
	}
	leaks := regexp.MustCompile("[QXZJ]{3}")
	require.Regexp(t, leaks, backup.String(), "so that there is something to find")
	for round := range 60 {
		dir := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.CopyFS(dir, os.DirFS(sound)))
		for name, data := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), misplaced(rng, data), 0o600))
		}
		errs := useInEveryWay(t, dir, log)
		_, err := Restore(t.Context(), bytes.NewReader(misplaced(rng, backup.Bytes())), filepath.Join(dir, "copy"), RestoreOptions{Logger: log})
		for _, err := range append(errs, err) {
			if err != nil {
				fmt.Fprintln(&said, err)
			}
		}
		require.NotRegexp(t, leaks, said.String(), "seed %d, round %d: put it in place of rand.Uint64 here", seed, round)
	}
}

// misplaced returns a copy with a part cut off, a byte changed, or a part over the beginning, the end or another place.
func misplaced(rng *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	from, n := rng.IntN(len(data)), 1+rng.IntN(100)
	part := bytes.Clone(data[from:min(from+n, len(data))])
	switch rng.IntN(5) {
	case 0:
		return data[:from]
	case 1:
		data[from] ^= 1 << rng.IntN(8)
	case 2:
		copy(data, part)
	case 3:
		copy(data[len(data)-len(part):], part)
	default:
		copy(data[rng.IntN(len(data)):], part)
	}
	return data
}
