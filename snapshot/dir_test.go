package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// write writes a snapshot of the entries to testDir.
func write(t testing.TB, fsys vfs.FS, offset uint64, entries []Entry) {
	t.Helper()
	path, info, err := Write(t.Context(), fsys, testDir, testHeader(offset), Options{BlockSize: 300}, all(entries))
	require.NoError(t, err)
	require.Equal(t, Path(testDir, offset), path)
	require.EqualValues(t, len(entries), info.Entries)
}

// offsets lists the snapshots in testDir.
func offsets(t testing.TB, fsys vfs.FS) (listed []uint64) {
	t.Helper()
	places, err := List(fsys, testDir)
	require.NoError(t, err)
	for _, p := range places {
		require.Equal(t, Path(testDir, p.Offset), p.Path)
		listed = append(listed, p.Offset)
	}
	return listed
}

// requireWhole checks a snapshot in testDir from end to end.
func requireWhole(t testing.TB, fsys vfs.FS, offset uint64, entries []Entry) {
	t.Helper()
	f, err := Open(fsys, Path(testDir, offset))
	require.NoError(t, err)
	require.Equal(t, testHeader(offset), f.Info().Header)
	require.NoError(t, f.Verify(context.Background()))
	got, err := collect(f.Entries(1))
	require.NoError(t, err)
	requireEntries(t, entries, got)
	require.NoError(t, f.Close())
}

func TestSnapshotsAreListedNewestFirstAndForeignFilesLeftAlone(t *testing.T) {
	mem := vfs.NewMem()
	require.Empty(t, offsets(t, mem), "a directory that doesn't exist has none")
	for _, offset := range []uint64{9, 0, math.MaxUint64, 10} {
		write(t, mem, offset, compressible(3))
	}
	foreign := []string{
		"notes.txt", "9.snap", "+0000000000000000009.snap", "00000000000000000009.snap.bak", "0000000000000000000x.snap",
		"99999999999999999999.snap", "00000000000000000011.snap.tmp.old", "backup.snap.tmp",
	}
	for _, name := range foreign {
		require.NoError(t, mem.WriteFile(filepath.Join(testDir, name), []byte("mine")))
	}
	require.NoError(t, mem.MkdirAll(Path(testDir, 77)))
	require.Equal(t, []uint64{math.MaxUint64, 10, 9, 0}, offsets(t, mem))

	removed, err := RemoveTemporary(mem, testDir)
	require.NoError(t, err)
	require.Empty(t, removed)
	for _, name := range foreign {
		_, err := mem.ReadFile(filepath.Join(testDir, name))
		require.NoError(t, err, name)
	}
}

func TestLeftoversAreRemovedAndReturned(t *testing.T) {
	mem := vfs.NewMem()
	removed, err := RemoveTemporary(mem, testDir)
	require.NoError(t, err)
	require.Empty(t, removed, "a directory that doesn't exist has none")
	write(t, mem, 5, compressible(3))
	leftovers := []string{Path(testDir, 6) + temporarySuffix, Path(testDir, 7) + temporarySuffix}
	for _, path := range leftovers {
		require.NoError(t, mem.WriteFile(path, []byte("half of a snaps")))
	}
	require.Equal(t, []uint64{5}, offsets(t, mem))
	removed, err = RemoveTemporary(mem, testDir)
	require.NoError(t, err)
	require.Equal(t, leftovers, removed)
	after := mem.Crash(0, vfs.KeepNone)
	require.Equal(t, []string{Path(testDir, 5)}, after.Names(), "the removal is durable")
}

func TestALeftoverOfTheSameOffsetIsNotInTheWay(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile(Path(testDir, 6)+temporarySuffix, make([]byte, 100_000)))
	write(t, mem, 6, compressible(9))
	requireWhole(t, mem, 6, compressible(9))
	require.Equal(t, []string{Path(testDir, 6)}, mem.Names())
}

func TestASnapshotIsNeverReplaced(t *testing.T) {
	mem := vfs.NewMem()
	write(t, mem, 6, compressible(9))
	_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{}, all(nil))
	require.ErrorIs(t, err, fs.ErrExist)
	requireWhole(t, mem, 6, compressible(9))
}

// TestADamagedSnapshotStaysUntilItIsReplaced fails each call, and cuts the power before each one.
func TestADamagedSnapshotStaysUntilItIsReplaced(t *testing.T) {
	failed := 0
	for n := 1; ; n++ {
		mem := vfs.NewMem()
		write(t, mem, 5, compressible(20))
		damaged := []byte("damaged")
		require.NoError(t, mem.WriteFile(Path(testDir, 6), damaged))
		require.NoError(t, mem.SyncDir(testDir))
		requireEither := func(state *vfs.Mem) {
			requireWhole(t, state, 5, compressible(20))
			if data, err := state.ReadFile(Path(testDir, 6)); err != nil || !bytes.Equal(data, damaged) {
				requireWhole(t, state, 6, compressible(30))
			}
		}
		calls := 0
		mem.SetHook(func(vfs.Call) error {
			if calls++; calls != n {
				return nil
			}
			eachCrash(mem, func(state *vfs.Mem, _ uint64, _ vfs.Policy) { requireEither(state) })
			return errDisk
		})
		_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{BlockSize: 300, Replace: true}, all(compressible(30)))
		mem.SetHook(nil)
		require.Equal(t, []string{Path(testDir, 5), Path(testDir, 6)}, mem.Names(), "call %d", n)
		requireEither(mem)
		if calls < n {
			require.NoError(t, err)
			requireWhole(t, mem.Crash(0, vfs.KeepNone), 6, compressible(30))
			break
		}
		require.ErrorIs(t, err, errDisk)
		failed++
	}
	require.Greater(t, failed, 10)
}

func TestARemovedSnapshotStaysAway(t *testing.T) {
	mem := vfs.NewMem()
	write(t, mem, 5, compressible(3))
	write(t, mem, 6, compressible(4))
	require.NoError(t, Remove(mem, testDir, 5))
	require.Equal(t, []uint64{6}, offsets(t, mem.Crash(0, vfs.KeepNone)))
	require.ErrorIs(t, Remove(mem, testDir, 5), fs.ErrNotExist)
}

// requireAsBefore checks that there is a snapshot as of offset 5 and nothing else.
func requireAsBefore(t testing.TB, mem *vfs.Mem) {
	t.Helper()
	mem.SetHook(nil)
	require.Equal(t, []string{Path(testDir, 5)}, mem.Names())
	requireWhole(t, mem, 5, compressible(20))
}

func TestAFailureAtAnyCallLeavesEverythingAsItWas(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpMkdir, vfs.OpCreate, vfs.OpOpen, vfs.OpRead, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir} {
		failures := 0
		for n := 1; ; n++ {
			mem := vfs.NewMem()
			write(t, mem, 5, compressible(20))
			mem.SetHook(vfs.FailNth(op, n, errDisk))
			_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{BlockSize: 300}, all(compressible(30)))
			if err == nil {
				break
			}
			failures++
			require.ErrorIs(t, err, errDisk, "%v %d", op, n)
			require.ErrorContains(t, err, Path(testDir, 6))
			if op == vfs.OpOpen && n == 1 {
				require.NotErrorIs(t, err, fs.ErrExist, "the error doesn't show that there is one")
			}
			requireAsBefore(t, mem)
			write(t, mem, 6, compressible(30))
			requireWhole(t, mem, 6, compressible(30))
		}
		if op != vfs.OpMkdir { // The directory is there.
			require.Positive(t, failures, "%v", op)
		}
	}
}

func TestAShortWriteLeavesEverythingAsItWas(t *testing.T) {
	mem := vfs.NewMem()
	write(t, mem, 5, compressible(20))
	mem.SetHook(vfs.FailNth(vfs.OpWrite, 3, &vfs.ShortWrite{Bytes: 10}))
	_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{BlockSize: 300}, all(compressible(30)))
	require.Error(t, err)
	requireAsBefore(t, mem)
}

func TestAFullDiskAtAnyStepLeavesEverythingAsItWas(t *testing.T) {
	entries := noise(60, 1000).entries
	full := 0
	for capacity := int64(8 << 10); ; capacity += 4 << 10 {
		mem := vfs.NewMem()
		write(t, mem, 5, compressible(20))
		mem.SetCapacity(capacity)
		_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{BlockSize: 2000}, all(entries))
		if err == nil {
			requireWhole(t, mem, 6, entries)
			break
		}
		full++
		require.ErrorIs(t, err, syscall.ENOSPC, "capacity %d", capacity)
		requireAsBefore(t, mem)
		mem.SetCapacity(0)
		write(t, mem, 6, entries)
		requireWhole(t, mem, 6, entries)
	}
	require.Greater(t, full, 10)
}

func TestAContextThatEndsLeavesEverythingAsItWas(t *testing.T) {
	mem := vfs.NewMem()
	write(t, mem, 5, compressible(20))
	enough := errors.New("the source has failed")
	for after := range 31 {
		ctx, cancel := context.WithCancelCause(t.Context())
		given := 0
		_, _, err := Write(ctx, mem, testDir, testHeader(6), Options{BlockSize: 300}, func(yield func(key, data []byte) bool) {
			for _, e := range compressible(30) {
				if given == after {
					cancel(enough)
					return
				}
				if !yield(e.Key, e.Data) {
					return
				}
				given++
			}
			cancel(enough)
		})
		require.ErrorIs(t, err, enough, "after %d entries", after)
		requireAsBefore(t, mem)
	}
}

func TestEntriesOutOfOrderLeaveEverythingAsItWas(t *testing.T) {
	mem := vfs.NewMem()
	write(t, mem, 5, compressible(20))
	entries := append(compressible(30), compressible(1)...)
	_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{BlockSize: 300}, all(entries))
	require.ErrorIs(t, err, ErrOrder)
	requireAsBefore(t, mem)
}

func TestTheOperatingSystemsFilesWorkToo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	entries := compressible(1000)
	path, info, err := Write(t.Context(), nil, dir, testHeader(5), Options{}, all(entries))
	require.NoError(t, err)
	stat, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, info.FileBytes, stat.Size())
	require.Equal(t, fs.FileMode(0o600), stat.Mode().Perm())
	f, err := Open(nil, path)
	require.NoError(t, err)
	got, err := collect(f.Entries(0))
	require.NoError(t, err)
	requireEntries(t, entries, got)
	require.NoError(t, Remove(nil, dir, 5))
	require.NoError(t, f.Verify(t.Context()), "an open file can still be read")
	require.NoError(t, f.Close())
	places, err := List(nil, dir)
	require.NoError(t, err)
	require.Empty(t, places)
	_, err = RemoveTemporary(nil, dir)
	require.NoError(t, err)
}

func TestAContextThatEndsAtAnyCallEitherStopsItOrIsTooLate(t *testing.T) {
	stopped, late := 0, 0
	for n := 1; late < 2; n++ {
		mem := vfs.NewMem()
		write(t, mem, 5, compressible(20))
		ctx, cancel := context.WithCancelCause(t.Context())
		calls := 0
		mem.SetHook(func(vfs.Call) error {
			if calls++; calls == n {
				cancel(errDisk)
			}
			return nil
		})
		_, _, err := Write(ctx, mem, testDir, testHeader(6), Options{BlockSize: 300}, all(compressible(30)))
		if err == nil {
			late++
			requireWhole(t, mem, 6, compressible(30))
			cancel(nil)
			continue
		}
		stopped++
		require.ErrorIs(t, err, errDisk)
		requireAsBefore(t, mem)
	}
	require.Greater(t, stopped, 10)
}

func TestWhatReadsBackAsSomethingElseIsNotPublished(t *testing.T) {
	flipped := encode(t, testHeader(6), Options{}, compressible(30))
	flipped[headSize+blockHeadSize+10] ^= 1
	for name, other := range map[string][]byte{
		"cut":            specimen(t, S2)[:100],
		"one bit off":    flipped,
		"whole, but old": encode(t, testHeader(6), Options{}, compressible(1)),
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			write(t, mem, 5, compressible(20))
			mem.SetHook(func(call vfs.Call) error {
				if call.Op == vfs.OpOpen && isTemporary(filepath.Base(call.Name)) {
					return mem.WriteFile(call.Name, other)
				}
				return nil
			})
			_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{}, all(compressible(30)))
			require.ErrorIs(t, err, ErrCorrupt)
			requireAsBefore(t, mem)
		})
	}
}
