package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

const testDir = "/log"

// testOptions are for a log in memory that rolls often and does nothing in the background.
func testOptions(fs vfs.FS) Options {
	return Options{FS: fs, SegmentSize: MinSegmentSize, IdleMark: -1, foreground: true}
}

func openTest(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Open(testDir, opts)
	require.NoError(t, err)
	return l
}

// payloadOf makes a payload that tells its offset, of a length that varies.
func payloadOf(offset uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "record %d;", offset), int(offset*7%23)+1)
}

// fill appends records up to an offset.
func fill(t testing.TB, l *Log, last uint64) {
	t.Helper()
	for l.Last() < last {
		want := l.Last() + 1
		got, err := l.Append(payloadOf(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// requireRecords checks that a log holds exactly these offsets, in order and one by one.
func requireRecords(t testing.TB, l *Log, first, last uint64) {
	t.Helper()
	require.Equal(t, first, l.First())
	require.Equal(t, last, l.Last())
	want := first
	for record, err := range l.Records(first) {
		require.NoError(t, err)
		require.Equal(t, want, record.Offset)
		require.Equal(t, payloadOf(want), record.Payload)
		want++
	}
	require.Equal(t, last+1, want)
	for offset := first; offset <= last; offset++ {
		payload, err := l.Read(offset)
		require.NoError(t, err)
		require.Equal(t, payloadOf(offset), payload)
	}
}

func TestLog(t *testing.T) {
	tests := []struct {
		sentence string
		run      func(t *testing.T, opts Options)
	}{
		{"an empty log holds nothing and says so", testEmpty},
		{"what is appended is read back, over many segments", testAppendRead},
		{"a log that was closed goes on where it ended", testReopen},
		{"a log opened and closed without an append keeps its bytes", testReopenChangesNothing},
		{"truncation of the front removes whole segments", testTruncateFront},
		{"truncation of the end removes records and their offsets come again", testTruncateBack},
		{"a log is reset to any first offset", testReset},
		{"a record may be larger than a segment", testLargeRecord},
		{"a closed log refuses everything", testClosed},
		{"a batch gets consecutive offsets", testBatch},
	}
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s/%s", mode, test.sentence), func(t *testing.T) {
				opts := testOptions(vfs.NewMem())
				opts.Sync = mode
				test.run(t, opts)
			})
		}
	}
}

func testEmpty(t *testing.T, opts Options) {
	l := openTest(t, opts)
	require.Equal(t, Created, l.Recovery().Outcome)
	requireRecords(t, l, 1, 0)
	_, err := l.Read(1)
	require.ErrorIs(t, err, ErrOutOfRange)
	require.NoError(t, l.Close())
	l = openTest(t, opts)
	require.Equal(t, Clean, l.Recovery().Outcome)
	requireRecords(t, l, 1, 0)
	require.NoError(t, l.Close())
}

func testAppendRead(t *testing.T, opts Options) {
	l := openTest(t, opts)
	fill(t, l, 300)
	requireRecords(t, l, 1, 300)
	require.Greater(t, len(l.Segments()), 5)
	if opts.Sync == SyncAlways {
		require.EqualValues(t, 300, l.Durable())
	}
	require.NoError(t, l.Sync())
	require.EqualValues(t, 300, l.Durable())
	require.NoError(t, l.Close())
}

func testReopen(t *testing.T, opts Options) {
	for last := uint64(0); last < 100; last += 9 {
		l := openTest(t, opts)
		if last > 0 {
			require.Equal(t, Clean, l.Recovery().Outcome)
		}
		require.Empty(t, l.Recovery().RebuiltIndexes)
		fill(t, l, last)
		requireRecords(t, l, 1, last)
		require.NoError(t, l.Close())
	}
}

func testReopenChangesNothing(t *testing.T, opts Options) {
	mem := opts.FS.(*vfs.Mem)
	l := openTest(t, opts)
	fill(t, l, 50)
	require.NoError(t, l.Close())
	before := contents(t, mem)
	require.NoError(t, openTest(t, opts).Close())
	require.Equal(t, before, contents(t, mem))
}

func contents(t testing.TB, mem *vfs.Mem) map[string][]byte {
	all := map[string][]byte{}
	for _, name := range mem.Names() {
		data, err := mem.ReadFile(name)
		require.NoError(t, err)
		all[name] = data
	}
	return all
}

func testTruncateFront(t *testing.T, opts Options) {
	l := openTest(t, opts)
	fill(t, l, 200)
	require.ErrorIs(t, l.TruncateFront(202), ErrOutOfRange)
	for first := uint64(1); first <= 201; first += 20 {
		require.NoError(t, l.TruncateFront(first))
		require.LessOrEqual(t, l.First(), first)
		requireRecords(t, l, l.First(), 200)
	}
	require.Len(t, l.Segments(), 1)
	_, err := l.Read(1)
	require.ErrorIs(t, err, ErrTruncated)
	for _, err := range l.Records(1) {
		require.ErrorIs(t, err, ErrTruncated)
	}
	first := l.First()
	fill(t, l, 230)
	require.NoError(t, l.Close())
	l = openTest(t, opts)
	requireRecords(t, l, first, 230)
	require.NoError(t, l.Close())
}

func testTruncateBack(t *testing.T, opts Options) {
	l := openTest(t, opts)
	for _, last := range []uint64{199, 150, 149, 10, 3, 0} {
		fill(t, l, 200)
		require.NoError(t, l.TruncateBack(last))
		requireRecords(t, l, 1, last)
		fill(t, l, last+5)
		requireRecords(t, l, 1, last+5)
		require.NoError(t, l.Close())
		l = openTest(t, opts)
		require.Equal(t, Clean, l.Recovery().Outcome)
		requireRecords(t, l, 1, last+5)
	}
	require.NoError(t, l.Close())
}

func testReset(t *testing.T, opts Options) {
	l := openTest(t, opts)
	for _, first := range []uint64{1, 1000, 20, 1 << 40} {
		require.NoError(t, l.Reset(first))
		requireRecords(t, l, first, first-1)
		require.NoError(t, l.Close())
		l = openTest(t, opts)
		requireRecords(t, l, first, first-1)
	}
	fill(t, l, 1<<40+100)
	require.ErrorIs(t, l.Reset(0), ErrOutOfRange)
	require.ErrorIs(t, l.TruncateBack(1<<40-2), ErrTruncated)
	require.NoError(t, l.Close())
	l = openTest(t, opts)
	requireRecords(t, l, 1<<40, 1<<40+100)
	require.NoError(t, l.Reset(5))
	requireRecords(t, l, 5, 4)
	fill(t, l, 9)
	requireRecords(t, l, 5, 9)
	require.NoError(t, l.Close())
}

func testLargeRecord(t *testing.T, opts Options) {
	opts.MaxRecordSize = 100 << 10
	l := openTest(t, opts)
	large := bytes.Repeat([]byte("large"), 20<<10)
	for range 3 {
		_, err := l.Append([]byte("small"))
		require.NoError(t, err)
		offset, err := l.Append(large)
		require.NoError(t, err)
		got, err := l.Read(offset)
		require.NoError(t, err)
		require.Equal(t, large, got)
	}
	_, err := l.Append(append(large, 'x'))
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = l.AppendBatch([][]byte{nil, append(large, 'x')})
	require.ErrorIs(t, err, ErrTooLarge)
	require.EqualValues(t, 6, l.Last())
	require.NoError(t, l.Close())
	l = openTest(t, opts)
	got, err := l.Read(6)
	require.NoError(t, err)
	require.Equal(t, large, got)
	require.NoError(t, l.Close())
}

func testClosed(t *testing.T, opts Options) {
	l := openTest(t, opts)
	fill(t, l, 3)
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Close(), ErrClosed)
	_, err := l.Append(nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = l.AppendBatch([][]byte{nil})
	require.ErrorIs(t, err, ErrClosed)
	_, err = l.Read(1)
	require.ErrorIs(t, err, ErrClosed)
	for _, err := range l.Records(1) {
		require.ErrorIs(t, err, ErrClosed)
	}
	for _, err := range l.Follow(t.Context(), 4) {
		require.ErrorIs(t, err, ErrClosed)
	}
	for _, err := range []error{l.Sync(), l.TruncateFront(1), l.TruncateBack(1), l.Reset(1)} {
		require.ErrorIs(t, err, ErrClosed)
	}
}

func testBatch(t *testing.T, opts Options) {
	l := openTest(t, opts)
	batch := make([][]byte, 100)
	for i := range batch {
		batch[i] = payloadOf(uint64(i + 1))
	}
	first, err := l.AppendBatch(batch)
	require.NoError(t, err)
	require.EqualValues(t, 1, first)
	requireRecords(t, l, 1, 100)
	_, err = l.AppendBatch(nil)
	require.Error(t, err)
	require.NoError(t, l.Close())
}

func TestConcurrentAppendersShareSyncs(t *testing.T) {
	opts := Options{SegmentSize: 64 << 10}
	l, err := Open(t.TempDir(), opts)
	require.NoError(t, err)
	const goroutines, each = 16, 50
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				offset, err := l.Append([]byte("a record"))
				if err != nil {
					t.Error(err)
					return
				}
				if l.Durable() < offset {
					t.Errorf("offset %d acknowledged, %d durable", offset, l.Durable())
				}
			}
		})
	}
	wg.Wait()
	stats := l.Stats()
	require.EqualValues(t, goroutines*each, stats.Last)
	require.Less(t, stats.Syncs, uint64(goroutines*each/2), "16 appenders should share syncs")
	require.NoError(t, l.Close())
}

func TestOpenReadOnlyOfNothingSaysSo(t *testing.T) {
	_, err := Open(testDir, Options{FS: vfs.NewMem(), ReadOnly: true})
	require.True(t, errors.Is(err, fs.ErrNotExist), "%v", err)
}

func TestASyncAfterAFailedOneFails(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 3)
	store := l.segments.active().store
	mem.SetHook(vfs.FailNth(vfs.OpSync, 1, errors.New("no")))
	require.Error(t, store.sync())
	require.Error(t, store.sync(), "the second sync would succeed, and prove nothing")
}

// writeMark writes a mark as an idle log does.
func writeMark(t testing.TB, l *Log) {
	t.Helper()
	l.submitMu.Lock()
	durable, err := l.mark()
	l.submitMu.Unlock()
	require.NoError(t, err)
	require.NoError(t, durable())
}

func TestALogThatIsMadeGetsTheIdentityThatIsAskedFor(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	opts.ID = [16]byte{1, 2, 3}
	l := openTest(t, opts)
	fill(t, l, 40)
	require.NoError(t, l.Reset(100))
	require.Equal(t, opts.ID, l.ID())
	require.NoError(t, l.Close())
	opts.ID = [16]byte{4}
	l = openTest(t, opts)
	require.Equal(t, [16]byte{1, 2, 3}, l.ID(), "a log that is there keeps its own")
	require.NoError(t, l.Close())
}
