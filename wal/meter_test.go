package wal

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// toldTo returns options under which everything is done by the caller, and what is told then.
func toldTo(mem *vfs.Mem) (Options, *bytes.Buffer) {
	var told bytes.Buffer
	return Options{FS: mem, Logger: slog.New(slog.NewTextHandler(&told, nil)), SegmentSize: 64 << 10, IdleMark: -1, foreground: true}, &told
}

// appendBytes appends records of this size until they come to a number of bytes.
func appendBytes(t *testing.T, l *Log, total int) {
	t.Helper()
	payload := make([]byte, 1000)
	for ; total > 0; total -= len(payload) {
		_, err := l.Append(payload)
		require.NoError(t, err)
	}
}

func TestEverySyncOfRecordsIsMeasuredOnceWithTheRecordsItCovers(t *testing.T) {
	l, err := Open("/log", Options{FS: vfs.NewMem(), SegmentSize: 64 << 10})
	require.NoError(t, err)
	var appenders sync.WaitGroup
	for range 8 {
		appenders.Go(func() { appendBytes(t, l, 50_000) })
	}
	appenders.Wait()
	stats := l.Stats()
	require.NoError(t, l.Close())
	require.EqualValues(t, 400, stats.Appends)
	require.EqualValues(t, stats.Appends, stats.GroupSize.Sum)
	require.LessOrEqual(t, stats.GroupSize.Max, int64(8), "each appender waits for its record")
	require.Equal(t, stats.Syncs, stats.SyncLatency.Count)
	require.LessOrEqual(t, stats.GroupSize.Count, stats.Syncs)
	require.GreaterOrEqual(t, stats.SyncLatency.Sum, stats.SyncLatency.Max)
	require.Positive(t, stats.SyncLatency.Max)
}

func TestASyncInARelaxedModeIsMeasuredWithAllThatItCovers(t *testing.T) {
	opts, _ := toldTo(vfs.NewMem())
	opts.Sync, opts.SegmentSize = SyncNever, 16<<20 // So large that it need not grow, which would be a sync.
	l, err := Open("/log", opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	appendBytes(t, l, 10_000)
	require.Zero(t, l.Stats().GroupSize.Count)
	require.NoError(t, l.Sync())
	require.EqualValues(t, 1, l.Stats().GroupSize.Count)
	require.EqualValues(t, 10, l.Stats().GroupSize.Max)
}

func TestWrittenBytesAreThoseOfFrames(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		opts, _ := toldTo(vfs.NewMem())
		opts.Sync = mode
		l, err := Open("/log", opts)
		require.NoError(t, err)
		appendBytes(t, l, 3000)
		stats := l.Stats()
		require.EqualValues(t, 3000, stats.AppendedBytes)
		require.EqualValues(t, 3*frameSize(1000), stats.WrittenBytes)
		require.EqualValues(t, headSize+3*frameSize(1000), l.Segments()[0].Bytes)
		require.NoError(t, l.Close())
	}
}

func TestSlowSyncsAreCountedAndToldOfOnceASecond(t *testing.T) {
	opts, told := toldTo(vfs.NewMem())
	opts.SlowSync = time.Nanosecond
	l, err := Open("/log", opts)
	require.NoError(t, err)
	started := time.Now()
	appendBytes(t, l, 5000)
	if time.Since(started) < slowSyncPause {
		require.Equal(t, 1, strings.Count(told.String(), "sync was slow"))
	}
	require.Contains(t, told.String(), "limit=1ns records=1 not_logged=0")
	require.Equal(t, l.Stats().Syncs, l.Stats().SlowSyncs)
	require.NoError(t, l.Close())
}

func TestWarningsOfSlowSyncsCountThoseThatNobodyWasToldOf(t *testing.T) {
	w := newMeter("", Options{})
	start := time.Now()
	for _, step := range []struct {
		after  time.Duration
		tell   bool
		untold uint64
	}{
		{0, true, 0},
		{time.Millisecond, false, 0},
		{slowSyncPause - 1, false, 0},
		{slowSyncPause, true, 2},
		{slowSyncPause + 1, false, 0},
		{10 * slowSyncPause, true, 1},
		{20 * slowSyncPause, true, 0},
	} {
		untold, tell := w.slowDue(start.Add(step.after))
		require.Equal(t, step.tell, tell, "after %v", step.after)
		require.Equal(t, step.untold, untold, "after %v", step.after)
	}
}

func TestASyncBelowTheLimitIsNotSlow(t *testing.T) {
	for _, limit := range []time.Duration{-1, time.Hour} {
		opts, told := toldTo(vfs.NewMem())
		opts.SlowSync = limit
		l, err := Open("/log", opts)
		require.NoError(t, err)
		appendBytes(t, l, 1000)
		require.Zero(t, l.Stats().SlowSyncs)
		require.NoError(t, l.Close())
		require.Empty(t, told.String())
	}
}

func TestLowSpaceIsToldOnceUntilItHasRecovered(t *testing.T) {
	const lowSpace = 1 << 20
	mem := vfs.NewMem()
	mem.SetCapacity(2 << 20)
	opts, told := toldTo(mem)
	opts.LowSpace = lowSpace
	l, err := Open("/log", opts)
	require.NoError(t, err)
	tellings := func() int { return strings.Count(told.String(), "file system is low on space") }
	require.Zero(t, tellings())
	appendBytes(t, l, 1200<<10)
	require.Equal(t, 1, tellings(), "rolling over and over says it once")
	require.Contains(t, told.String(), "limit_bytes=1048576")
	require.Less(t, l.Stats().FreeBytes, int64(lowSpace))

	mem.SetCapacity(8 << 20)
	appendBytes(t, l, 100<<10)
	mem.SetCapacity(2 << 20)
	appendBytes(t, l, 100<<10)
	require.Equal(t, 2, tellings(), "there was enough in between")
	require.NoError(t, l.Close())

	for sentence, change := range map[string]func(o *Options){
		"a read-only log takes no space":     func(o *Options) { o.ReadOnly = true },
		"a negative limit tells of nothing":  func(o *Options) { o.LowSpace = -1 },
		"there is more than the limit again": func(o *Options) { o.LowSpace = 1 << 10 },
	} {
		opts, told := toldTo(mem)
		opts.LowSpace = lowSpace
		change(&opts)
		l, err := Open("/log", opts)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Empty(t, told.String(), sentence)
	}
	opts, told = toldTo(mem)
	opts.LowSpace = lowSpace
	l, err = Open("/log", opts)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Equal(t, 1, tellings(), "a log that is opened says so at once")
}

func TestADiskThatDoesNotSayWhatIsLeftIsNoTrouble(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpFreeSpace {
			return errors.ErrUnsupported
		}
		return nil
	})
	opts, told := toldTo(mem)
	opts.LowSpace = math.MaxInt64
	l, err := Open("/log", opts)
	require.NoError(t, err)
	appendBytes(t, l, 200<<10)
	require.EqualValues(t, -1, l.Stats().FreeBytes)
	require.NoError(t, l.Close())
	require.Empty(t, told.String())
}

func TestAFullDiskIsToldOfAsLowToo(t *testing.T) {
	mem := vfs.NewMem()
	opts, told := toldTo(mem)
	l, err := Open("/log", opts)
	require.NoError(t, err)
	mem.SetCapacity(40 << 10)
	payload := make([]byte, 1000)
	for err == nil {
		_, err = l.Append(payload)
	}
	require.ErrorIs(t, err, ErrNoSpace)
	require.Contains(t, told.String(), "file system is low on space")
	require.NoError(t, l.Close())
}

// BenchmarkMeter measures what each group costs that is measured.
func BenchmarkMeter(b *testing.B) {
	w := newMeter("", Options{})
	for b.Loop() {
		started := time.Now()
		w.syncs.Record(int64(time.Since(started)))
		w.groups.Record(1)
	}
}
