package kv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// openMemory opens a store in memory that is closed, and checked as a whole, when the test ends.
func openMemory(t testing.TB, opts Options) *DB {
	t.Helper()
	db, err := OpenMemory(opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		requireSound(t, memoryDir, db.opts)
	})
	return db
}

// logInMemory returns how many bytes the files of the log have.
func logInMemory(t testing.TB, db *DB) (total int64) {
	t.Helper()
	entries, err := db.opts.fs.List(db.walDir())
	require.NoError(t, err)
	for _, e := range entries {
		total += e.Size
	}
	return total
}

func TestAStoreInMemoryLeavesNothingOnDisk(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	db := openMemory(t, Options{})
	put(t, db, "a", "1")
	_, err := db.Checkpoint(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Close())
	var found []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, path)
		return err
	}))
	require.Equal(t, []string{dir}, found)
}

func TestStoresInMemoryHaveNothingInCommonAndBeginEmpty(t *testing.T) {
	one, two := openMemory(t, Options{}), openMemory(t, Options{})
	put(t, one, "a", "1")
	requireHolds(t, one, "a=1")
	requireHolds(t, two)
	require.NoError(t, one.Close())
	_, err := one.Get([]byte("a"))
	require.ErrorIs(t, err, ErrClosed)
	requireHolds(t, openMemory(t, Options{}))
}

func TestAStoreInMemoryDoesWhatOneOnDiskDoes(t *testing.T) {
	db := openMemory(t, Options{SnapshotsKept: 2})
	watched := make(chan uint64, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(watched)
		for commit, err := range db.Watch(ctx, WatchOptions{From: 1}) {
			if err != nil {
				return
			}
			watched <- commit.Offset
		}
	}()
	put(t, db, "a", "1")
	view, err := db.ReadView()
	require.NoError(t, err)
	defer view.Close()
	var whole, since bytes.Buffer
	offset, err := db.Backup(t.Context(), &whole)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *Tx) error { return tx.Put([]byte("b"), []byte("2")) }))
	checkpointed, err := db.Checkpoint(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, checkpointed)
	put(t, db, "c", "3")
	_, err = db.PutTTL([]byte("gone"), nil, time.Nanosecond)
	require.NoError(t, err)
	_, err = db.BackupSince(t.Context(), &since, offset)
	require.NoError(t, err)

	requireHolds(t, db, "a=1", "b=2", "c=3")
	require.Equal(t, 1, db.Stats().OpenViews)
	value, err := view.Get([]byte("a"))
	require.NoError(t, err)
	require.Equal(t, "1", string(value))
	has, err := view.Has([]byte("b"))
	require.NoError(t, err)
	require.False(t, has, "the view is older")
	past, err := db.At(t.Context(), 2)
	require.NoError(t, err)
	defer past.Close()
	has, err = past.Has([]byte("c"))
	require.NoError(t, err)
	require.False(t, has, "the past is older")
	for offset := uint64(1); offset <= 4; offset++ {
		require.Equal(t, offset, <-watched)
	}

	if runtime.GOOS == "js" {
		return // Nothing on disk can be locked there.
	}
	dir := filepath.Join(t.TempDir(), "restored")
	_, err = Restore(t.Context(), &whole, dir, RestoreOptions{Increments: []io.Reader{&since}})
	require.NoError(t, err)
	requireHolds(t, openStore(t, dir, Options{}), "a=1", "b=2", "c=3")
}

func TestTheLogOfAStoreInMemoryStaysSmall(t *testing.T) {
	db := openMemory(t, Options{})
	value := make([]byte, 16<<10)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	most := int64(0)
	for i := range 4000 { // 64 MiB, onto a few keys.
		put(t, db, fmt.Sprint("key ", i%16), string(value))
		most = max(most, logInMemory(t, db))
	}
	t.Logf("the log took at most %d bytes", most)
	require.Less(t, most, int64(32<<20))
	require.Eventually(t, func() bool { return logInMemory(t, db) <= memoryCheckpointFloor+2*memorySegmentSize }, 10*time.Second, time.Millisecond)
	require.Equal(t, memorySnapshotsKept, db.Stats().Checkpoints.Snapshots)
}

func TestWhatMakesNoSenseInMemoryIsRefused(t *testing.T) {
	for _, c := range []struct {
		sentence string
		opts     Options
		want     string
	}{
		{"an empty store isn't there for reading", Options{ReadOnly: true}, "option ReadOnly"},
		{"an archive would be a directory in memory", Options{ArchiveDir: "archive"}, "option ArchiveDir"},
		{"options are checked as for a store on disk", Options{LogKept: -1}, "option LogKept"},
		{"and so are those of the log", Options{SegmentSize: 1}, "SegmentSize"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := OpenMemory(c.opts)
			require.ErrorContains(t, err, c.want)
			_, err = os.Stat(memoryDir)
			require.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

// TestLargeValuesFitIntoAStoreInMemory has one that is larger than a segment.
func TestLargeValuesFitIntoAStoreInMemory(t *testing.T) {
	db := openMemory(t, Options{})
	large := bytes.Repeat([]byte("x"), 5*memorySegmentSize)
	_, err := db.Put([]byte("large"), large)
	require.NoError(t, err)
	value, err := db.Get([]byte("large"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(large, value))
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
}

func TestAStoreInMemoryIsUsedByManyAtATime(t *testing.T) {
	db := openMemory(t, Options{CheckpointFloor: 64 << 10, SegmentSize: 16 << 10})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 500 {
				put(t, db, fmt.Sprintf("%d/%d", worker, i%50), fmt.Sprint(i))
				for range db.Scan(Range{Prefix: []byte("1/"), Limit: 10}) {
				}
			}
		})
	}
	all.Wait()
	view, err := db.ReadView()
	require.NoError(t, err)
	defer view.Close()
	require.Equal(t, 200, counted(t, view, Range{}))
	require.EqualValues(t, 2000, db.Offset())
}

func TestAStoreInMemoryHasNoLimitOfSpace(t *testing.T) {
	db, err := OpenMemory(Options{})
	require.NoError(t, err)
	require.EqualValues(t, -1, db.Stats().FreeBytes)
	require.NoError(t, db.Close())
}
