package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Regression tests of defects that attacks on the log from outside found. docs/testing.md lists them.

// TestAWriteOfALogThatFailedDoesNotLandInItsSuccessor: closing a descriptor cancels no write that the kernel has begun. It would
// land on records that the log, opened again in this process, has acknowledged.
func TestAWriteOfALogThatFailedDoesNotLandInItsSuccessor(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.SegmentSize = 1 << 20
	l := openTest(t, opts)
	fill(t, l, 6)
	path := l.segments.active().store.path
	begun, release := mem.HoldWrite(func(c vfs.Call) bool { return strings.Contains(path, strings.TrimSuffix(c.Name, temporarySuffix)) })
	outcome := make(chan error, 1)
	go func() {
		_, err := l.Append([]byte("never acknowledged"))
		outcome <- err
	}()
	<-begun
	_ = l.failWith(errDisk) // As a sync does that makes room.
	timer := time.AfterFunc(100*time.Millisecond, release)
	defer timer.Stop()
	require.ErrorIs(t, l.Close(), ErrFailed)
	again := openTest(t, opts)
	offset, err := again.Append([]byte("acknowledged, durs"))
	require.NoError(t, err)
	release()
	require.ErrorIs(t, <-outcome, ErrFailed)
	require.Equal(t, "acknowledged, durs", string(must(again.Read(offset))))
	require.NoError(t, again.Close())
	requireRecord(t, openTest(t, opts), offset, "acknowledged, durs")
}

func requireRecord(t *testing.T, l *Log, offset uint64, want string) {
	t.Helper()
	require.Equal(t, want, string(must(l.Read(offset))))
}

// TestNothingIsWrittenOnceTheLogHasFailed: a leader may be named, and the log fail, before the leader runs. A reader may keep the
// file open beyond Close.
func TestNothingIsWrittenOnceTheLogHasFailed(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 6)
	next, stop := iter.Pull2(l.Records(1))
	defer stop()
	_, err, _ := next()
	require.NoError(t, err)
	_, _, err = l.Submit([]byte("never acknowledged"))
	require.NoError(t, err)
	l.mu.Lock()
	l.leading = true // What waitFor does before it calls lead.
	l.mu.Unlock()
	_ = l.failWith(errDisk)
	written := 0
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite {
			written++
		}
		return nil
	})
	require.ErrorIs(t, l.Close(), ErrFailed)
	require.ErrorIs(t, l.lead(), ErrFailed)
	require.Zero(t, written)
}

// tornOnDisk returns a closed log's disk to which a group was added of which the first sector didn't arrive.
func tornOnDisk(t *testing.T) (*vfs.Mem, Options) {
	t.Helper()
	mem := vfs.NewMem()
	opts := testOptions(mem)
	l := openTest(t, opts)
	fill(t, l, 60)
	s := l.segments.active().store
	require.NoError(t, l.Sync())
	left := mem.Exit()
	data := must(left.ReadFile(s.path))
	data = append(data[:s.end], make([]byte, 4096)...)
	copy(data[s.end+frameHeadSize:], bytes.Repeat([]byte("torn"), 200))
	require.NoError(t, left.WriteFile(s.path, data))
	opts.FS = left
	return left, opts
}

func TestALogWithATornTailOpensOnAFullDiskAndCanBeTruncated(t *testing.T) {
	left, opts := tornOnDisk(t)
	left.SetCapacity(1)
	var logged bytes.Buffer
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	l := openTest(t, opts)
	require.Equal(t, Torn, l.Recovery().Outcome)
	require.Empty(t, l.Recovery().QuarantinePath)
	require.Contains(t, logged.String(), "cut without being kept")
	requireRecords(t, l, 1, 60)
	require.NoError(t, l.TruncateFront(l.Segments()[1].Base))
}

func TestRecoveriesThatDieKeepWhatTheyCutOnce(t *testing.T) {
	left, opts := tornOnDisk(t)
	for range 20 {
		var died *vfs.Mem
		syncs := 0
		left.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpSync && strings.HasSuffix(c.Name, storeSuffix) {
				if syncs++; syncs == 2 && died == nil { // Before the sync that makes the cut durable.
					died = left.Crash(uint64(syncs), vfs.KeepNone)
				}
			}
			return nil
		})
		openTest(t, opts)
		require.NotNil(t, died)
		left = died
		opts.FS = left
	}
	kept := 0
	for _, name := range left.Names() {
		if strings.Contains(name, "quarantine") {
			kept++
		}
	}
	require.LessOrEqual(t, kept, 2, "as they were, and with zeros where a seal will go")
}

// TestABusyWriterIsNotTakenForDamage appends whenever another process reads: between the look at the log's end, and the
// search after it for frames that prove more.
func TestABusyWriterIsNotTakenForDamage(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.SegmentSize = 64 << 20
	l := openTest(t, opts)
	for range 6 { // So that the file is allocated further than a scan's window reaches.
		_, err := l.Append(make([]byte, 100<<10))
		require.NoError(t, err)
	}
	require.Greater(t, l.segments.active().store.allocated.Load()-l.segments.active().store.end, int64(scanChunk))
	var busy atomic.Bool
	left := 1000
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && c.Off >= headSize && left > 0 && busy.CompareAndSwap(false, true) {
			left--
			for range 2 {
				if _, err := l.Append([]byte("appended between two reads of another process")); err != nil {
					t.Error(err)
				}
			}
			busy.Store(false)
		}
		return nil
	})
	for range 20 {
		v, err := surveyDir(testDir, readOnly(opts)) // One look, which isn't repeated.
		require.NoError(t, err)
		require.NoError(t, v.close())
	}
	for range 20 {
		r := openTest(t, readOnly(opts))
		require.Nil(t, r.damage)
		require.NoError(t, r.Close())
		violations, err := Check(testDir, opts)
		require.NoError(t, err)
		for _, v := range violations {
			require.False(t, v.Damage, "%v", v)
		}
		require.NoError(t, openArchive(t, opts, testDir).Close())
	}
}

// TestCheckBesideARollAndBesideATruncationFindsNoDamage lets the writer act at each call that a check makes.
func TestCheckBesideARollAndBesideATruncationFindsNoDamage(t *testing.T) {
	for sentence, act := range map[string]func(l *Log) error{
		"a roll": func(l *Log) error {
			for rolls := l.Stats().Rolls; l.Stats().Rolls == rolls; {
				if _, err := l.Append(payloadOf(7)); err != nil {
					return err
				}
			}
			return nil
		},
		"a cut":               func(l *Log) error { return l.TruncateBack(l.Segments()[1].Base + 3) },
		"a truncation before": func(l *Log) error { return l.TruncateFront(l.Segments()[2].Base) },
		"a reset":             func(l *Log) error { return l.Reset(7) },
	} {
		t.Run(sentence, func(t *testing.T) {
			for nth := 1; ; nth++ {
				mem := vfs.NewMem()
				opts := testOptions(mem)
				l := openTest(t, opts)
				fill(t, l, 130)
				calls := 0
				mem.SetHook(func(c vfs.Call) error {
					if calls++; calls == nth {
						if err := act(l); err != nil {
							t.Error(err)
						}
					}
					return nil
				})
				violations, err := Check(testDir, opts)
				require.NoError(t, err)
				for _, v := range violations {
					require.False(t, v.Damage, "at call %d: %v", nth, v)
				}
				if calls < nth {
					break
				}
			}
		})
	}
}

func TestANewRelaxedLogStartsSmall(t *testing.T) {
	l := openTest(t, Options{FS: vfs.NewMem(), Sync: SyncInterval, foreground: true})
	require.LessOrEqual(t, l.Segments()[0].Allocated, int64(64<<10))
}

// TestAFailedOpenGivesEveryFileBack fails each call of an open in turn.
func TestAFailedOpenGivesEveryFileBack(t *testing.T) {
	dir := t.TempDir()
	counting := &countingFS{FS: vfs.OS}
	opts := testOptions(counting)
	l, err := Open(dir, opts)
	require.NoError(t, err)
	fill(t, l, 100)
	require.NoError(t, l.TruncateBack(80)) // And no close.
	for nth := 1; ; nth++ {
		counting.failAt, counting.opened, counting.files = nth, 0, 0
		l, err := Open(dir, opts)
		if err == nil {
			require.NoError(t, l.Close())
		}
		require.Zero(t, counting.files, "files open after opening file %d failed: %v", nth, err)
		if counting.opened < nth {
			break
		}
	}
}

// countingFS counts the files that are open, and fails one open.
type countingFS struct {
	vfs.FS
	failAt, opened, files int
}

type countedFile struct {
	vfs.File
	fs *countingFS
}

func (f *countedFile) Close() error {
	f.fs.files--
	return f.File.Close()
}

func (c *countingFS) open(open func(string) (vfs.File, error), name string) (vfs.File, error) {
	if c.opened++; c.opened == c.failAt {
		return nil, syscall.EMFILE
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	c.files++
	return &countedFile{file, c}, nil
}

func (c *countingFS) Open(name string) (vfs.File, error)     { return c.open(c.FS.Open, name) }
func (c *countingFS) OpenRead(name string) (vfs.File, error) { return c.open(c.FS.OpenRead, name) }
func (c *countingFS) Create(name string) (vfs.File, error)   { return c.open(c.FS.Create, name) }

// TestTruncationWorksOnAFullDiskAfterAnOpenToo puts the end where a seal fits into the block, and not a mark and a seal.
func TestTruncationWorksOnAFullDiskAfterAnOpenToo(t *testing.T) {
	for _, closed := range []bool{false, true} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.SegmentSize = 16 << 10
		l := openTest(t, opts)
		fill(t, l, 200)
		for {
			end := l.segments.active().store.end % 4096
			if room := 4096 - end; room >= boundsFrameSize && room < 2*boundsFrameSize {
				break
			}
			size := 4096 - end - boundsFrameSize - frameHeadSize
			if size < 0 || size > 1000 {
				size = 500
			}
			_, err := l.Append(make([]byte, size))
			require.NoError(t, err)
		}
		if closed {
			require.NoError(t, l.Close())
		}
		left := mem.Exit()
		opts.FS = left
		again := openTest(t, opts)
		require.Greater(t, len(again.Segments()), 1)
		left.SetCapacity(1)
		require.NoError(t, again.TruncateFront(again.Segments()[1].Base))
	}
}

// TestAFileThatCannotBeRemovedKeepsNoOtherOnTheDisk: those may be many gigabytes, and nothing would remove them before the next open.
func TestAFileThatCannotBeRemovedKeepsNoOtherOnTheDisk(t *testing.T) {
	for _, name := range []func(base uint64) string{storeName, indexName} {
		mem := vfs.NewMem()
		l := openTest(t, testOptions(mem))
		fill(t, l, 600)
		stuck := joinName(testDir, name(1))
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpRemove && c.Name == stuck {
				return syscall.EPERM
			}
			return nil
		})
		stores := func() []string {
			return slices.DeleteFunc(mem.Names(), func(name string) bool { return !strings.HasSuffix(name, storeSuffix) })
		}
		for range 3 {
			require.NoError(t, l.TruncateFront(l.Segments()[2].Base))
			require.Len(t, stores(), len(l.Segments())+1)
			require.NoError(t, l.TruncateBack(l.Segments()[3].Base))
			require.Len(t, stores(), len(l.Segments())+1)
			fill(t, l, l.Last()+300)
		}
		first, last := l.First(), l.Last()
		require.NoError(t, l.Close())
		l = openTest(t, testOptions(mem)) // It isn't refused.
		requireRecords(t, l, first, last)
		require.Len(t, stores(), len(l.Segments())+1)
		mem.SetHook(nil)
		require.NoError(t, l.TruncateFront(l.First()))
		require.Len(t, stores(), len(l.Segments()))
	}
}

// TestLeftoversOfATruncationDoNotMakeALogUnopenable resets to a lower offset a log some of whose truncated segments can't be
// removed, and whose names others get then.
func TestLeftoversOfATruncationDoNotMakeALogUnopenable(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	l := openTest(t, opts)
	fill(t, l, 130)
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRemove {
			return syscall.EIO
		}
		return nil
	})
	first := l.Segments()[1].Base
	require.NoError(t, l.TruncateFront(l.Last()+1))
	require.NoError(t, l.Reset(first))
	mem.SetHook(nil)
	fill(t, l, 130)
	require.NoError(t, l.TruncateFront(first))
	require.NoError(t, l.Close())
	requireRecords(t, openTest(t, opts), first, 130)
}

// TestFilesThatATruncationCannotRemoveGoWithTheNext: until the log is opened again, they would take their place on the disk.
func TestFilesThatATruncationCannotRemoveGoWithTheNext(t *testing.T) {
	cases := []struct {
		name string
		next func(l *Log) error
	}{
		{name: "a truncation that has nothing to truncate", next: func(l *Log) error { return l.TruncateFront(l.First()) }},
		{name: "a truncation of more", next: func(l *Log) error { return l.TruncateFront(l.Segments()[1].Base) }},
		{name: "a truncation of the end", next: func(l *Log) error { return l.TruncateBack(l.Last() - 1) }},
		{name: "a reset to a later offset", next: func(l *Log) error { return l.Reset(1000) }},
		{name: "a reset to the first offset", next: func(l *Log) error { return l.Reset(1) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for nth := 1; nth <= 4; nth++ {
				mem := vfs.NewMem()
				l := openTest(t, testOptions(mem))
				fill(t, l, 130)
				mem.SetHook(vfs.FailNth(vfs.OpRemove, nth, syscall.EIO))
				require.NoError(t, l.TruncateFront(l.Segments()[2].Base))
				require.NoError(t, c.next(l))
				var want []string
				for _, info := range l.Segments() {
					want = append(want, joinName(testDir, storeName(info.Base)))
				}
				isOther := func(name string) bool { return !strings.HasSuffix(name, storeSuffix) }
				require.Equal(t, want, slices.DeleteFunc(mem.Names(), isOther), "removal %d failed", nth)
				first, last := l.First(), l.Last()
				fill(t, l, last+130)
				requireRecords(t, l, first, last+130)
				require.NoError(t, l.Close())
				requireRecords(t, openTest(t, testOptions(mem)), first, last+130)
			}
		})
	}
}

func TestDurableOfAReadOnlyLogIsWhatAPowerCutCannotTake(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.Sync = mode
		l := openTest(t, opts)
		for last := uint64(1); last < 60; last += 3 {
			fill(t, l, last)
			if last%4 == 0 {
				require.NoError(t, l.Sync())
				writeMark(t, l)
			}
			r := openTest(t, readOnly(opts))
			cut := opts
			cut.FS = mem.Crash(last, vfs.KeepNone)
			require.LessOrEqual(t, r.Durable(), openTest(t, cut).Last())
			if last%4 == 0 {
				require.Equal(t, last, r.Durable(), "a mark proves the last record")
			}
			require.NoError(t, r.Sync())
			require.Equal(t, last, r.Durable(), "it was synced by the reader itself")
			require.NoError(t, r.Close())
		}
	}
}

func TestARefusalReachesTheLogger(t *testing.T) {
	s := newScene(t)
	s.write(s.store(4), flip(s.read(s.store(4)), (headSize+frameHeadSize)*8))
	var logged bytes.Buffer
	opts := testOptions(s.mem)
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	_, err := Open(testDir, opts)
	require.ErrorIs(t, err, ErrCorrupt)
	require.Contains(t, logged.String(), "log is refused as damaged")
}

func TestSpaceAheadOfNeedIsNotTriedAgainByEveryAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		l := openTest(t, Options{FS: mem, SegmentSize: 1 << 20, IdleMark: -1, LowSpace: -1})
		for l.segments.active().store.allocated.Load() < 256<<10 {
			_, err := l.Append(make([]byte, 1000))
			require.NoError(t, err)
			synctest.Wait()
		}
		mem.SetCapacity(300 << 10)
		tries := 0
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpAllocate {
				tries++
			}
			return nil
		})
		for s := l.segments.active().store; s.written.position() < s.allocated.Load()-2000; {
			_, err := l.Append(make([]byte, 100))
			require.NoError(t, err)
			synctest.Wait()
		}
		require.LessOrEqual(t, tries, 2)
		mem.SetHook(nil)
		mem.SetCapacity(0)
		require.NoError(t, l.Close())
	})
}

func TestAnAppendThatFitsOnTheDiskIsTaken(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.SegmentSize, opts.Sync = 32<<20, mode
		l := openTest(t, opts)
		mem.SetCapacity(72 << 20) // Room for the second segment, too.
		var err error
		for n := 0; n < 200 && err == nil; n++ {
			_, err = l.Append(make([]byte, 1<<20))
		}
		require.ErrorIs(t, err, ErrNoSpace)
		free, err := mem.FreeSpace(testDir)
		require.NoError(t, err)
		require.Less(t, free, int64(2<<20), "%v", mode)
	}
}

func TestABatchThatIsRefusedLeavesNothing(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.SegmentSize, opts.Sync = 64<<10, mode
		l := openTest(t, opts)
		fill(t, l, 100)
		mem.SetCapacity(usedSpace(mem) + 8<<10)
		batch := make([][]byte, 300)
		for i := range batch {
			batch[i] = make([]byte, 500)
		}
		_, err := l.AppendBatch(batch)
		require.ErrorIs(t, err, ErrNoSpace)
		require.EqualValues(t, 100, l.Last())
		mem.SetCapacity(0)
		first, err := l.AppendBatch(batch)
		require.NoError(t, err)
		require.EqualValues(t, 101, first)
		require.EqualValues(t, 400, l.Last())
	}
}

// usedSpace returns how many bytes of the disk's blocks are in use.
func usedSpace(mem *vfs.Mem) (used int64) {
	for _, name := range mem.Names() {
		used += (int64(len(must(mem.ReadFile(name)))) + 4095) &^ 4095
	}
	return used
}

// TestAnIdleLogProvesItsLastRecordAfterATruncationToo flips a bit of a record that has been durable for a minute.
func TestAnIdleLogProvesItsLastRecordAfterATruncationToo(t *testing.T) {
	for sentence, truncate := range map[string]func(t *testing.T, l *Log){
		"of the end, and an append": func(t *testing.T, l *Log) {
			require.NoError(t, l.TruncateBack(l.Last()-5))
			fill(t, l, 103)
		},
		"of the end": func(t *testing.T, l *Log) { require.NoError(t, l.TruncateBack(l.Last()-5)) },
		"of the front, in one group with a record": func(t *testing.T, l *Log) {
			_, _, err := l.Submit(payloadOf(l.Last() + 1)) // Another caller's append, which waits for its group.
			require.NoError(t, err)
			require.NoError(t, l.TruncateFront(l.Last()))
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := vfs.NewMem()
				l := openTest(t, Options{FS: mem, SegmentSize: MinSegmentSize, IdleMark: time.Second})
				fill(t, l, 105)
				truncate(t, l)
				last := l.Last()
				time.Sleep(time.Minute)
				synctest.Wait()
				g := l.segments.list[l.segments.holder(last)]
				at := g.index.Load().get(last-g.base(), make([]byte, entrySize)) + frameHeadSize
				rotten, err := Open(testDir, rotOptions(t, mem, g.store.path, at))
				if err == nil {
					require.Equal(t, last, rotten.Last(), "it isn't cut")
					_, err = rotten.Read(last)
				}
				require.Equal(t, last, requireCorrupt(t, err, g.store.path).Offset)
				require.NoError(t, l.Close())
			})
		})
	}
}

// TestNoIndexChangesAnAnswerInADamagedSegment: a record after a damaged one is read with the index and without it.
func TestNoIndexChangesAnAnswerInADamagedSegment(t *testing.T) {
	for what, at := range map[string]int64{"payload": frameHeadSize, "header": 8} {
		read := func(withIndex bool) (answers []string) {
			s := newScene(t)
			l := openTest(t, readOnly(testOptions(s.mem)))
			position := l.segments.list[1].index.Load().get(3, make([]byte, entrySize))
			require.NoError(t, l.Close())
			s.write(s.store(1), flip(s.read(s.store(1)), int(position+at)*8))
			if !withIndex {
				s.remove(s.index(1))
			}
			l = openTest(t, testOptions(s.mem))
			for offset := s.bases[1]; offset < s.bases[2]; offset++ {
				_, err := l.Read(offset)
				answers = append(answers, fmt.Sprint(offset, err == nil))
				require.Equal(t, offset != s.bases[1]+3, err == nil, "%s, %v, %d: %v", what, withIndex, offset, err)
			}
			return answers
		}
		require.Equal(t, read(true), read(false))
	}
}

// TestARollThatTheDiskHasNoRoomForIsRefusedAndTriedAgain: a rename needs a block of the directory, and a file a descriptor.
func TestARollThatTheDiskHasNoRoomForIsRefusedAndTriedAgain(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpAllocate, vfs.OpWrite, vfs.OpRename} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EMFILE} {
			if cause == syscall.EMFILE && op != vfs.OpCreate {
				continue
			}
			mem := vfs.NewMem()
			l := openTest(t, testOptions(mem))
			mem.SetHook(func(c vfs.Call) error {
				if c.Op == op && strings.HasSuffix(c.Name, temporarySuffix) && !strings.Contains(c.Name, storeName(1)) {
					return cause
				}
				return nil
			})
			var err error
			for err == nil {
				_, err = l.Append(payloadOf(1))
			}
			require.ErrorIs(t, err, cause)
			require.Equal(t, cause == syscall.ENOSPC, errors.Is(err, ErrNoSpace), "%s: %v", op, err)
			require.NoError(t, l.Stats().Failed)
			last := l.Last()
			mem.SetHook(nil)
			for _, name := range mem.Names() {
				require.NotContains(t, name, temporarySuffix)
			}
			_, err = l.Append(payloadOf(1))
			require.NoError(t, err)
			require.Equal(t, last+1, l.Last())
		}
	}
}

func TestALogOutlivesAChangeOfTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := Open("log", testOptions(vfs.OS))
	require.NoError(t, err)
	require.NoError(t, os.Chdir(t.TempDir()))
	fill(t, l, 100)
	require.NoError(t, l.Close())
}

// TestDamageOverTheSealAndTheLastRecordOfAClosedLogIsNoTornTail damages the end of a closed log, of any length. The index is a
// second witness of where the log ended.
func TestDamageOverTheSealAndTheLastRecordOfAClosedLogIsNoTornTail(t *testing.T) {
	s := newScene(t)
	data := s.read(s.store(4))
	seal := len(data) - reserveSize
	for from := seal - 200; from < seal; from += 8 {
		damaged := s.mem.Clone()
		garbled := bytes.Clone(data)
		clear(garbled[from : seal+boundsFrameSize])
		require.NoError(t, damaged.WriteFile(s.store(4), garbled))
		_, err := Open(testDir, testOptions(damaged))
		requireCorrupt(t, err, s.store(4))
		violations, err := Check(testDir, testOptions(damaged))
		require.NoError(t, err)
		require.True(t, len(violations) > 0 && violations[0].Damage, "%v", violations)
	}
}

// TestACutCostsNoCopyAndNothingOfThePredecessorChanges: what another process reads stays as it is.
func TestACutCostsNoCopyAndNothingOfThePredecessorChanges(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.SegmentSize = 1 << 20
	l := openTest(t, opts)
	fill(t, l, 2*indexChunkSize+100)
	path, end := l.segments.active().store.path, l.segments.active().store.end
	before := bytes.Clone(must(mem.ReadFile(path))[:end])
	r := openTest(t, readOnly(opts))
	written, read := int64(0), int64(0)
	mem.SetHook(func(c vfs.Call) error {
		switch c.Op {
		case vfs.OpWrite:
			written += c.Len
		case vfs.OpRead:
			read += c.Len
		}
		return nil
	})
	last := l.Last()
	require.NoError(t, l.TruncateBack(last-10))
	require.Less(t, read, int64(scanChunk+1000), "only what follows the last known chain is read")
	require.Less(t, written, int64(8*2*indexChunkSize), "only a header and an index are written")
	mem.SetHook(nil)
	require.Equal(t, before, must(mem.ReadFile(path))[:end])
	requireRecords(t, r, 1, last)
	fill(t, l, last+5)
	requireRecords(t, l, 1, last+5)
	require.NoError(t, l.Close())
	again := openTest(t, opts)
	require.Empty(t, again.Recovery().RebuiltIndexes)
	requireRecords(t, again, 1, last+5)
}

func TestALogThatMustExistIsNotMade(t *testing.T) {
	for _, prepare := range []func(mem *vfs.Mem) error{
		func(mem *vfs.Mem) error { return nil },
		func(mem *vfs.Mem) error { return mem.MkdirAll(testDir) },
		func(mem *vfs.Mem) error { return mem.WriteFile(joinName(testDir, storeName(1)+temporarySuffix), nil) },
	} {
		mem := vfs.NewMem()
		require.NoError(t, prepare(mem))
		mem.SetHook(func(c vfs.Call) error {
			if c.Op.Changes() {
				t.Errorf("%s of %s", c.Op, c.Name)
			}
			return nil
		})
		opts := testOptions(mem)
		opts.MustExist = true
		_, err := Open(testDir, opts)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// TestWhatFollowsASealAfterATornAppendIsNoDamageLater: the first append after a clean close writes a mark over the seal, and its record
// after that. A power cut may take the sector with the mark alone. Recovery then cut the file within the record's frame, and the
// next mark led to that.
func TestWhatFollowsASealAfterATornAppendIsNoDamageLater(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	l := openTest(t, opts)
	for len(l.Segments()) < 2 {
		fill(t, l, l.Last()+1)
	}
	fill(t, l, l.Last()+2)
	path, last, seal := l.segments.active().store.path, l.Last(), l.segments.active().store.end
	require.NoError(t, l.Close())
	closed := must(mem.ReadFile(path))
	_, err := openTest(t, opts).Append(make([]byte, 4*boundsFrameSize))
	require.NoError(t, err)
	torn := must(mem.ReadFile(path))
	copy(torn[seal:seal+boundsFrameSize], closed[seal:])

	again := mem.Exit()
	require.NoError(t, again.WriteFile(path, torn))
	opts.FS = again
	l = openTest(t, opts)
	require.Equal(t, last, l.Last())
	require.NoError(t, l.TruncateFront(last)) // With a mark.
	opts.FS = again.Exit()
	require.Equal(t, last, openTest(t, opts).Last())
}
