package wal

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestRelaxedAppendsCostNoCall(t *testing.T) {
	if !writesThroughMap {
		t.Skip("this system's fsync doesn't cover mappings")
	}
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.Sync, opts.SegmentSize = SyncNever, 1<<20
	l := openTest(t, opts)
	writes := 0
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite {
			writes++
		}
		return nil
	})
	fill(t, l, 500)
	require.Zero(t, writes)
	requireRecords(t, l, 1, 500)
	require.NoError(t, l.Close())
}

func TestWhereNothingCanBeMappedRecordsAreWritten(t *testing.T) {
	for _, mode := range []SyncMode{SyncInterval, SyncNever} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.Sync = mode
		l := openTest(t, opts)
		l.unmappable = true
		fill(t, l, 200)
		requireRecords(t, l, 1, 200)
		died := opts
		died.FS = mem.Exit()
		requireRecords(t, openTest(t, died), 1, 200)
		require.NoError(t, l.Close())
	}
}

func TestRelaxedRecordsThatAreLargeCostOneWriteEachAndLieAmongTheOthers(t *testing.T) {
	if !writesThroughMap {
		t.Skip("this system's fsync doesn't cover mappings")
	}
	dir := t.TempDir()
	l, err := Open(dir, Options{Sync: SyncNever, SegmentSize: 1 << 20})
	require.NoError(t, err)
	var want [][]byte
	for i := range 200 {
		payload := bytes.Repeat([]byte{byte(i)}, []int{10, defaultWriteFrom - 1, defaultWriteFrom, 3 * defaultWriteFrom}[i%4])
		want = append(want, payload)
		_, err := l.Append(payload)
		require.NoError(t, err)
	}
	check := func(l *Log) {
		got := 0
		for record, err := range l.Records(1) {
			require.NoError(t, err)
			require.Equal(t, want[got], record.Payload)
			got++
		}
		require.Len(t, want, got)
	}
	check(l)
	require.NoError(t, l.Close())
	l, err = Open(dir, Options{})
	require.NoError(t, err)
	check(l)
	require.NoError(t, l.Close())

	mem := vfs.NewMem()
	l = openTest(t, Options{FS: mem, Sync: SyncNever, SegmentSize: 4 << 20, IdleMark: -1, foreground: true})
	writes := map[int64]int{}
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite {
			writes[c.Len]++
		}
		return nil
	})
	for range 10 {
		for _, size := range []int{defaultWriteFrom - 1, defaultWriteFrom} {
			_, err := l.Append(make([]byte, size))
			require.NoError(t, err)
		}
	}
	require.Equal(t, map[int64]int{frameSize(defaultWriteFrom): 10}, writes)
	require.NoError(t, l.Close())
}

func TestTheLessIsLeftOfASegmentTheLessIsLeftToSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := testOptions(vfs.NewMem())
		opts.Sync, opts.SegmentSize, opts.foreground = SyncNever, 24<<20, false
		l := openTest(t, opts)
		record := make([]byte, 100<<10)
		most := int64(0)
		for s := l.segments.active().store; s.written.position()+2*int64(len(record)) < opts.SegmentSize; {
			_, _, err := l.Submit(record)
			require.NoError(t, err)
			synctest.Wait()
			written := s.written.position()
			unsynced := written - s.durable.position()
			require.Less(t, unsynced, max(1<<20, opts.SegmentSize-written), "at %d bytes of %d", written, opts.SegmentSize)
			most = max(most, unsynced)
		}
		require.Greater(t, most, int64(7<<20), "syncs come no earlier than they have to")
		require.Less(t, most, int64(8<<20))
		require.NoError(t, l.Close())
	})
}

func TestTheMemoryOfAHugeRecordIsLetGo(t *testing.T) {
	opts := Options{FS: vfs.NewMem(), Sync: SyncNever, IdleMark: -1, foreground: true}
	l := openTest(t, opts)
	_, err := l.Append(make([]byte, 16<<20))
	require.NoError(t, err)
	require.LessOrEqual(t, cap(l.segments.active().store.scratch), groupLimit)
	require.NoError(t, l.Close())
}

func TestAStoreCutUnderItsMappingIsAnErrorNotADeath(t *testing.T) {
	if !writesThroughMap {
		t.Skip("this system's fsync doesn't cover mappings")
	}
	l, err := Open(t.TempDir(), Options{Sync: SyncNever})
	require.NoError(t, err)
	_, err = l.Append([]byte("before"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(l.segments.active().store.path, 0))
	_, err = l.Append([]byte("after"))
	require.ErrorIs(t, err, ErrFailed)
	_, err = l.Append([]byte("and again"))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, l.Close(), ErrFailed)
}

// TestMarksThatReachPastTheMappingAreInTheFile: space may be there that isn't mapped yet, and a mark maps none.
func TestMarksThatReachPastTheMappingAreInTheFile(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.Sync, opts.SegmentSize = SyncNever, 1<<20
	l := openTest(t, opts)
	fill(t, l, 3)
	s := l.segments.active().store
	require.NoError(t, s.grow(64<<10, 64<<10)) // As the background does ahead of need.
	for range 100 {
		writeMark(t, l)
	}
	fill(t, l, 10)
	died := opts
	died.FS = mem.Exit()
	requireRecords(t, openTest(t, died), 1, 10)
	require.NoError(t, l.Close())
}
