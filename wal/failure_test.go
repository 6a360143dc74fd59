package wal

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// mishap fails one call of a log's life and watches what the log does afterwards.
type mishap struct {
	nth  int   // Which of the calls that change or sync something fails; 0 is none.
	with error // What it fails with.

	mu     sync.Mutex
	calls  int
	failed vfs.Call
	wrong  string // What must not have happened after it.
}

// hook fails the call, and notes a sync of a file whose sync has failed: the system may have dropped what it could not
// write, and would call the second one a success.
func (m *mishap) hook(c vfs.Call) error {
	if !c.Op.Changes() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls++; m.calls == m.nth {
		m.failed = c
		return m.with
	}
	again := m.failed.Op == vfs.OpSync && c.Op == vfs.OpSync && c.Name == m.failed.Name
	if again && strings.HasSuffix(c.Name, storeSuffix) && m.wrong == "" {
		m.wrong = fmt.Sprintf("%s is synced again after a sync of it failed", c.Name)
	}
	return nil
}

// life is a log's workload, and what its user knows of it.
type life struct {
	acknowledged uint64 // The last record whose append returned without an error.
	durable      uint64 // The last one that the log called durable.
	submitted    uint64 // The last one whose append was called.
	first        uint64 // Truncated up to here, or nearly.
}

// run appends, rolls, truncates the front, and closes. It stops at the first error.
func (u *life) run(l *Log) error {
	for u.submitted < 90 {
		u.submitted++
		if _, err := l.Append(payloadOf(u.submitted)); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		u.acknowledged, u.durable = u.submitted, l.Durable()
		if u.submitted%40 == 0 {
			u.first = u.submitted - 5
			if err := l.TruncateFront(u.first); err != nil {
				return fmt.Errorf("truncate: %w", err)
			}
		}
	}
	return nil
}

// requireSafe checks what a log holds against what its user knows, of which least must be there.
func (u *life) requireSafe(t *testing.T, l *Log, least uint64) {
	t.Helper()
	require.GreaterOrEqual(t, l.Last(), least)
	require.LessOrEqual(t, l.Last(), u.submitted)
	require.LessOrEqual(t, l.First(), max(u.first, 1))
	requireRecords(t, l, l.First(), l.Last())
}

// TestAnyFailedCallStopsTheLogAndLosesNothing fails every call of a log's life in turn, in three ways. Under -short it
// fails every seventh.
func TestAnyFailedCallStopsTheLogAndLosesNothing(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		count := &mishap{}
		runWithMishap(t, mode, count)
		require.Greater(t, count.calls, 50)
		for _, with := range []error{errDisk, &vfs.ShortWrite{Bytes: 0}, &vfs.ShortWrite{Bytes: 21, Err: errDisk}} {
			t.Run(fmt.Sprintf("%s/%v", mode, with), func(t *testing.T) {
				step := 1
				if testing.Short() {
					step = 7
				}
				for nth := 1; nth <= count.calls; nth += step {
					runWithMishap(t, mode, &mishap{nth: nth, with: with})
				}
			})
		}
	}
}

// runWithMishap lives a life in which one call fails.
func runWithMishap(t *testing.T, mode SyncMode, m *mishap) {
	t.Helper()
	mem := vfs.NewMem()
	mem.SetHook(m.hook)
	opts := testOptions(mem)
	opts.Sync = mode
	var u life
	l, err := Open(testDir, opts)
	if err == nil {
		if err = u.run(l); err != nil {
			requireStopped(t, &u, l, err)
			u.requireSafe(t, l, u.acknowledged)
		}
		if closed := l.Close(); err == nil {
			err = closed
		}
	}
	if err != nil {
		require.True(t, errors.Is(err, errDisk) || errors.Is(err, io.ErrShortWrite), "call %d: %v", m.nth, err)
	}
	require.Empty(t, m.wrong)
	mem.SetHook(nil)
	for _, left := range []struct {
		mem   *vfs.Mem
		least uint64
	}{{mem.Exit(), u.acknowledged}, {mem.Crash(0, vfs.KeepNone), u.durable}, {mem.Crash(0, vfs.KeepAll), u.durable}} {
		opts.FS = left.mem
		l, err := Open(testDir, opts)
		require.NoError(t, err, "call %d", m.nth)
		u.requireSafe(t, l, left.least)
		fill(t, l, l.Last()+30)
		require.NoError(t, l.Close())
	}
}

// requireStopped checks that a log which met an error in a write or sync takes no more, and says why. Removing a
// truncated file is no such thing: the log goes on.
func requireStopped(t *testing.T, u *life, l *Log, err error) {
	t.Helper()
	if strings.HasPrefix(err.Error(), "truncate") && !errors.Is(err, ErrFailed) {
		require.NoError(t, l.Stats().Failed)
		return
	}
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, l.Stats().Failed, ErrFailed)
	_, again := l.Append(payloadOf(u.submitted))
	require.ErrorIs(t, again, ErrFailed)
	for _, err := range []error{l.Sync(), l.TruncateFront(1), l.TruncateBack(1), l.Reset(7)} {
		require.ErrorIs(t, err, ErrFailed)
	}
}

// TestAFailureReachesEverybodyWhoWaits has many appenders when the disk fails: each gets an offset, or ErrFailed, and
// what was acknowledged is there afterwards.
func TestAFailureReachesEverybodyWhoWaits(t *testing.T) {
	for nth := 1; nth <= 40; nth += 3 {
		mem := vfs.NewMem()
		opts := Options{FS: mem, SegmentSize: MinSegmentSize}
		l := openTest(t, opts)
		mem.SetHook(vfs.FailNth(vfs.OpSync, nth, errDisk))
		acknowledged := make([]map[uint64]string, 8)
		var wg sync.WaitGroup
		for w := range acknowledged {
			acknowledged[w] = map[uint64]string{}
			wg.Go(func() {
				for n := 0; ; n++ {
					payload := fmt.Sprintf("writer %d, record %d", w, n)
					offset, err := l.Append([]byte(payload))
					if err != nil {
						if !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
							t.Errorf("append: %v", err)
						}
						return
					}
					acknowledged[w][offset] = payload
				}
			})
		}
		wg.Wait()
		require.ErrorIs(t, l.Close(), ErrFailed)
		mem.SetHook(nil)
		opts.FS = mem.Crash(0, vfs.KeepNone)
		l = openTest(t, opts)
		for _, held := range acknowledged {
			for offset, payload := range held {
				require.Equal(t, payload, string(must(l.Read(offset))))
			}
		}
		require.NoError(t, l.Close())
	}
}

// TestAFullDiskRefusesAndHeals fills disks of many sizes: the append that doesn't fit is refused, nothing is lost, and
// the same append works once there is room.
func TestAFullDiskRefusesAndHeals(t *testing.T) {
	for capacity := int64(8 << 10); capacity <= 64<<10; capacity += 4 << 10 {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		l := openTest(t, opts)
		mem.SetCapacity(capacity)
		last := fillDisk(t, l)
		require.Greater(t, last, uint64(5))
		mem.SetCapacity(0)
		fill(t, l, last+50)
		requireRecords(t, l, 1, last+50)
		require.NoError(t, l.Close())
	}
}

// fillDisk appends until the disk is full, and returns the last offset.
func fillDisk(t *testing.T, l *Log) uint64 {
	t.Helper()
	for {
		last := l.Last()
		_, err := l.Append(payloadOf(last + 1))
		if err == nil {
			continue
		}
		for range 3 {
			require.ErrorIs(t, err, ErrNoSpace)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.NotErrorIs(t, err, ErrFailed)
			require.NoError(t, l.Stats().Failed)
			requireRecords(t, l, l.First(), last)
			_, err = l.Append(payloadOf(last + 1))
		}
		return last
	}
}

// TestAFileThatMustNotGrowRefusesAndHeals is about a limit on the sizes of files (RLIMIT_FSIZE), which is noticed before anything is
// written, as a full disk is.
func TestAFileThatMustNotGrowRefusesAndHeals(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.Sync = mode
		l := openTest(t, opts)
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpAllocate && c.Len > 2<<10 {
				return syscall.EFBIG
			}
			return nil
		})
		var err error
		for err == nil {
			_, err = l.Append(payloadOf(l.Last() + 1))
		}
		require.ErrorIs(t, err, ErrNoSpace)
		require.ErrorIs(t, err, syscall.EFBIG)
		require.NotErrorIs(t, err, ErrFailed)
		last := l.Last()
		requireRecords(t, l, 1, last)
		mem.SetHook(nil)
		fill(t, l, last+50)
		requireRecords(t, l, 1, last+50)
		require.NoError(t, l.Close())
	}
}

// TestAFullDiskIsFreedByTruncation: making room must not need room.
func TestAFullDiskIsFreedByTruncation(t *testing.T) {
	for capacity := int64(32 << 10); capacity <= 64<<10; capacity += 4 << 10 {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		l := openTest(t, opts)
		mem.SetCapacity(capacity)
		for range 5 {
			last := fillDisk(t, l)
			require.NoError(t, l.TruncateFront(l.Segments()[1].Base))
			fill(t, l, last+5)
			requireRecords(t, l, l.First(), last+5)
		}
		fillDisk(t, l)
		require.NoError(t, l.Close(), "closing must not need room either")
		l = openTest(t, opts)
		require.Equal(t, Clean, l.Recovery().Outcome)
		require.NoError(t, l.Close())
	}
}

// TestALogOpensOnAFullDisk: whoever wants to make room must get in, even where a power cut took the indexes.
func TestALogOpensOnAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	l := openTest(t, opts)
	mem.SetCapacity(40 << 10)
	last := fillDisk(t, l)
	for _, left := range []*vfs.Mem{mem.Exit(), mem.Crash(0, vfs.KeepAll), mem.Crash(0, vfs.KeepNone)} {
		opts.FS = left
		left.SetCapacity(1)
		l := openTest(t, opts)
		requireRecords(t, l, 1, last)
		require.NoError(t, l.TruncateFront(l.Segments()[1].Base))
		left.SetCapacity(0)
		fill(t, l, last+20)
		requireRecords(t, l, l.First(), last+20)
		require.NoError(t, l.Close())
		l = openTest(t, opts)
		requireRecords(t, l, l.First(), last+20)
		require.NoError(t, l.Close())
	}
}

func TestALogIsNotMadeOnAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(1)
	_, err := Open(testDir, testOptions(mem))
	require.ErrorIs(t, err, ErrNoSpace)
	mem.SetCapacity(0)
	l := openTest(t, testOptions(mem))
	require.Equal(t, Created, l.Recovery().Outcome)
	fill(t, l, 10)
	require.NoError(t, l.Close())
}

// TestAnIdleLogProvesItsLastGroup: before the mark, rot in the last group looks like a torn tail; after it, it is
// damage.
func TestAnIdleLogProvesItsLastGroup(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := vfs.NewMem()
				opts := Options{FS: mem, Sync: mode, SegmentSize: 64 << 10, IdleMark: time.Second}
				l := openTest(t, opts)
				fill(t, l, 20)
				require.NoError(t, l.Sync())
				store := l.segments.active().store
				at := positionsOf(t, l)[19] + frameHeadSize

				rotten := rot(t, mem, store.path, at)
				require.Equal(t, Torn, rotten.recovery.Outcome)
				require.EqualValues(t, 19, rotten.Last())
				require.NoError(t, rotten.Close())

				end := store.written.position()
				time.Sleep(3 * time.Second)
				synctest.Wait()
				require.Equal(t, end+boundsFrameSize, store.written.position(), "a mark was written")
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, end+boundsFrameSize, store.written.position(), "one mark is enough")
				_, err := Open(testDir, rotOptions(t, mem, store.path, at))
				require.EqualValues(t, 20, requireCorrupt(t, err, store.path).Offset)
				_, err = Open(testDir, rotOptions(t, mem, store.path, end))
				require.NoError(t, err, "rot in the mark itself costs no record")
				require.NoError(t, l.Close())
			})
		})
	}
}

// positionsOf returns where the records of the active segment stand.
func positionsOf(t *testing.T, l *Log) (positions []int64) {
	t.Helper()
	s := l.segments.active().store
	x, err := s.indexAgain()
	require.NoError(t, err)
	for i := range x.count {
		positions = append(positions, x.get(uint64(i), nil))
	}
	return positions
}

// rotOptions returns options for a copy of a disk on which one bit of a file has flipped.
func rotOptions(t *testing.T, mem *vfs.Mem, path string, at int64) Options {
	t.Helper()
	rotten := mem.Exit()
	require.NoError(t, rotten.WriteFile(path, flip(must(rotten.ReadFile(path)), int(at)*8)))
	return testOptions(rotten)
}

func rot(t *testing.T, mem *vfs.Mem, path string, at int64) *Log {
	t.Helper()
	return openTest(t, rotOptions(t, mem, path, at))
}

func TestIntervalSyncKeepsItsPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openTest(t, Options{FS: vfs.NewMem(), SegmentSize: 64 << 10, Sync: SyncInterval, SyncInterval: time.Second, IdleMark: -1})
		fill(t, l, 300)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 64<<10, l.segments.active().store.allocated.Load(), "no later append grows the segment, which syncs")
		for last := uint64(310); last <= 350; last += 10 {
			fill(t, l, last)
			require.Less(t, l.Durable(), last)
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, last, l.Durable())
		}
		require.NoError(t, l.Close())
	})
}

// TestAnIdleLogRestsUntilSomethingIsToBeSyncedOrMarked: then its goroutine waits for no time, and whatever changes the log wakes it.
func TestAnIdleLogRestsUntilSomethingIsToBeSyncedOrMarked(t *testing.T) {
	for _, opts := range []Options{
		{Sync: SyncAlways, IdleMark: time.Second},
		{Sync: SyncInterval, IdleMark: time.Second, SyncInterval: 100 * time.Millisecond},
		{Sync: SyncInterval, IdleMark: -1, SyncInterval: 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%v, mark %v", opts.Sync, opts.IdleMark), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts.FS, opts.SegmentSize = vfs.NewMem(), 4<<10
				l := openTest(t, opts)
				for _, change := range []struct {
					says string
					do   func() error
				}{
					{"nothing", func() error { return nil }},
					{"an append", func() error { return appendOne(l) }},
					{"another append", func() error { return appendOne(l) }},
					{"appends that roll", func() error { fill(t, l, 100); return nil }},
					{"a truncation of the front", func() error { return l.TruncateFront(90) }},
					{"a truncation of the back", func() error { return l.TruncateBack(95) }},
					{"an append after it", func() error { return appendOne(l) }},
					{"a reset", func() error { return l.Reset(1000) }},
					{"an append after that", func() error { return appendOne(l) }},
				} {
					require.NoError(t, change.do(), change.says)
					synctest.Wait()
					time.Sleep(110 * time.Millisecond)
					synctest.Wait()
					require.Equal(t, l.Last(), l.Durable(), change.says)
					time.Sleep(5 * time.Second)
					synctest.Wait()
					require.True(t, l.resting.Load(), change.says)
					require.True(t, opts.IdleMark < 0 || !l.segments.active().store.needsMark(), change.says)
				}
				require.NoError(t, l.Close())
			})
		})
	}
}

func appendOne(l *Log) error {
	_, err := l.Append([]byte("a record"))
	return err
}

// TestASyncSpeaksForNothingThatCameWhileItRan appends a record once the system has synced the file, before the log knows of that.
func TestASyncSpeaksForNothingThatCameWhileItRan(t *testing.T) {
	late := &lateFS{FS: vfs.NewMem()}
	opts := testOptions(late)
	opts.Sync, opts.SegmentSize = SyncInterval, 1<<20
	l := openTest(t, opts)
	fill(t, l, 3)
	late.synced = func() { fill(t, l, 4) }
	require.NoError(t, l.Sync())
	require.EqualValues(t, 4, l.Last())
	require.EqualValues(t, 3, l.Durable())
	require.NoError(t, l.Sync())
	require.EqualValues(t, 4, l.Durable())
	require.NoError(t, l.Close())
}

// lateFS calls synced, once, after a sync of a file, before that returns.
type lateFS struct {
	vfs.FS
	synced func()
}

type lateFile struct {
	vfs.File
	fs *lateFS
}

func (f *lateFS) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	return &lateFile{file, f}, err
}

func (f *lateFile) Sync() error {
	err := f.File.Sync()
	if synced := f.fs.synced; synced != nil {
		f.fs.synced = nil
		synced()
	}
	return err
}

// TestSyncSaysWhatGrowingMadeDurable: the sync that makes space takes records along. Those who follow must hear of it.
func TestSyncSaysWhatGrowingMadeDurable(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	opts.Sync = SyncNever
	l := openTest(t, opts)
	fill(t, l, 3)
	l.workAhead()
	require.NoError(t, l.Sync())
	require.EqualValues(t, 3, l.Durable())
	require.NoError(t, l.Close())
}

func TestAFailureInTheBackgroundStopsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		l := openTest(t, Options{FS: mem, SegmentSize: 64 << 10, Sync: SyncInterval, SyncInterval: time.Second})
		fill(t, l, 5)
		mem.SetHook(vfs.FailNth(vfs.OpSync, 1, errDisk))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, err := l.Append(nil)
		require.ErrorIs(t, err, ErrFailed)
		require.ErrorIs(t, err, errDisk)
		requireRecords(t, l, 1, 5)
		require.ErrorIs(t, l.Close(), ErrFailed)
	})
}

// TestASyncOutlivesATruncationOfWhatItSyncs: a sync in the background looks at the active segment first, and the log may
// have gone on before it syncs that.
func TestASyncOutlivesATruncationOfWhatItSyncs(t *testing.T) {
	t.Run("the log rolls and truncates: the segment is still open", func(t *testing.T) {
		l, active := openUnsynced(t)
		for l.Stats().Rolls < 1 {
			fill(t, l, l.Last()+1)
		}
		require.NoError(t, l.TruncateFront(l.Last()))
		require.Greater(t, l.First(), uint64(3))
		require.NoError(t, errors.Join(l.syncSegment(active), active.release()))
		requireRecords(t, l, l.First(), l.Last())
		require.NoError(t, l.Close())
	})
	t.Run("records are truncated: those that get their offsets are not durable", func(t *testing.T) {
		l, active := openUnsynced(t)
		require.NoError(t, l.TruncateBack(1))
		fill(t, l, 3)
		require.NoError(t, errors.Join(l.syncSegment(active), active.release()))
		require.EqualValues(t, 1, l.Durable())
		require.NoError(t, l.Close())
	})
	t.Run("the log is reset to lower offsets: none of its new records is durable", func(t *testing.T) {
		l, active := openUnsynced(t)
		require.NoError(t, l.Reset(1))
		fill(t, l, 3)
		require.NoError(t, errors.Join(l.syncSegment(active), active.release()))
		require.Zero(t, l.Durable())
		require.NoError(t, l.Sync())
		require.EqualValues(t, 3, l.Durable())
		require.NoError(t, l.Close())
	})
}

// openUnsynced opens a log with three records, and begins to sync them.
func openUnsynced(t *testing.T) (*Log, *segment) {
	t.Helper()
	opts := testOptions(vfs.NewMem())
	opts.Sync, opts.SegmentSize = SyncNever, 4<<20 // So large that it need not grow, which would be a sync.
	l := openTest(t, opts)
	fill(t, l, 3)
	active, err := l.useActive()
	require.NoError(t, err)
	return l, active
}
