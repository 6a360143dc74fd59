package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

const archiveDir = "/archive/of/log"

// archiveOptions are testOptions with an archive.
func archiveOptions(fs vfs.FS) Options {
	opts := testOptions(fs)
	opts.ArchiveDir = archiveDir
	return opts
}

// refuse makes every link fail with an error.
func refuse(err error) func(vfs.Call) error {
	return func(c vfs.Call) error {
		if c.Op == vfs.OpLink {
			return err
		}
		return nil
	}
}

func openArchive(t testing.TB, opts Options, dirs ...string) *Archive {
	t.Helper()
	a, err := OpenArchive(opts, dirs...)
	require.NoError(t, err)
	return a
}

// requireHistory checks that directories hold exactly the records that fill makes, without a gap.
func requireHistory(t testing.TB, opts Options, first, last uint64, dirs ...string) {
	t.Helper()
	a := openArchive(t, opts, dirs...)
	require.Equal(t, first, a.First())
	require.Equal(t, last, a.Last())
	require.LessOrEqual(t, a.stores[len(a.stores)-1].head.base, last+1, "no segment has nothing but truncated records")
	want := first
	for record, err := range a.Records(first) {
		require.NoError(t, err)
		require.Equal(t, want, record.Offset)
		require.Equal(t, payloadOf(want), record.Payload)
		want++
	}
	require.Equal(t, last+1, want)
	require.NoError(t, a.Close())
}

func archiveNames(mem *vfs.Mem) (found []string) {
	for _, name := range mem.Names() {
		if strings.HasPrefix(name, archiveDir) {
			found = append(found, name)
		}
	}
	return found
}

func TestSegmentsCanBeArchivedBeforeTheyAreTruncated(t *testing.T) {
	mem := vfs.NewMem()
	opts := archiveOptions(mem)
	l := openTest(t, opts)
	fill(t, l, 200)
	segments := l.Segments()
	first := segments[2].Base
	mem.SetHook(refuse(syscall.EIO))
	require.ErrorIs(t, l.ArchiveFront(first), syscall.EIO)
	mem.SetHook(nil)
	require.NoError(t, l.ArchiveFront(first))
	require.Equal(t, segments, l.Segments(), "the log is as it was")
	require.Len(t, archiveNames(mem), 2)
	require.NoError(t, l.TruncateFront(first))
	require.Equal(t, first, l.First())
	requireHistory(t, opts, 1, 200, archiveDir, testDir)
}

func TestTruncatedSegmentsAreInTheArchive(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		for name, unlinkable := range map[string]error{
			"linked": nil, "copied to another file system": syscall.EXDEV, "copied since links are not permitted": syscall.EPERM,
			"copied since there are no links": syscall.ENOTSUP, "copied since nobody knows links": syscall.ENOSYS,
		} {
			t.Run(fmt.Sprintf("%s/%s", mode, name), func(t *testing.T) {
				mem := vfs.NewMem()
				mem.SetHook(refuse(unlinkable))
				opts := archiveOptions(mem)
				opts.Sync = mode
				l := openTest(t, opts)
				for last := uint64(60); last <= 300; last += 60 {
					fill(t, l, last)
					require.NoError(t, l.TruncateFront(last-20))
					requireHistory(t, opts, 1, last, archiveDir, testDir)
					requireHistory(t, opts, 1, l.First()-1, archiveDir)
				}
				for _, name := range archiveNames(mem) {
					require.True(t, strings.HasSuffix(name, storeSuffix), "only stores are archived, not %s", name)
				}
				require.NoError(t, l.Close())
				requireHistory(t, opts, 1, 300, archiveDir, testDir)
			})
		}
	}
}

// TestAnArchivedSegmentIsDurableWithTheTruncation: an archive lives through the power cut that the truncation does.
func TestAnArchivedSegmentIsDurableWithTheTruncation(t *testing.T) {
	for name, unlinkable := range map[string]error{"linked": nil, "copied": syscall.EXDEV} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			mem.SetHook(refuse(unlinkable))
			l := openTest(t, archiveOptions(mem))
			fill(t, l, 200)
			require.NoError(t, l.TruncateFront(150))
			for _, policy := range vfs.Policies {
				after := mem.Crash(1, policy)
				requireHistory(t, archiveOptions(after), 1, 200, archiveDir, testDir)
			}
		})
	}
}

func TestArchivingOnRealDisks(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		opts := testOptions(fs)
		opts.ArchiveDir = filepath.Join(dir, "archive", "of", "log")
		logDir := filepath.Join(dir, "log")
		l, err := Open(logDir, opts)
		require.NoError(t, err)
		fill(t, l, 200)
		require.NoError(t, l.TruncateFront(150))
		requireHistory(t, opts, 1, 200, opts.ArchiveDir, logDir)
		require.NoError(t, l.Close())
		requireHistory(t, opts, 1, 200, logDir, opts.ArchiveDir)
	})
}

// TestACopyGoesToAnotherFileSystem needs a second file system, which most machines have for what is temporary.
func TestACopyGoesToAnotherFileSystem(t *testing.T) {
	const shared = "/dev/shm"
	other, err := os.MkdirTemp(shared, "wal")
	if err != nil {
		t.Skipf("another file system: %v", err)
	}
	defer func() { require.NoError(t, os.RemoveAll(other)) }()
	dir := t.TempDir()
	opts := testOptions(vfs.OS)
	opts.ArchiveDir = filepath.Join(other, "archive")
	l, err := Open(dir, opts)
	require.NoError(t, err)
	fill(t, l, 200)
	require.NoError(t, l.TruncateFront(150))
	require.NoError(t, l.Close())
	requireHistory(t, opts, 1, 200, opts.ArchiveDir, dir)
}

// TestAnErrorOfArchivingTruncatesNothingAndTheLogGoesOn fails every call that archiving makes, in turn.
func TestAnErrorOfArchivingTruncatesNothingAndTheLogGoesOn(t *testing.T) {
	for _, c := range []struct {
		sentence   string
		unlinkable error
		with, want error
	}{
		{"linking, the disk fails", nil, errDisk, errDisk},
		{"linking, the disk is full", nil, syscall.ENOSPC, ErrNoSpace},
		{"copying, the disk fails", syscall.EXDEV, errDisk, errDisk},
		{"copying, the disk is full", syscall.EXDEV, syscall.ENOSPC, ErrNoSpace},
		{"copying, the user's share of the disk is used up", syscall.EXDEV, syscall.EDQUOT, ErrNoSpace},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			failed := 0
			for nth := 1; ; nth++ {
				mem := vfs.NewMem()
				l := openTest(t, archiveOptions(mem))
				fill(t, l, 130)
				calls, done := 0, false
				mem.SetHook(func(call vfs.Call) error {
					isArchives := strings.HasPrefix(call.Name, "/archive") || call.Op == vfs.OpLink || call.Op == vfs.OpMkdir
					if !call.Op.Changes() || !isArchives || call.Op == vfs.OpRemove {
						return nil
					}
					if calls++; calls == nth {
						done = true
						return c.with
					}
					return refuse(c.unlinkable)(call)
				})
				err := l.TruncateFront(100)
				mem.SetHook(refuse(c.unlinkable))
				if !done {
					require.NoError(t, err)
					break
				}
				failed++
				require.ErrorIs(t, err, c.want, "call %d", nth)
				require.ErrorContains(t, err, "archive segment ")
				require.NotErrorIs(t, err, ErrFailed)
				require.NoError(t, l.Stats().Failed)
				requireRecords(t, l, 1, 130)
				for _, name := range archiveNames(mem) {
					require.False(t, strings.HasSuffix(name, temporarySuffix), "a copy that failed is removed")
				}
				fill(t, l, 160)
				require.NoError(t, l.TruncateFront(100), "it can be tried again")
				require.Greater(t, l.First(), uint64(50))
				requireHistory(t, archiveOptions(mem), 1, 160, archiveDir, testDir)
				require.NoError(t, l.Close())
			}
			require.Greater(t, failed, 6)
		})
	}
}

// TestACopyToAFullDiskIsErrNoSpace fills the disk instead of pretending.
func TestACopyToAFullDiskIsErrNoSpace(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetHook(refuse(syscall.EXDEV))
	l := openTest(t, archiveOptions(mem))
	fill(t, l, 130)
	mem.SetCapacity(1)
	require.ErrorIs(t, l.TruncateFront(100), ErrNoSpace)
	require.Empty(t, archiveNames(mem))
	requireRecords(t, l, 1, 130)
	mem.SetCapacity(0)
	require.NoError(t, l.TruncateFront(100))
	requireHistory(t, archiveOptions(mem), 1, 130, archiveDir, testDir)
}

// TestATruncationThatDiedAfterArchivingIsDoneAgain: what is in the archive already is taken for archived if it is the
// same, linked or copied, and refused if it isn't.
func TestATruncationThatDiedAfterArchivingIsDoneAgain(t *testing.T) {
	for _, c := range []struct {
		sentence string
		change   func(s *scene, kept string)
		refused  bool
	}{
		{"it is the same file", func(*scene, string) {}, false},
		{"it is a copy", func(s *scene, kept string) { s.write(kept, s.read(s.store(1))) }, false},
		{"it is a copy with zeros after the seal", func(s *scene, kept string) {
			s.write(kept, append(s.read(s.store(1)), make([]byte, 500)...))
		}, false},
		{"it is another segment of the log", func(s *scene, kept string) { s.write(kept, s.read(s.store(2))) }, true},
		{"it is another log's segment", func(s *scene, kept string) { s.write(kept, newScene(s.T).read(s.store(1))) }, true},
		{"it lacks its seal", func(s *scene, kept string) {
			whole := s.read(kept)
			s.write(kept, whole[:len(whole)-boundsFrameSize])
		}, true},
		{"it has another seal", func(s *scene, kept string) {
			changed := s.read(kept)
			changed[len(changed)-10] ^= 1
			s.write(kept, changed)
		}, true},
		{"it is empty", func(s *scene, kept string) { s.write(kept, nil) }, true},
		{"it is no store", func(s *scene, kept string) { s.write(kept, []byte(strings.Repeat("a letter ", 100))) }, true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := newScene(t)
			l := openTest(t, archiveOptions(s.mem))
			require.NoError(t, l.archive(l.segments.list[:3]))
			kept := joinName(archiveDir, storeName(s.bases[1]))
			original := s.read(s.store(1))
			require.NoError(t, s.mem.Remove(kept)) // Else a change would be one of the log's own file.
			s.write(kept, original)
			c.change(s, kept)
			before := s.read(kept)
			err := l.TruncateFront(s.bases[3])
			require.Equal(t, before, s.read(kept))
			if !c.refused {
				require.NoError(t, err)
				requireHistory(t, l.opts, 1, s.last, archiveDir, testDir)
				return
			}
			require.ErrorContains(t, err, fmt.Sprintf("archive segment %d", s.bases[1]))
			require.ErrorContains(t, err, kept)
			require.ErrorContains(t, err, s.store(1), "both are named")
			require.NoError(t, l.Stats().Failed)
			requireRecords(t, l, 1, s.last)
		})
	}
}

func TestTheLogsOwnDirectoryIsNoArchive(t *testing.T) {
	for _, dir := range []string{testDir, testDir + "/", "/archive/../log"} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.ArchiveDir = dir
		l := openTest(t, opts)
		fill(t, l, 130)
		require.ErrorContains(t, l.TruncateFront(100), "own directory")
		require.ErrorContains(t, l.TruncateBack(60), "own directory")
		requireRecords(t, l, 1, 130)
		require.NoError(t, l.Close())
		requireRecords(t, openTest(t, opts), 1, 130)
	}
}

// TestTheLogsOwnDirectoryIsNoArchiveByAnotherName: a path that looks different may be the same directory.
func TestTheLogsOwnDirectoryIsNoArchiveByAnotherName(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions(vfs.OS)
	opts.ArchiveDir = filepath.Join(t.TempDir(), "archive")
	if err := os.Symlink(dir, opts.ArchiveDir); err != nil {
		t.Skipf("symbolic links: %v", err)
	}
	l, err := Open(dir, opts)
	require.NoError(t, err)
	fill(t, l, 130)
	require.ErrorContains(t, l.TruncateFront(100), "own directory")
	require.ErrorContains(t, l.TruncateBack(60), "own directory")
	requireRecords(t, l, 1, 130)
	require.NoError(t, l.Close())
}

// TestAnArchiveIsOneLogsAlone: with the segments of two, as after a restore that gave the store a new identity, neither
// could be read.
func TestAnArchiveIsOneLogsAlone(t *testing.T) {
	s := newHistory(t)
	opts := archiveOptions(s.mem)
	other, err := Open("/other", opts)
	require.NoError(t, err)
	require.NoError(t, other.Reset(100))
	fill(t, other, 230)
	before := archiveNames(s.mem)
	err = other.TruncateFront(200)
	require.ErrorContains(t, err, "archive segment 100: the archive is another log's: "+s.kept(2))
	require.Equal(t, before, archiveNames(s.mem))
	requireRecords(t, other, 100, 230)
	opts.ArchiveDir = "/other archive"
	require.NoError(t, other.Close())
	other, err = Open("/other", opts)
	require.NoError(t, err)
	require.NoError(t, other.TruncateFront(200))
	requireHistory(t, opts, 100, 230, "/other archive", "/other")
}

// TestWithdrawnRecordsAreNotInTheArchive: a truncation of the front may die, or fail, after archiving; what it put into
// the archive may then be withdrawn at the log's end.
func TestWithdrawnRecordsAreNotInTheArchive(t *testing.T) {
	mem := vfs.NewMem()
	opts := archiveOptions(mem)
	l := openTest(t, opts)
	fill(t, l, 130)
	bases := []uint64{}
	for _, segment := range l.Segments() {
		bases = append(bases, segment.Base)
	}
	require.NoError(t, l.archive(l.segments.list[:4]))
	require.Len(t, archiveNames(mem), 4)
	require.NoError(t, l.TruncateBack(bases[2]+3))
	require.Equal(t, []string{joinName(archiveDir, storeName(bases[0])), joinName(archiveDir, storeName(bases[1]))}, archiveNames(mem))
	require.Len(t, archiveNames(mem.Crash(0, vfs.KeepNone)), 2)
	for l.Last() < 200 {
		_, err := l.Append([]byte("another"))
		require.NoError(t, err)
	}
	require.NoError(t, l.TruncateFront(150))
	a := openArchive(t, opts, archiveDir, testDir)
	for record, err := range a.Records(bases[2] + 4) {
		require.NoError(t, err)
		require.Equal(t, "another", string(record.Payload))
	}
	require.EqualValues(t, 1, a.First())
	require.EqualValues(t, 200, a.Last())
	require.NoError(t, a.Close())
}

func TestATruncationOfTheEndThatCannotTidyTheArchiveDoesNothing(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpRemove, vfs.OpSyncDir} {
		mem := vfs.NewMem()
		l := openTest(t, archiveOptions(mem))
		fill(t, l, 130)
		require.NoError(t, l.archive(l.segments.list[:4]))
		mem.SetHook(vfs.FailNth(op, 1, errDisk))
		require.ErrorIs(t, l.TruncateBack(60), errDisk)
		require.NoError(t, l.Stats().Failed)
		requireRecords(t, l, 1, 130)
		require.NoError(t, l.TruncateBack(60))
		requireHistory(t, archiveOptions(mem), 1, 60, archiveDir, testDir)
	}
}

// TestAppendsGoOnWhileSegmentsAreArchived: copying takes long, and holds up nobody but truncations.
func TestAppendsGoOnWhileSegmentsAreArchived(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, archiveOptions(mem))
	fill(t, l, 130)
	var inside atomic.Bool
	mem.SetHook(func(c vfs.Call) error {
		if c.Op != vfs.OpLink || inside.Swap(true) {
			return nil
		}
		fill(t, l, 200)
		requireRecords(t, l, 1, 200)
		return syscall.EXDEV
	})
	require.NoError(t, l.TruncateFront(131))
	require.True(t, inside.Load())
	first := l.First()
	require.LessOrEqual(t, first, uint64(131))
	require.Greater(t, first, uint64(100))
	requireRecords(t, l, first, 200)
	requireHistory(t, archiveOptions(mem), 1, 200, archiveDir, testDir)
}

// TestASealedStoreIsNeverChanged is what lets an archived segment be a second name of the log's file. Recovery may write
// a seal again that may not have been durable: that is the only write, and changes no byte.
func TestASealedStoreIsNeverChanged(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		mem := vfs.NewMem()
		opts := archiveOptions(mem)
		opts.Sync = mode
		sealed := map[string][]byte{} // What each store held that has been rolled.
		writes := 0
		watch := func(c vfs.Call) error {
			if _, is := sealed[c.Name]; !is {
				return nil
			}
			switch c.Op {
			case vfs.OpWrite, vfs.OpTruncate, vfs.OpAllocate:
				writes++
			}
			return nil
		}
		look := func(l *Log) {
			for _, s := range l.segments.list[:len(l.segments.list)-1] {
				data, err := mem.ReadFile(s.store.path)
				require.NoError(t, err)
				if was, is := sealed[s.store.path]; is {
					require.Equal(t, was, data, "%s: %s", mode, s.store.path)
				}
				sealed[s.store.path] = data
			}
		}
		mem.SetHook(watch)
		l := openTest(t, opts)
		for last := uint64(3); last < 250; last += 3 {
			fill(t, l, last)
			look(l)
			switch last % 30 {
			case 0:
				l.markIdle()
			case 15:
				require.NoError(t, l.TruncateFront(last-10))
			case 21:
				require.NoError(t, l.Close())
				l = openTest(t, opts)
			}
			look(l)
		}
		require.Zero(t, writes, mode)
		require.Greater(t, len(sealed), 5)
		for path, data := range sealed {
			if kept, err := mem.ReadFile(joinName(archiveDir, filepath.Base(path))); err == nil {
				require.Equal(t, data, kept, path)
			}
		}
	}
}

// TestRecoveryWritesTheSealOfAnArchivedSegmentAsItIs: a truncation may die when it has archived the last segment but
// one, while the last is still empty; recovery then can't know that the seal is durable.
func TestRecoveryWritesTheSealOfAnArchivedSegmentAsItIs(t *testing.T) {
	mem := vfs.NewMem()
	opts := archiveOptions(mem)
	l := openTest(t, opts)
	fill(t, l, 60)
	l.submitMu.Lock()
	require.NoError(t, l.roll(l.createNext))
	l.submitMu.Unlock()
	require.NoError(t, l.archive(l.segments.list[:len(l.segments.list)-1]))
	last := l.segments.list[len(l.segments.list)-2].store
	before, err := mem.ReadFile(last.path)
	require.NoError(t, err)
	for _, left := range []*vfs.Mem{mem.Exit(), mem.Crash(0, vfs.KeepNone), mem.Crash(0, vfs.KeepAll)} {
		rewritten := false
		left.SetHook(func(c vfs.Call) error {
			rewritten = rewritten || c.Op == vfs.OpWrite && c.Name == last.path
			return nil
		})
		opts.FS = left
		again := openTest(t, opts)
		require.True(t, rewritten)
		for _, path := range []string{last.path, joinName(archiveDir, filepath.Base(last.path))} {
			after, err := left.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, before, after)
		}
		require.NoError(t, again.TruncateFront(61))
		requireHistory(t, opts, 1, 60, archiveDir, testDir)
	}
}

func TestACloseWaitsForTheTruncationThatArchives(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, archiveOptions(mem))
	fill(t, l, 130)
	closed := make(chan error, 1)
	var started atomic.Bool
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpLink && !started.Swap(true) {
			go func() { closed <- l.Close() }()
		}
		if c.Op == vfs.OpLink && len(closed) > 0 {
			return errors.New("the log was closed meanwhile")
		}
		return nil
	})
	require.NoError(t, l.TruncateFront(100))
	require.NoError(t, <-closed)
	mem.SetHook(nil)
	requireHistory(t, archiveOptions(mem), 1, 130, archiveDir, testDir)
}
