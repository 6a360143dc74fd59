package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// damagedNewest makes a store with two snapshots, a block of the newer one of which is damaged, and a log that begins after
// the first commit. It returns the newer one's offset, and the pairs.
func damagedNewest(t *testing.T) (mem *vfs.Mem, newest uint64, want []string) {
	t.Helper()
	mem = vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	for round := range 3 {
		for i := range 10 {
			put(t, db, fmt.Sprint(round, "/", i), string(make([]byte, 1000)))
		}
		newest = checkpoint(t, db)
	}
	require.Greater(t, db.Stats().First, uint64(1))
	want = lines(db.Scan(Range{}))
	require.NoError(t, db.Close())
	flipBit(t, mem, snapshotPath(newest), payloadBit)
	return mem, newest, want
}

func TestPruneSnapshotsKeepsTheLastSoundOne(t *testing.T) {
	mem, newest, want := damagedNewest(t)
	removed, err := PruneSnapshots(t.Context(), storeDir, 1, manual(mem))
	require.NoError(t, err)
	require.Empty(t, removed)
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	require.Equal(t, want, lines(db.Scan(Range{})))
	require.Equal(t, snapshotPath(newest), db.Recovery().Skipped[0].Path)
	require.NoError(t, db.Close())
}

func TestACheckpointDoesNotCountASnapshotThatTheStartSkipped(t *testing.T) {
	mem, _, _ := damagedNewest(t)
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	require.Len(t, db.Recovery().Skipped, 1)
	put(t, db, "one", "more")
	next := checkpoint(t, db)
	want := lines(db.Scan(Range{}))
	require.NoError(t, db.Close())
	flipBit(t, mem, snapshotPath(next), payloadBit)
	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err, "the sound one before it, and the log after that, are still there")
	require.Equal(t, want, lines(db.Scan(Range{})))
	require.NoError(t, db.Close())
}

func TestACheckpointReplacesADamagedSnapshotOfTheSameCommit(t *testing.T) {
	mem, newest, want := damagedNewest(t)
	opts := manual(mem)
	opts.CheckpointOnClose = true
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	require.Equal(t, newest, checkpoint(t, db))
	require.NoError(t, VerifySnapshot(t.Context(), snapshotPath(newest), opts))
	require.NoError(t, db.Close())
	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	require.Empty(t, db.Recovery().Skipped)
	require.Zero(t, db.Recovery().Replayed)
	require.Equal(t, want, lines(db.Scan(Range{})))
	require.NoError(t, db.Close())
}

// TestADamagedSnapshotStaysUntilItsReplacementIsThere cuts the power before each call, and has a full disk at first.
func TestADamagedSnapshotStaysUntilItsReplacementIsThere(t *testing.T) {
	mem, newest, _ := damagedNewest(t)
	db := openStore(t, storeDir, manual(mem))
	look := func(c vfs.Call) error {
		for _, policy := range vfs.Policies {
			_, err := mem.Crash(1, policy).ReadFile(snapshotPath(newest))
			require.NoError(t, err, "%v, %v", c, policy)
		}
		return nil
	}
	full := vfs.FailNth(vfs.OpWrite, 1, syscall.ENOSPC)
	mem.SetHook(func(c vfs.Call) error { return errors.Join(look(c), full(c)) })
	_, err := db.Checkpoint(t.Context())
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, VerifySnapshot(t.Context(), snapshotPath(newest), manual(mem)), ErrCorrupt)
	mem.SetHook(look)
	require.Equal(t, newest, checkpoint(t, db))
	mem.SetHook(nil)
	require.NoError(t, VerifySnapshot(t.Context(), snapshotPath(newest), manual(mem)))
}

// A process that was killed between the snapshot and the pruning leaves one too many, and each that follows may do the same.
func TestACheckpointRemovesWhatIsTooManyBeforeItWrites(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept = 5
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for i := range opts.SnapshotsKept {
		put(t, db, "k", fmt.Sprint(i))
		checkpoint(t, db)
	}
	require.NoError(t, db.Close())
	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "k", "last")
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpCreate {
			return syscall.ENOSPC
		}
		return nil
	})
	_, err = db.Checkpoint(t.Context())
	require.ErrorIs(t, err, ErrNoSpace)
	require.Equal(t, 2, db.Stats().Checkpoints.Snapshots)
	mem.SetHook(nil)
	checkpoint(t, db)
	require.Equal(t, 2, db.Stats().Checkpoints.Snapshots)
	require.NoError(t, db.Close())
}

// TestASnapshotThatCannotBeReadNowIsNotRemoved has the only sound snapshot, and no file can be opened for a while.
func TestASnapshotThatCannotBeReadNowIsNotRemoved(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept = 1
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	fillAndCheckpoint := func(value string) uint64 {
		put(t, db, "k", value)
		return checkpoint(t, db)
	}
	fillAndCheckpoint(string(make([]byte, 8000)))
	offset := fillAndCheckpoint("last")
	mem.SetHook(func(c vfs.Call) error {
		if (c.Op == vfs.OpOpen || c.Op == vfs.OpCreate) && strings.HasPrefix(c.Name, filepath.Join(storeDir, snapshotName)) {
			return syscall.EMFILE
		}
		return nil
	})
	_, err = db.Checkpoint(t.Context())
	require.ErrorIs(t, err, syscall.EMFILE)
	mem.SetHook(nil)
	require.NoError(t, db.Close())
	require.NoError(t, VerifySnapshot(t.Context(), snapshotPath(offset), opts))
	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	requireHolds(t, db, "k=last")
	require.NoError(t, db.Close())
}

// TestASnapshotThatTheLogNoLongerFollowsIsNotOneOfThoseKept has snapshots that can't be opened while they are surplus, so that
// they stay although the log is truncated past them.
func TestASnapshotThatTheLogNoLongerFollowsIsNotOneOfThoseKept(t *testing.T) {
	mem := vfs.NewMem()
	var snapshots []string
	for round := range 4 {
		db, err := Open(storeDir, manual(mem))
		require.NoError(t, err)
		for i := range 10 {
			put(t, db, fmt.Sprint(i), string(make([]byte, 1000)))
		}
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpOpen && slices.Index(snapshots, c.Name) >= 0 && slices.Index(snapshots, c.Name) < round-1 {
				return syscall.EMFILE
			}
			return nil
		})
		snapshots = append(snapshots, snapshotPath(checkpoint(t, db)))
		mem.SetHook(nil)
		require.NoError(t, db.Close())
	}
	log, err := OpenLog(storeDir, manual(mem))
	require.NoError(t, err)
	require.Greater(t, log.First(), uint64(21), "the log follows the third snapshot and no older one")
	require.NoError(t, log.Close())

	flipBit(t, mem, snapshots[2], payloadBit)
	removed, err := PruneSnapshots(t.Context(), storeDir, 2, manual(mem))
	require.NoError(t, err)
	require.Empty(t, removed, "a start can begin with the newest alone")
	removed, err = PruneSnapshots(t.Context(), storeDir, 1, manual(mem))
	require.NoError(t, err)
	require.ElementsMatch(t, snapshots[:3], removed)
}

// TestASnapshotIsReadBack damages what a checkpoint writes on its way to the disk.
func TestASnapshotIsReadBack(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "k", "v")
	first := checkpoint(t, db)
	put(t, db, "k", string(make([]byte, 1000)))
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRename && strings.HasPrefix(c.Name, filepath.Join(storeDir, snapshotName)) {
			flipBit(t, mem, c.Name, payloadBit)
		}
		return nil
	})
	_, err = db.Checkpoint(t.Context())
	mem.SetHook(nil)
	require.ErrorIs(t, err, ErrCorrupt)
	files, err := Snapshots(storeDir, manual(mem))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Equal(t, first, files[0].Offset)
	require.NoError(t, db.Close())
}

// TestASnapshotThatCannotBeReadIsPassedOver has a bad sector under the newest snapshot.
func TestASnapshotThatCannotBeReadIsPassedOver(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "a", "1")
	checkpoint(t, db)
	put(t, db, "b", "2")
	newest := snapshotPath(checkpoint(t, db))
	require.NoError(t, db.Close())
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && c.Name == newest {
			return errDisk
		}
		return nil
	})
	found, err := Check(t.Context(), storeDir, manual(mem))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.True(t, found[0].Damage)
	require.Equal(t, newest, found[0].Path)
	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err)
	requireHolds(t, db, "a=1", "b=2")
	require.ErrorIs(t, db.Recovery().Skipped[0].Err, errDisk)
	mem.SetHook(nil)
	require.NoError(t, db.Close())
}

func TestASnapshotIsSaidToHaveAnOlderOneOnlyWhereItHas(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "a", "1")
	older := checkpoint(t, db)
	put(t, db, "b", "2")
	newest := checkpoint(t, db)
	require.NoError(t, db.Close())
	for _, offset := range []uint64{older, newest} {
		flipBit(t, mem, snapshotPath(offset), headerBit)
	}
	for how, open := range map[string]func(opts Options) (io.Closer, error){
		"store": func(opts Options) (io.Closer, error) { return Open(storeDir, opts) },
		"view":  func(opts Options) (io.Closer, error) { return OpenDiskView(t.Context(), storeDir, opts) },
	} {
		logger, text := logTo()
		opened, err := open(Options{fs: mem, ReadOnly: true, Logger: logger})
		require.NoError(t, err, how)
		require.NoError(t, opened.Close())
		const begin = `snapshot can't be read`
		require.Contains(t, text.String(), begin+`; starting from an older one" path=`+snapshotPath(newest), how)
		require.Contains(t, text.String(), begin+`, and there is no older one; starting from the log alone" path=`+snapshotPath(older), how)
	}
}

func TestASnapshotOfANewerProgramIsNotCalledDamaged(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "a", "1")
	older := snapshotPath(checkpoint(t, db))
	put(t, db, "b", "2")
	checkpoint(t, db)
	require.NoError(t, db.Close())
	makeNewer(t, mem, older)
	logger, text := logTo()
	opts := manual(mem)
	opts.Logger = logger
	removed, err := PruneSnapshots(t.Context(), storeDir, 2, opts)
	require.NoError(t, err)
	require.Empty(t, removed)
	require.Contains(t, text.String(), "snapshot is of a newer program; it is left alone and doesn't count")
	require.NotContains(t, text.String(), "damaged")
}

// makeNewer gives a snapshot's header the next format's number, as docs/snapshot.md lays it out.
func makeNewer(t *testing.T, mem *vfs.Mem, path string) {
	t.Helper()
	const versionAt, sumAt = 8, 56
	file, err := mem.Open(path)
	require.NoError(t, err)
	head := make([]byte, sumAt+4)
	_, err = file.ReadAt(head, 0)
	require.NoError(t, err)
	head[versionAt]++
	binary.LittleEndian.PutUint32(head[sumAt:], crc32.Checksum(head[:sumAt], crc32.MakeTable(crc32.Castagnoli)))
	_, err = file.WriteAt(head, 0)
	require.NoError(t, errors.Join(err, file.Close()))
}

func TestACheckpointThatIsGivenUpIsNoFailure(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, manual(mem))
	put(t, db, "k", "v")
	ctx, cancel := context.WithCancel(t.Context())
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpCreate {
			cancel()
		}
		return nil
	})
	_, err := db.Checkpoint(ctx)
	mem.SetHook(nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, db.Stats().Checkpoints.Failed)
	require.NoError(t, db.Stats().Checkpoints.Err)
}

// TestACheckpointThatCouldNotArchiveIsTriedAgain is about one that fails after its snapshot was taken, so that the next one
// isn't due for long.
func TestACheckpointThatCouldNotArchiveIsTriedAgain(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.CheckpointFloor, opts.CheckpointFactor, opts.SnapshotsKept, opts.ArchiveDir = 100_000, 0.1, 1, "/data/archive"
	db := openStore(t, storeDir, opts)
	var fails atomic.Bool
	fails.Store(true)
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpLink && fails.Load() {
			return errDisk
		}
		return nil
	})
	for i := range 220 {
		put(t, db, fmt.Sprint(i%50), string(make([]byte, 500)))
	}
	waitUntil(t, func() bool { return db.Stats().Checkpoints.Failed > 0 })
	require.EqualValues(t, 1, db.Stats().First)
	put(t, db, "one", "more")
	fails.Store(false)
	waitUntil(t, func() bool { return db.Stats().First > 1 })
	require.Less(t, db.Stats().Checkpoints.Offset, db.Offset(), "for that no further snapshot is written")
	waitUntil(t, func() bool { return db.Stats().Checkpoints.Err == nil })
	mem.SetHook(nil)
}

// TestAFullArchiveDoesNotStopSnapshots has a damaged snapshot, which stays, so that each checkpoint begins with what the last
// one left undone.
func TestAFullArchiveDoesNotStopSnapshots(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept, opts.ArchiveDir = 1, "/data/archive"
	db := openStore(t, storeDir, opts)
	fill := func() {
		for i := range 10 {
			put(t, db, fmt.Sprint(i), string(make([]byte, 1000)))
		}
	}
	fill()
	damaged := snapshotPath(checkpoint(t, db))
	flipBit(t, mem, damaged, headerBit)
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpLink {
			return syscall.ENOSPC
		}
		return nil
	})
	first := db.Stats().First
	for range 3 {
		fill()
		_, err := db.Checkpoint(t.Context())
		require.ErrorIs(t, err, ErrNoSpace)
		require.Equal(t, db.Offset(), db.Stats().Checkpoints.Offset, "the snapshot was taken all the same")
		require.Equal(t, 2, db.Stats().Checkpoints.Snapshots, "with the damaged one")
	}
	require.Equal(t, first, db.Stats().First)
	mem.SetHook(nil)
	checkpoint(t, db)
	require.Greater(t, db.Stats().First, first)
	require.NoError(t, mem.Remove(damaged))
}

// TestAtBesideACheckpointFindsTheState takes a checkpoint, which prunes the snapshot before it, when At is about to read that.
func TestAtBesideACheckpointFindsTheState(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept = 1
	db := openStore(t, storeDir, opts)
	fill := func() {
		for i := range 10 {
			put(t, db, fmt.Sprint(i), string(make([]byte, 1000)))
		}
	}
	fill()
	first := checkpoint(t, db)
	fill()
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpOpen && c.Name == snapshotPath(first) {
			mem.SetHook(nil)
			checkpoint(t, db)
		}
		return nil
	})
	past, err := db.At(t.Context(), db.Offset())
	require.NoError(t, err)
	require.Equal(t, lines(db.Scan(Range{})), lines(past.Scan(Range{})))
	require.NoError(t, past.Close())
}

func TestAtStopsLoadingWhenItsContextEnds(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SegmentSize, opts.SnapshotCompression = 64<<20, CompressionNone
	db := openStore(t, storeDir, opts)
	for i := range 100 {
		put(t, db, fmt.Sprint(i), string(make([]byte, 100<<10)))
	}
	offset := checkpoint(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	var reads atomic.Int64
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && c.Name == snapshotPath(offset) {
			reads.Add(1)
			cancel()
		}
		return nil
	})
	_, err := db.At(ctx, offset)
	mem.SetHook(nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, reads.Load(), int64(50))
}

// TestALogThatEndsBeforeASnapshotIsRefused puts an older copy of the log in the place of the log, and then no file at all, in
// whose place nothing may be written. The right files can be put back.
func TestALogThatEndsBeforeASnapshotIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	logFiles := func() map[string]string {
		files := contents(t, mem)
		for name := range files {
			if filepath.Dir(name) != filepath.Join(storeDir, walName) {
				delete(files, name)
			}
		}
		return files
	}
	replaceLog := func(with map[string]string) {
		for name := range logFiles() {
			require.NoError(t, mem.Remove(name))
		}
		for name, content := range with {
			require.NoError(t, mem.WriteFile(name, []byte(content)))
		}
	}
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "k", "old")
	require.NoError(t, db.Close())
	older := logFiles()
	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "k", "new")
	checkpoint(t, db)
	require.NoError(t, db.Close())
	whole := logFiles()

	for sentence, with := range map[string]map[string]string{"an older log": older, "no log": nil} {
		replaceLog(with)
		var made []vfs.Call
		mem.SetHook(changes(&made))
		for _, readOnly := range []bool{false, true} {
			opts := manual(mem)
			opts.ReadOnly = readOnly
			_, err = Open(storeDir, opts)
			require.ErrorIs(t, err, ErrCorrupt, "%s, read-only: %v", sentence, readOnly)
			require.ErrorContains(t, err, "a part of the log is missing")
		}
		found, err := Check(t.Context(), storeDir, manual(mem))
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Contains(t, found[0].Problem, "a part of the log is missing")
		mem.SetHook(nil)
		for _, c := range made {
			require.True(t, with != nil || c.Op == vfs.OpLock || c.Op == vfs.OpSyncDir, "%s: %v", sentence, c)
		}
	}
	replaceLog(whole)
	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err)
	requireHolds(t, db, "k=new")
	require.NoError(t, db.Close())
}

// TestAReaderShowsNothingThatAPowerCutTakes opens the store for reading while the sync of a commit is held up.
func TestAReaderShowsNothingThatAPowerCutTakes(t *testing.T) {
	for name, read := range map[string]func(opts Options) []string{
		"a read-only store": func(opts Options) []string { return lines(openStore(t, storeDir, opts).Scan(Range{})) },
		"a view of the files": func(opts Options) []string {
			pairs, err := viewed(openView(t, opts, overlayFirst).Scan(context.Background(), Range{}))
			require.NoError(t, err)
			return pairs
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			opts := manual(mem)
			db, err := Open(storeDir, opts)
			require.NoError(t, err)
			put(t, db, "k", "1")
			held, release := holdSync(mem, nil)
			var done sync.WaitGroup
			done.Go(func() { put(t, db, "k", "2") })
			waitUntil(t, held.Load)
			opts.ReadOnly = true
			seen := read(opts)
			opts.fs = mem.Crash(1, vfs.KeepNone)
			close(release)
			done.Wait()
			require.Equal(t, seen, read(opts))
			require.NoError(t, db.Close())
		})
	}
}

// TestNothingIsKeptOfSnapshotsThatAreRemoved, since a store that stays open takes any number of them.
func TestNothingIsKeptOfSnapshotsThatAreRemoved(t *testing.T) {
	db := openStore(t, storeDir, manual(vfs.NewMem()))
	for i := range 20 {
		put(t, db, "k", fmt.Sprint(i))
		_, err := db.Checkpoint(t.Context())
		require.NoError(t, err)
	}
	known := 0
	db.snapshots.verdicts.Range(func(_, _ any) bool {
		known++
		return true
	})
	require.LessOrEqual(t, known, DefaultSnapshotsKept)
}
