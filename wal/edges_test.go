package wal

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// Regression tests of what a hostile reading of the log found: calls inside locks, hostile headers, cuts of cuts.

// within fails the test where a call doesn't return.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		buf := make([]byte, 1<<20)
		t.Fatalf("%s hangs\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}

// lockedAcross lets Landed wait for a lock whose holder is inside Submit while call runs.
func lockedAcross(t *testing.T, call func(l *Log) error) {
	opts := testOptions(vfs.NewMem())
	var mu sync.Mutex
	entered := make(chan struct{}, 100)
	opts.Landed = func(uint64) {
		entered <- struct{}{}
		mu.Lock()
		defer mu.Unlock()
	}
	l := openTest(t, opts)
	fill(t, l, 3)
	for len(entered) > 0 {
		<-entered
	}
	mu.Lock() // A store that is about to submit.
	offset, _, err := l.Submit([]byte("flying"))
	require.NoError(t, err)
	go func() { _ = l.Wait(offset) }()
	<-entered // It has landed, and Landed waits for mu.
	within(t, "the call", func() {
		called := make(chan struct{})
		go func() { _ = call(l); close(called) }()
		time.Sleep(100 * time.Millisecond)
		_, _, _ = l.Submit([]byte("inside the lock"))
		mu.Unlock()
		<-called
	})
}

func TestCloseBesideSubmitInsideLandedsLock(t *testing.T) {
	lockedAcross(t, func(l *Log) error { return l.Close() })
}

func TestTruncateBackBesideSubmitInsideLandedsLock(t *testing.T) {
	lockedAcross(t, func(l *Log) error { return l.TruncateBack(2) })
}

func TestResetBesideSubmitInsideLandedsLock(t *testing.T) {
	lockedAcross(t, func(l *Log) error { return l.Reset(100) })
}

func TestTruncateFrontBesideSubmitInsideLandedsLock(t *testing.T) {
	lockedAcross(t, func(l *Log) error { return l.TruncateFront(2) })
}

func TestSyncBesideSubmitInsideLandedsLock(t *testing.T) {
	lockedAcross(t, func(l *Log) error { return l.Sync() })
}

// The end is cut twice into a sealed segment whose index could not be written the first time.
func TestSecondCutAfterAnIndexThatCouldNotBeWritten(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 100)
	second := l.Segments()[1]
	require.True(t, second.Sealed)
	refuse := func(c vfs.Call) error {
		if c.Op == vfs.OpCreate && strings.Contains(c.Name, indexSuffix) {
			return errInjected
		}
		return nil
	}
	mem.SetHook(refuse)
	require.NoError(t, l.TruncateBack(second.Last-1))
	require.NoError(t, l.TruncateBack(second.Last-2))
	mem.SetHook(nil)
	fill(t, l, second.Last+5)
	require.NoError(t, l.Close())
	l = openTest(t, testOptions(mem))
	requireRecords(t, l, 1, second.Last+5)
}

// The index of a segment that was rolled stays in memory as long as the segment is in use.
func TestIndexesOfRolledSegmentsAreLetGo(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 400)
	require.Greater(t, len(l.segments.list), 5)
	kept := 0
	for _, g := range l.segments.list {
		for _, x := range g.retired {
			if x.mapping == nil {
				kept++
			}
		}
	}
	require.Zero(t, kept, "in-memory indexes kept for %d segments", len(l.segments.list))
}

func TestTheLargestOffsetOfAResetCanBeRolled(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	if l.Reset(math.MaxInt64) != nil {
		return // A refusal would be fine.
	}
	for range 10 {
		if _, err := l.Append(make([]byte, 1000)); err != nil {
			return // A refusal would be fine.
		}
	}
	require.NoError(t, l.Close())
	openTest(t, testOptions(mem))
}

func TestTruncateBackPastEverythingDoesNothing(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 10)
	require.NoError(t, l.TruncateBack(math.MaxUint64))
}

// Sync takes the place of a Wait, so what was handed over is acknowledged after it.
func TestSyncAcknowledges(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	opts.Landed = func(uint64) { time.Sleep(20 * time.Millisecond) }
	l := openTest(t, opts)
	offset, _, err := l.Submit([]byte("a"))
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	require.Equal(t, offset, l.Last())
	_, err = l.Read(offset)
	require.NoError(t, err)
}

// hostile builds a log of two segments whose first claims many records.
func hostile(t *testing.T, mem *vfs.Mem, records uint32) {
	require.NoError(t, mem.MkdirAll(testDir))
	head := storeHead{id: [16]byte{1}, salt: 7, base: 1, first: 1}
	encoded := head.appendTo(nil)
	s := newStore(nil, "", head, encoded)
	s.durable.set(headSize, 0)
	data := bytes.Clone(encoded)
	payload := []byte("one")
	data = s.layOut(data, kindRecord, payload, payloadSum(payload))
	// A frame that says that it is the last of very many, and a seal after it.
	fh := frameHead{kind: kindRecord, length: 3, sum: payloadSum(payload), index: records - 1}
	at := len(data)
	data = fh.appendTo(data, sumUint64(0, head.salt), s.end)
	data = append(append(data, payload...), 0)
	s.chain = extendChain(s.chain, data[at:])
	s.end += fh.size()
	s.next = head.base + uint64(records)
	end := s.end
	b := bounds{first: 1, chain: s.chain}.encode()
	data = s.layOut(data, kindRolled, b[:], payloadSum(b[:]))
	require.NoError(t, writeMem(mem, joinName(testDir, storeName(1)), data))
	next := storeHead{id: head.id, salt: 8, base: s.next, first: 1, prevSalt: 7, prevEnd: end, prevChain: s.chain}
	e2 := next.appendTo(nil)
	s2 := newStore(nil, "", next, e2)
	d2 := s2.layOut(bytes.Clone(e2), kindRecord, payload, payloadSum(payload))
	d2 = append(d2, make([]byte, 200)...)
	require.NoError(t, writeMem(mem, joinName(testDir, storeName(s.next)), d2))
}

func writeMem(mem *vfs.Mem, name string, data []byte) error {
	f, err := mem.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), mem.SyncDir(filepath.Dir(name)))
}

func TestASegmentThatClaimsManyRecordsCostsNoMemory(t *testing.T) {
	mem := vfs.NewMem()
	hostile(t, mem, 50_000_000)
	took := allocated.Bytes(func() {
		l, err := Open(testDir, testOptions(mem))
		t.Logf("open: %v", err)
		if err == nil {
			require.NoError(t, l.Close())
		}
	})
	require.Less(t, took, uint64(64<<20))
}

// A header says that it follows far past the end of the file, where a frame's header claims 200 MB.
func TestAFrameThatClaimsMuchCostsNoMemory(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll(testDir))
	head := storeHead{id: [16]byte{1}, salt: 7, base: 1, first: 1}
	data := head.appendTo(nil)
	fh := frameHead{kind: kindRecord, length: 250 << 20, sum: 1}
	data = fh.appendTo(data, sumUint64(0, head.salt), headSize)
	data = append(data, make([]byte, 100)...)
	require.NoError(t, writeMem(mem, joinName(testDir, storeName(1)), data))
	next := storeHead{id: head.id, salt: 8, base: 2, first: 1, prevSalt: 7, prevEnd: math.MaxUint32 &^ 7}
	require.NoError(t, writeMem(mem, joinName(testDir, storeName(2)), append(next.appendTo(nil), make([]byte, 200)...)))
	allocated.Within(t, len(data), func() {
		_, err := Open(testDir, testOptions(mem))
		require.ErrorIs(t, err, ErrCorrupt)
	})
}

// An index file that is one huge hole.
func TestCheckOfAHugeIndexCostsNoMemory(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 100)
	require.NoError(t, l.Close())
	s := l.segments.list[0].store
	name := indexPath(s)
	const count = 1 << 26
	f, err := mem.Open(name)
	require.NoError(t, err)
	_, err = f.WriteAt(indexHead{salt: s.head.salt, count: count, end: s.end, chain: s.chain}.encode(), 0)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(indexHeadSize+count*entrySize))
	allocated.Within(t, 0, func() {
		_, err := Check(testDir, testOptions(mem))
		require.NoError(t, err)
	})
}

// A reader gives a segment back after Close while an append looks at the mapping. For -race.
func TestAppendAfterCloseBesideAReader(t *testing.T) {
	for range 50 {
		opts := testOptions(vfs.NewMem())
		opts.Sync = SyncNever
		opts.SegmentSize = 1 << 20
		l := openTest(t, opts)
		fill(t, l, 20)
		var wg sync.WaitGroup
		var closed atomic.Bool
		started := make(chan struct{})
		wg.Go(func() {
			for range l.Records(1) {
				if !closed.Load() {
					close(started)
					for !closed.Load() {
						runtime.Gosched()
					}
				}
				break
			}
		})
		<-started
		require.NoError(t, l.Close())
		wg.Go(func() {
			for range 20 {
				_, err := l.Append([]byte("late"))
				if !errors.Is(err, ErrClosed) {
					t.Errorf("append after close: %v", err)
				}
			}
		})
		closed.Store(true)
		wg.Wait()
	}
}

// The archive's name is relative, and the working directory changes.
func TestAnArchiveOutlivesAChangeOfTheWorkingDirectory(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	t.Chdir(one)
	opts := testOptions(nil)
	opts.ArchiveDir = "archive"
	l, err := Open("log", opts)
	require.NoError(t, err)
	fill(t, l, 100)
	t.Chdir(two)
	require.NoError(t, l.TruncateFront(100))
	require.NoError(t, l.Close())
	_, err = os.Stat(filepath.Join(one, "archive"))
	require.NoError(t, err)
}

// The newest segment is lost after the end was cut.
func TestALostSegmentAfterACutIsNoticed(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 20)
	require.NoError(t, l.TruncateBack(10))
	for range 5 {
		_, err := l.Append([]byte("after the cut"))
		require.NoError(t, err)
	}
	name := l.segments.active().store.path
	disk := mem.Exit() // No close.
	require.NoError(t, disk.Remove(name))
	l, err := Open(testDir, testOptions(disk))
	if err == nil {
		t.Fatalf("opened with %d to %d: truncated records are back, and acknowledged ones are gone", l.First(), l.Last())
	}
}

// A log of one segment rolls while its directory is looked at, and is reset afterwards.
func TestAHistoryOfALogThatRolledMeanwhileStaysReadable(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 10)
	rolled := false
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpOpen && !rolled && c.Name == l.segments.active().store.path {
			rolled = true
			for len(l.segments.list) == 1 {
				fill(t, l, l.Last()+1)
			}
		}
		return nil
	})
	a, err := OpenArchive(testOptions(mem), testDir)
	mem.SetHook(nil)
	require.NoError(t, err)
	require.True(t, rolled)
	require.NoError(t, l.Reset(1))
	count := uint64(0)
	for _, err := range a.Records(1) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, a.Last(), count)
}

// A record is acknowledged and truncated before a goroutine that waits for it gets to run.
func TestAWaitForARecordThatIsTruncatedAtOnceEnds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	opts := testOptions(vfs.NewMem())
	entered, release := make(chan struct{}, 10), make(chan struct{}, 10)
	opts.Landed = func(uint64) { entered <- struct{}{}; <-release }
	l := openTest(t, opts)
	for range 3 {
		release <- struct{}{}
	}
	fill(t, l, 3)
	offset, _, err := l.Submit([]byte("flying"))
	require.NoError(t, err)
	go func() { _ = l.Wait(offset) }()
	for range 4 {
		<-entered
	}
	go func() { _ = l.TruncateBack(2) }()
	time.Sleep(20 * time.Millisecond)
	done := make(chan error, 1)
	go func() { done <- l.Wait(offset) }()
	time.Sleep(20 * time.Millisecond)
	release <- struct{}{}
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Fatal("the wait never ends")
	}
}

// Each call of a cut or reset fails once because the disk is full: the log goes on as it was or cut, or fails.
func TestAFullDiskAtEachCallOfACut(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 5
	}
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		for _, op := range []string{"back", "back boundary", "empty", "reset", "reset known", "front"} {
			for _, archive := range []string{"", "/archive"} {
				for nth := 1; nth < 60; nth += step {
					mem := vfs.NewMem()
					opts := testOptions(mem)
					opts.Sync, opts.ArchiveDir = mode, archive
					l := openTest(t, opts)
					fill(t, l, 100)
					if archive != "" { // Some are in the archive, but not truncated.
						mem.SetHook(func(c vfs.Call) error {
							if c.Op == vfs.OpSyncDir && c.Name == archive {
								return errInjected
							}
							return nil
						})
						_ = l.TruncateFront(100)
						mem.SetHook(nil)
					}
					segs := l.Segments()
					calls := 0
					mem.SetHook(func(c vfs.Call) error {
						if !c.Op.Changes() {
							return nil
						}
						if calls++; calls == nth {
							return syscall.ENOSPC
						}
						return nil
					})
					var err error
					first, last := uint64(1), uint64(100)
					wantFirst, wantLast := first, last
					switch op {
					case "back":
						wantLast = segs[1].Base + 3
						err = l.TruncateBack(wantLast)
					case "back boundary":
						wantLast = segs[1].Last
						err = l.TruncateBack(wantLast)
					case "empty":
						wantLast = 0
						err = l.TruncateBack(0)
					case "reset":
						wantFirst, wantLast = 500, 499
						err = l.Reset(500)
					case "reset known":
						wantFirst, wantLast = segs[1].Base, segs[1].Base-1
						err = l.Reset(wantFirst)
					case "front":
						wantFirst = segs[2].Base
						err = l.TruncateFront(wantFirst)
					}
					mem.SetHook(nil)
					what := op + archive + mode.String()
					gone := func(l *Log) bool { return l.First() == wantFirst && l.Last() == wantLast }
					was := func(l *Log) bool { return l.First() == first && l.Last() == last }
					if l.writable() == nil {
						require.True(t, gone(l) || err != nil && was(l), "%s %d: %d-%d %v", what, nth, l.First(), l.Last(), err)
						if l.Last() >= l.First() {
							requireRecords(t, l, l.First(), l.Last())
						}
						fill(t, l, l.Last()+30)
						requireRecords(t, l, l.First(), l.Last())
					} else {
						require.ErrorIs(t, err, ErrFailed, "%s %d", what, nth)
					}
					f, la := l.First(), l.Last()
					alive := l.writable() == nil
					disk := mem.Exit()
					cerr := l.Close()
					if alive {
						require.NoError(t, cerr)
					}
					for i, m := range []*vfs.Mem{disk, mem.Exit(), mem.Crash(1, vfs.KeepNone)} {
						opts.FS = m
						vs, err := Check(testDir, opts)
						require.NoError(t, err)
						for _, v := range vs {
							require.False(t, v.Damage, "%s %d: %v", what, nth, v)
						}
						l2, err := Open(testDir, opts)
						require.NoError(t, err, "%s %d", what, nth)
						if alive {
							requireRecords(t, l2, f, la)
						} else if mode == SyncAlways || i < 2 {
							require.True(t, gone(l2) || was(l2), "%s %d: %d-%d", what, nth, l2.First(), l2.Last())
						}
						fill(t, l2, l2.Last()+40)
						require.NoError(t, l2.Close())
						l2, err = Open(testDir, opts)
						require.NoError(t, err)
						requireRecords(t, l2, l2.First(), l2.Last())
						require.NoError(t, l2.Close())
					}
					if calls < nth {
						break
					}
				}
			}
		}
	}
}

// The end is cut twice into the same segment while another process reads what was there.
func TestASecondCutTakesNothingFromReadersOfBefore(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.SegmentSize = 1 << 20
	l := openTest(t, opts)
	fill(t, l, 100)
	reader, err := Open(testDir, readOnly(opts))
	require.NoError(t, err)
	require.NoError(t, l.TruncateBack(50))
	fill(t, l, 60)
	require.NoError(t, l.TruncateBack(40))
	requireRecords(t, reader, 1, 100)
}

// Records that are submitted and synced, or roll, faster than Landed is called.
func TestSubmitAndSyncDoNotPileUpGoroutines(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	opts.SegmentSize = 1 << 20
	opts.Landed = func(uint64) {}
	l := openTest(t, opts)
	before, most := runtime.NumGoroutine(), 0
	started := time.Now()
	for range 20_000 {
		_, _, err := l.Submit([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, l.Sync())
		most = max(most, runtime.NumGoroutine()-before)
	}
	submitted := time.Since(started)
	require.NoError(t, l.Close())
	t.Logf("%d goroutines at most, %v to submit, %v with close", most, submitted, time.Since(started))
	require.Less(t, most, 100)
}
