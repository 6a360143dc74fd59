package kv

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
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

func TestStoreStartsFromItsNewestSnapshotAndTheLogAfterIt(t *testing.T) {
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

	got, err := Restore(context.Background(), bytes.NewReader(backup.Bytes()), "copy", RestoreOptions{fs: mem})
	require.NoError(t, err)
	require.Equal(t, offset, got)
	copied, err := Open("copy", manual(mem))
	require.NoError(t, err)
	require.Equal(t, want, lines(copied.Scan(Range{})))
	require.EqualValues(t, 51, put(t, copied, "x", "y"), "offsets go on")
	require.NoError(t, copied.Close())

	got, err = Restore(context.Background(), &backup, "both", RestoreOptions{fs: mem, Increments: []io.Reader{&increment}})
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

// headerBit and payloadBit are bits of a snapshot's header and of the payload of its first block. Opening the file reads no
// block, so only reading all of it shows the damage to the second one.
const headerBit, payloadBit = 100, 8 * 90

// TestADamagedSnapshotIsNotOneOfThoseKept damages the older of two: the next checkpoint must leave the log that the newer one
// needs, as if the damaged one weren't there, and must not remove it.
func TestADamagedSnapshotIsNotOneOfThoseKept(t *testing.T) {
	for sentence, bit := range map[string]int64{"its header": headerBit, "a block": payloadBit} {
		t.Run(sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			db, err := Open(storeDir, manual(mem))
			require.NoError(t, err)
			filler := string(make([]byte, 1000))
			var offsets []uint64
			for range 3 {
				for i := range 10 {
					put(t, db, fmt.Sprint(i), filler)
				}
				if len(offsets) == 2 {
					flipBit(t, mem, snapshotPath(offsets[1]), bit)
				}
				offsets = append(offsets, checkpoint(t, db))
			}
			want := lines(db.Scan(Range{}))
			files, err := Snapshots(storeDir, manual(mem))
			require.NoError(t, err)
			require.Len(t, files, 3, "a damaged one doesn't take the place of a sound one")
			require.NoError(t, db.Close())

			flipBit(t, mem, snapshotPath(offsets[2]), bit)
			db, err = Open(storeDir, manual(mem))
			require.NoError(t, err, "the log goes back to the one that is left")
			require.Len(t, db.Recovery().Skipped, 2)
			require.Equal(t, want, lines(db.Scan(Range{})))
			require.NoError(t, db.Close())
		})
	}
}

func TestWhatDoesNotGoTogetherWithTheLogIsRefused(t *testing.T) {
	cases := []struct {
		sentence string
		damage   func(t *testing.T, mem *vfs.Mem, last uint64)
		says     string
	}{
		{"every snapshot is gone, and the log doesn't begin with the first commit", func(t *testing.T, mem *vfs.Mem, last uint64) {
			require.NoError(t, mem.Remove(snapshotPath(last)))
			require.NoError(t, mem.Remove(snapshotPath(last-10)))
		}, "nothing holds the commits before it"},
		{"every snapshot is damaged", func(t *testing.T, mem *vfs.Mem, last uint64) {
			flipBit(t, mem, snapshotPath(last), 8)
			flipBit(t, mem, snapshotPath(last-10), 8)
		}, "nothing holds the commits before it"},
		{"the older snapshot is gone and the newer one damaged", func(t *testing.T, mem *vfs.Mem, last uint64) {
			flipBit(t, mem, snapshotPath(last), 8)
			require.NoError(t, mem.Remove(snapshotPath(last-10)))
		}, "nothing holds the commits before it"},
		{"the log's files are gone", func(t *testing.T, mem *vfs.Mem, last uint64) {
			dir := filepath.Join(storeDir, walName)
			entries, err := mem.List(dir)
			require.NoError(t, err)
			for _, entry := range entries {
				require.NoError(t, mem.Remove(filepath.Join(dir, entry.Name)))
			}
		}, "a part of the log is missing"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			db, err := Open(storeDir, manual(mem))
			require.NoError(t, err)
			var last uint64
			for i := range 30 {
				last = put(t, db, fmt.Sprint(i), string(make([]byte, 1000)))
				if i%10 == 9 {
					checkpoint(t, db)
				}
			}
			require.Greater(t, db.Stats().First, uint64(1))
			require.NoError(t, db.Close())
			c.damage(t, mem, last)
			_, err = Open(storeDir, manual(mem))
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestACheckpointThatFailsLeavesTheOldOnesInForce(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 13))
	for i := range 20 {
		put(t, db, fmt.Sprint(i), string(randomBytes(random, 5000, 5000)))
	}
	first := checkpoint(t, db)
	put(t, db, "one", "more")
	stats := db.Stats()
	mem.SetCapacity(stats.DiskBytes + stats.Checkpoints.SnapshotBytes + 40<<10)
	_, err = db.Checkpoint(t.Context())
	require.ErrorIs(t, err, ErrNoSpace)
	stats = db.Stats()
	require.EqualValues(t, 1, stats.Checkpoints.Failed)
	require.ErrorIs(t, stats.Checkpoints.Err, ErrNoSpace)
	require.Equal(t, first, stats.Checkpoints.Offset)
	require.Equal(t, 1, stats.Checkpoints.Snapshots)
	put(t, db, "the store", "goes on")
	mem.SetCapacity(0)
	require.Equal(t, first+2, checkpoint(t, db), "there is room")
	require.NoError(t, db.Stats().Checkpoints.Err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	put(t, db, "k", "v")
	_, err = db.Checkpoint(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, db.Close())
	_, err = db.Checkpoint(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	requireSound(t, storeDir, manual(mem))
}

func TestCheckpointsStartByThemselvesWhenTheLogHasGrown(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.SegmentSize, opts.CheckpointFloor, opts.CheckpointFactor = 4<<10, 20_000, 2
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for range 20 {
		for i := range 50 {
			put(t, db, fmt.Sprint(i), string(make([]byte, 500)))
		}
		waitUntil(t, func() bool {
			stats := db.Stats().Checkpoints
			return stats.LogBytes < stats.Due
		})
	}
	require.Greater(t, db.Stats().Checkpoints.Taken, uint64(5))
	require.Less(t, db.Stats().DiskBytes, int64(200_000), "the log is bounded")
	require.NoError(t, db.Close())
	requireSound(t, storeDir, opts)
}

func TestCloseTakesACheckpointIfAsked(t *testing.T) {
	opts := manual(vfs.NewMem())
	opts.CheckpointOnClose = true
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	require.Zero(t, db.Recovery().Replayed)
	require.Equal(t, 1, db.Recovery().Loaded)
	require.NoError(t, db.Close())
}

func TestCloseTakesACheckpointByItselfWhereReplayingWouldTakeLonger(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		factor         float64
		log, due, data int64
		want           bool
	}{
		"nothing":                        {0, 0, 64 * mib, 0, false},
		"a short log":                    {0, 16*mib - 1, 64 * mib, 10 * mib, false},
		"a log as long as its data":      {0, 16 * mib, 64 * mib, 16 * mib, true},
		"a shorter one":                  {0, 50 * mib, 64 * mib, 50*mib + 1, false},
		"one that is due":                {0, 64 * mib, 64 * mib, 200 * mib, true},
		"one that is due with much data": {0, 600 * mib, 512 * mib, 1024*mib + 1, false},
		"none by themselves":             {-1, 600 * mib, math.MaxInt64, 10, false},
	} {
		opts, err := Options{CheckpointFactor: c.factor}.withDefaults()
		require.NoError(t, err)
		require.Equal(t, c.want, opts.checkpointPays(c.log, c.due, c.data), name)
	}
}

// closing are options under which nothing but Close takes a checkpoint by itself, after two puts of 1000 bytes.
func closing(mem *vfs.Mem) Options {
	opts := memOptions(mem)
	opts.CheckpointFloor = 8000
	return opts
}

func putKilobytes(t *testing.T, db *DB, keys ...string) {
	for _, key := range keys {
		put(t, db, key, string(make([]byte, 1000)))
	}
}

// Each process is closed before a checkpoint that is due, and starts with it, can end.
func TestAStoreThatIsOpenedAndClosedOftenHasAShortLogAndSeldomTakesACheckpoint(t *testing.T) {
	opts := closing(vfs.NewMem())
	var logged *bytes.Buffer
	opts.Logger, logged = logTo()
	replayed := uint64(0)
	for i := range 40 {
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		replayed = max(replayed, db.Recovery().Replayed)
		putKilobytes(t, db, fmt.Sprint(i))
		require.NoError(t, db.Close())
	}
	require.EqualValues(t, 7, replayed, "with one commit more a checkpoint is due")
	require.Less(t, strings.Count(logged.String(), "snapshot taken"), 10)
	requireSound(t, storeDir, opts)
}

func TestACheckpointOfCloseThatWasNotAskedForMayFail(t *testing.T) {
	for _, asked := range []bool{false, true} {
		mem := vfs.NewMem()
		opts := closing(mem)
		opts.CheckpointOnClose = asked
		var logged *bytes.Buffer
		opts.Logger, logged = logTo()
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		putKilobytes(t, db, "a", "b", "c")
		want := lines(db.Scan(Range{}))
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpWrite && strings.Contains(c.Name, snapshotName) {
				return syscall.ENOSPC
			}
			return nil
		})
		if err = db.Close(); asked {
			require.ErrorIs(t, err, ErrNoSpace)
		} else {
			require.NoError(t, err)
		}
		require.Contains(t, logged.String(), "checkpoint failed")
		mem.SetHook(nil)
		requireSound(t, storeDir, opts)
		db = openStore(t, storeDir, opts)
		require.EqualValues(t, 3, db.Recovery().Replayed)
		require.Equal(t, want, lines(db.Scan(Range{})))
	}
}

func TestAFailedSyncInTheCheckpointOfCloseIsReturned(t *testing.T) {
	mem := vfs.NewMem()
	opts := closing(mem)
	opts.Sync = SyncNever
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	putKilobytes(t, db, "a", "b")
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpSync && strings.Contains(c.Name, ".store") { // The background may have synced the puts: then it is the end of the log.
			return syscall.EIO
		}
		return nil
	})
	require.ErrorIs(t, db.Close(), syscall.EIO)
}

// TestAPowerCutInTheCheckpointOfCloseLosesNothing cuts the power before each call of Close.
func TestAPowerCutInTheCheckpointOfCloseLosesNothing(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, closing(mem))
	require.NoError(t, err)
	putKilobytes(t, db, "a", "b", "c")
	want := lines(db.Scan(Range{}))
	var cuts []*vfs.Mem
	cut := func() {
		for _, policy := range vfs.Policies {
			cuts = append(cuts, mem.Crash(uint64(len(cuts)), policy))
		}
	}
	mem.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() {
			cut()
		}
		return nil
	})
	require.NoError(t, db.Close())
	mem.SetHook(nil)
	cut()
	loaded := 0
	for i, left := range cuts {
		db, err := Open(storeDir, closing(left))
		require.NoError(t, err, "cut %d", i)
		require.Equal(t, want, lines(db.Scan(Range{})), "cut %d", i)
		loaded = max(loaded, db.Recovery().Loaded)
		require.NoError(t, db.Close())
	}
	require.Equal(t, 3, loaded)
}

func TestCloseTakesNoCheckpointByItselfInMemoryOrInAReplica(t *testing.T) {
	memory := Options{CheckpointFloor: 8000}
	disk := closing(vfs.NewMem())
	var inMemory, replicated *bytes.Buffer
	memory.Logger, inMemory = logTo()
	disk.Logger, replicated = logTo()
	db, err := OpenMemory(memory)
	require.NoError(t, err)
	for _, db := range []*DB{db, openScript(t, disk).replica.DB()} {
		putKilobytes(t, db, "a", "b", "c")
		require.NoError(t, db.Close())
	}
	require.NotContains(t, inMemory.String()+replicated.String(), "snapshot taken")
}

func TestTheLogIsNeverTruncatedPastWhatTheOldestSnapshotNeeds(t *testing.T) {
	segment := func(base, last uint64, bytes int64) wal.SegmentInfo {
		return wal.SegmentInfo{Base: base, Last: last, Bytes: bytes}
	}
	three := []wal.SegmentInfo{segment(1, 4, 100), segment(5, 9, 100), segment(10, 12, 50)}
	for name, c := range map[string]struct {
		segments []wal.SegmentInfo
		before   uint64
		kept     int64
		want     uint64
	}{
		"nothing is to be kept":                                {three, 10, 0, 10},
		"a byte keeps the segment before":                      {three, 10, 1, 5},
		"more than one segment":                                {three, 10, 101, 1},
		"more than there is":                                   {three, 10, 1 << 40, 1},
		"the segment that the offset is in counts for nothing": {three, 7, 1, 1},
		"all of the log is before":                             {three, 13, 1, 10},
		"a segment without an acknowledged record":             {[]wal.SegmentInfo{segment(1, 7, 600), segment(8, 6, 5840)}, 7, 5000, 7},
		"a log without records":                                {[]wal.SegmentInfo{segment(1, 0, 80)}, 1, 5000, 1},
	} {
		require.Equal(t, c.want, unkept(c.segments, c.before, c.kept), name)
	}
}

// withoutRoomForSnapshots returns a store whose checkpoints fail, and its disk, whose hook does that.
func withoutRoomForSnapshots(t *testing.T) (*vfs.Mem, *DB) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.SegmentSize, opts.CheckpointFloor = 64<<10, 16<<10
	db := openStore(t, storeDir, opts)
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpCreate && strings.Contains(c.Name, "/snapshot/") {
			return syscall.ENOSPC
		}
		return nil
	})
	return mem, db
}

// TestCheckpointsGoOnSoonAfterAFullDisk lets checkpoints fail for so long that the next would come minutes later.
func TestCheckpointsGoOnSoonAfterAFullDisk(t *testing.T) {
	for _, c := range []struct {
		sentence string
		byHand   bool
		most     float64 // How often as long as it is due, or was at the last failure, the log gets.
	}{
		{"the log has at most twice what it had at the last failure", false, 2.1},
		{"after a checkpoint by hand it is as if none had failed", true, 1.3},
	} {
		synctest.Test(t, func(t *testing.T) {
			mem, db := withoutRoomForSnapshots(t)
			putKilobytes(t, db, strings.Fields(strings.Repeat("k ", 20))...)
			time.Sleep(9 * time.Minute)
			failed := db.Stats().Checkpoints.Failed
			require.Less(t, failed, uint64(20))
			mem.SetHook(nil)
			base := float64(db.Stats().Checkpoints.LogBytes)
			if c.byHand {
				_, err := db.Checkpoint(t.Context())
				require.NoError(t, err)
				base = float64(db.Stats().Checkpoints.Due)
			}
			before, most := db.Stats().Checkpoints.Taken, 0.0
			for n := 0; db.Stats().Checkpoints.Taken == before && n < 1000; n++ {
				putKilobytes(t, db, fmt.Sprint(n%10))
				most = max(most, float64(db.Stats().Checkpoints.LogBytes)/base)
				time.Sleep(10 * time.Millisecond)
			}
			require.Less(t, most, c.most, c.sentence)
		})
	}
}

// TestAFailingCheckpointIsSeldomTriedAgain has a log that grows meanwhile.
func TestAFailingCheckpointIsSeldomTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, db := withoutRoomForSnapshots(t)
		for range 1000 {
			putKilobytes(t, db, "k")
			synctest.Wait()
		}
		require.Less(t, db.Stats().Checkpoints.Failed, uint64(10), "once whenever the log is twice as long")
		mem.SetHook(nil)
	})
}

func TestACheckpointThatIsGivenUpIsCountedInStats(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, manual(mem))
	put(t, db, "k", "v")
	ctx, cancel := context.WithCancel(t.Context())
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpOpen && strings.HasSuffix(c.Name, ".snap") && strings.Contains(string(debug.Stack()), "inventory).verify") {
			cancel()
		}
		return nil
	})
	_, err := db.Checkpoint(ctx)
	require.ErrorIs(t, err, context.Canceled)
	mem.SetHook(nil)
	files, err := mem.List(storeDir + "/snapshot")
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Equal(t, 1, db.Stats().Checkpoints.Snapshots)
}

// TestAFileThatCannotBeRemovedFailsNoCheckpoint has one of the log that never goes.
func TestAFileThatCannotBeRemovedFailsNoCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, manual(mem))
	stuck := ""
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRemove && strings.HasSuffix(c.Name, ".store") {
			if stuck = cmp.Or(stuck, c.Name); c.Name == stuck {
				return syscall.EPERM
			}
		}
		return nil
	})
	for range 6 {
		for i := range 20 {
			put(t, db, fmt.Sprint(i), string(make([]byte, 1000)))
		}
		checkpoint(t, db)
	}
	require.NotEmpty(t, stuck)
	require.Equal(t, []uint64{6, 0}, []uint64{db.Stats().Checkpoints.Taken, db.Stats().Checkpoints.Failed})
	stores := slices.DeleteFunc(mem.Names(), func(name string) bool { return !strings.HasSuffix(name, ".store") })
	require.Len(t, stores, db.Stats().Segments+1)
	require.Contains(t, stores, stuck)
	mem.SetHook(nil)
}
