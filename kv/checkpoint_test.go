package kv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// checkpoint takes a checkpoint and returns its offset.
func checkpoint(t *testing.T, db *DB) uint64 {
	t.Helper()
	offset, err := db.Checkpoint(t.Context())
	require.NoError(t, err)
	return offset
}

// manual are options under which no checkpoint starts by itself, and segments are small.
func manual(mem *vfs.Mem) Options {
	opts := memOptions(mem)
	opts.SegmentSize, opts.CheckpointFactor = 4<<10, -1
	return opts
}

func TestStoreStartsFromItsNewestSnapshotAndTheLogBehindIt(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	for i := range 100 {
		put(t, db, fmt.Sprintf("%03d", i), "old")
	}
	require.EqualValues(t, 100, checkpoint(t, db))
	require.EqualValues(t, 100, checkpoint(t, db), "without a commit there is nothing to write")
	for i := range 10 {
		put(t, db, fmt.Sprintf("%03d", i), "new")
	}
	want := lines(db.Scan(Range{}))
	require.NoError(t, db.Close())

	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err)
	require.Equal(t, want, lines(db.Scan(Range{})))
	r := db.Recovery()
	require.Equal(t, 100, r.Loaded)
	require.EqualValues(t, 10, r.Replayed)
	require.NotEmpty(t, r.Snapshot)
	require.NoError(t, db.Close())
	requireSound(t, storeDir, manual(mem))
}

func TestLogIsTruncatedInFrontOfTheOldestSnapshotKept(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	defer db.Close()
	filler := string(make([]byte, 500))
	firsts := []uint64{}
	for round := range 4 {
		for i := range 20 {
			put(t, db, fmt.Sprint(round, i), filler)
		}
		checkpoint(t, db)
		firsts = append(firsts, db.Stats().First)
		require.Equal(t, min(round+1, 2), db.Stats().Checkpoints.Snapshots)
	}
	require.EqualValues(t, 1, firsts[0], "one snapshot is not enough to do without the log")
	require.Greater(t, firsts[1], uint64(1))
	require.LessOrEqual(t, firsts[1], uint64(21), "the oldest snapshot kept needs the log from 21 on")
	require.Greater(t, firsts[3], firsts[2])
}

func TestBackupRestoresToAnEqualStore(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	for i := range 50 {
		put(t, db, fmt.Sprint(i), "v")
	}
	var backup, increment bytes.Buffer
	offset, err := db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	require.EqualValues(t, 50, offset)
	want := lines(db.Scan(Range{}))
	put(t, db, "later", "v")
	last, err := db.BackupSince(t.Context(), &increment, offset)
	require.NoError(t, err)
	require.EqualValues(t, 51, last)
	wantLast := lines(db.Scan(Range{}))

	got, err := Restore(context.Background(), bytes.NewReader(backup.Bytes()), "copy", RestoreOptions{FS: mem})
	require.NoError(t, err)
	require.Equal(t, offset, got)
	copied, err := Open("copy", manual(mem))
	require.NoError(t, err)
	require.Equal(t, want, lines(copied.Scan(Range{})))
	require.EqualValues(t, 51, put(t, copied, "x", "y"), "offsets go on")
	require.NoError(t, copied.Close())

	got, err = Restore(context.Background(), &backup, "both", RestoreOptions{FS: mem, Increments: []io.Reader{&increment}})
	require.NoError(t, err)
	require.Equal(t, last, got)
	both, err := Open("both", manual(mem))
	require.NoError(t, err)
	require.Equal(t, wantLast, lines(both.Scan(Range{})))
	require.NoError(t, both.Close())
	require.NoError(t, db.Close())
}

func TestAtShowsEveryStateThatIsHeld(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept = 3
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	defer db.Close()
	states := [][]string{nil}
	for i := range 60 {
		put(t, db, fmt.Sprint(i%17), fmt.Sprint(i, string(make([]byte, 200))))
		states = append(states, lines(db.Scan(Range{})))
		if i%20 == 19 {
			checkpoint(t, db)
		}
	}
	held := 0
	for offset := range uint64(61) {
		past, err := db.At(t.Context(), offset)
		if err != nil {
			require.ErrorIs(t, err, ErrTruncated)
			require.ErrorContains(t, err, "oldest state held is that of 20")
			require.Less(t, offset, uint64(20))
			continue
		}
		held++
		require.Equal(t, states[offset], lines(past.Scan(Range{})), "offset %d", offset)
		require.NoError(t, past.Close())
	}
	require.GreaterOrEqual(t, held, 41)
	_, err = db.At(t.Context(), 61)
	require.ErrorIs(t, err, ErrOutOfRange)
}
