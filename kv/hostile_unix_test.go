//go:build unix

package kv

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/wal"
)

// TestWhatStandsInPlaceOfAFileIsNeitherFollowedNorWaitedFor puts something else in place of each file of a store, and where a store would
// make one. A use of the store fails or succeeds, but ends, and what a link leads to stays as it is.
func TestWhatStandsInPlaceOfAFileIsNeitherFollowedNorWaitedFor(t *testing.T) {
	instead := map[string]func(path, precious string) error{
		"a link":                 func(path, precious string) error { return os.Symlink(precious, path) },
		"a link to nothing":      func(path, precious string) error { return os.Symlink(precious+".missing", path) },
		"a link to a directory":  func(path, precious string) error { return os.Symlink(filepath.Dir(precious), path) },
		"a link to itself":       func(path, _ string) error { return os.Symlink(path, path) },
		"a pipe":                 func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":            func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"a socket":               func(path, _ string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0) },
		"a full directory":       func(path, _ string) error { return os.MkdirAll(filepath.Join(path, "inner"), 0o700) },
		"another name of a file": func(path, precious string) error { return os.Link(precious, path) },
	}
	files := []string{
		lockName, restoringName + ".tmp", "wal/00000000000000000001.store", "wal/00000000000000000001.index",
		"wal/00000000000000000001.index.tmp", "wal/00000000000000000002.store.tmp", "wal/quarantine",
		"snapshot/00000000000000000001.snap", "snapshot/00000000000000000003.snap", "snapshot/00000000000000000003.snap.tmp",
	}
	for _, file := range files {
		for what, put := range instead {
			t.Run(fmt.Sprintf("%s in place of %s", what, file), func(t *testing.T) {
				dir, others := closedStore(t), t.TempDir()
				precious := filepath.Join(others, "precious")
				require.NoError(t, os.WriteFile(precious, []byte(strings.Repeat("precious ", 1000)), 0o600))
				require.NoError(t, os.RemoveAll(filepath.Join(dir, file)))
				require.NoError(t, put(filepath.Join(dir, file), precious))
				before := filesBelow(t, others)
				done := make(chan struct{})
				go func() {
					defer close(done)
					useInEveryWay(t, dir, nil)
				}()
				select {
				case <-done:
				case <-time.After(20 * time.Second):
					t.Fatal("a use of the store doesn't end")
				}
				require.Equal(t, before, filesBelow(t, others))
			})
		}
	}
}

// TestAllThatAStoreMakesIsForItsOwnerAlone tries umasks that give everybody everything, and take from the owner.
func TestAllThatAStoreMakesIsForItsOwnerAlone(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			work := t.TempDir()
			loose := filepath.Join(work, "loose")
			require.NoError(t, os.Mkdir(loose, 0o700))
			require.NoError(t, os.Chmod(loose, 0o755)) // A directory that is there stays as it is.
			defer syscall.Umask(syscall.Umask(mask))
			makeEverything(t, filepath.Join(work, "loose", "store"), filepath.Join(work, "loose"))
			require.NoError(t, filepath.WalkDir(work, func(path string, entry os.DirEntry, err error) error {
				require.NoError(t, err)
				info, err := entry.Info()
				require.NoError(t, err)
				want := os.FileMode(0o600)
				switch {
				case path == loose:
					want = os.ModeDir | 0o755
				case entry.IsDir():
					want = os.ModeDir | 0o700
				}
				if path != work {
					require.Equal(t, want, info.Mode(), path)
				}
				return nil
			}))
		})
	}
}

// makeEverything makes a store with whatever files there can be of one: an archive, an index, snapshots, a quarantine, what a process
// that dies leaves; and a restored store beside it.
func makeEverything(t *testing.T, dir, work string) {
	t.Helper()
	opts := Options{ArchiveDir: filepath.Join(work, "archive"), SegmentSize: wal.MinSegmentSize, SnapshotsKept: 1}
	db, err := Open(dir, opts)
	require.NoError(t, err)
	for i := range 20 {
		put(t, db, fmt.Sprint(i), strings.Repeat("v", 1000))
	}
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
	var backup bytes.Buffer
	_, err = db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	put(t, db, "last", "v")
	copied := filesBelow(t, dir)
	require.NoError(t, db.Close())
	segments := 0
	for path, text := range copied { // As if the process had died with a torn tail.
		if filepath.Ext(path) == ".store" {
			segments++
			data := []byte(strings.SplitN(text, " ", 2)[1])
			if end := len(bytes.TrimRight(data, "\x00")); end+100 < len(data) {
				copy(data[end+64:], "a part of a frame")
			}
			require.NoError(t, os.WriteFile(path, data, 0o600))
		}
	}
	require.NotZero(t, segments)
	db, err = Open(dir, opts)
	require.NoError(t, err)
	require.NotEmpty(t, db.Recovery().Log.QuarantinePath)
	require.NoError(t, db.Close())
	_, err = Restore(t.Context(), &backup, filepath.Join(work, "new", "restored"), RestoreOptions{})
	require.NoError(t, err)
}
