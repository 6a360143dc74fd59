package wal

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Tests of reads of single records, most of them by way of a sealed store's mapping.

// sealedLog returns a log on the real disk with records of 100 bytes in some sealed segments, and how many of them there are.
func sealedLog(t *testing.T) (l *Log, sealed uint64) {
	l, err := Open(t.TempDir(), Options{Sync: SyncNever, SegmentSize: 64 << 10, IdleMark: -1})
	require.NoError(t, err)
	for range 4 {
		appendHundreds(t, l, 500)
	}
	require.Greater(t, len(l.Segments()), 3)
	return l, l.segments.active().base() - 1
}

// hundred makes a payload of 100 bytes.
func hundred(offset uint64) []byte { return bytes.Repeat([]byte{byte(offset), byte(offset >> 8)}, 50) }

func TestASmallRecordIsReadByOneCallAndASealedOneByNone(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 100)
	calls := map[vfs.Op]int{}
	mem.SetHook(func(c vfs.Call) error {
		calls[c.Op]++
		return nil
	})
	last := l.Last()
	require.Equal(t, payloadOf(last), must(l.Read(last)))
	require.Equal(t, map[vfs.Op]int{vfs.OpRead: 1}, calls)
	clear(calls)
	for range 3 {
		require.Equal(t, payloadOf(2), must(l.Read(2)))
	}
	require.Equal(t, map[vfs.Op]int{vfs.OpMap: 1}, calls)
	clear(calls)
	for range l.Records(1) {
		continue
	}
	require.Zero(t, calls[vfs.OpMap], "reading in order maps nothing")
	require.NoError(t, l.Close())
	require.Empty(t, mem.InUse())
}

func TestRecordsOfEachSizeAreReadWhole(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		l, err := Open(dir, Options{FS: fs, SegmentSize: 64 << 10, IdleMark: -1})
		require.NoError(t, err)
		const atOnce = len(readBuffer{}) - frameHeadSize
		sizes := []int{0, 1, 4, 5, atOnce - 5, atOnce - 4, atOnce - 1, atOnce, atOnce + 1, atOnce + 8, 5000, 40_000, 100_000}
		for i, size := range append(sizes, sizes...) {
			offset, err := l.Append(bytes.Repeat([]byte{byte(i + 1)}, size))
			require.NoError(t, err)
			for o := uint64(1); o <= offset; o++ { // Of the active store at first, then of a sealed one.
				require.Equal(t, bytes.Repeat([]byte{byte(o)}, sizes[(o-1)%uint64(len(sizes))]), must(l.Read(o)))
			}
		}
		require.NoError(t, l.Close())
	})
}

func TestASealedStoreCutUnderItsMappingIsAnErrorNotADeath(t *testing.T) {
	l, sealed := sealedLog(t)
	require.Equal(t, hundred(1), must(l.Read(1)))
	first := l.Segments()[0]
	const kept = 8 << 10
	path := l.segments.list[0].store.path
	var readers sync.WaitGroup
	var cut atomic.Bool
	for range 2 {
		readers.Go(func() {
			for offset := uint64(1); !cut.Load(); offset = offset%first.Last + 1 {
				if payload, err := l.Read(offset); err == nil && !bytes.Equal(hundred(offset), payload) {
					t.Errorf("offset %d: %x", offset, payload)
				}
			}
		})
	}
	require.NoError(t, os.Truncate(path, kept))
	cut.Store(true)
	readers.Wait()
	before := uint64((kept - headSize) / frameSize(100))
	for _, offset := range []uint64{1, 2, before - 1, before, first.Last + 1, sealed, l.Last()} {
		require.Equal(t, hundred(offset), must(l.Read(offset)))
	}
	for _, offset := range []uint64{before + 1, before + 100, first.Last} {
		_, err := l.Read(offset)
		var damage *CorruptError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, path, damage.Path)
	}
	_, err := l.Append([]byte("goes on"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestABadPageOfASealedStoreIsTheErrorOfItsRecordsAlone(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.SegmentSize = 64 << 10
	l := openTest(t, opts)
	fill(t, l, 1000)
	g := l.segments.list[0]
	require.NotNil(t, g.next.Load())
	require.NoError(t, mem.SetBadPage(g.store.path, 2, true))
	bad := 0
	for offset := uint64(1); offset < g.next.Load().base(); offset++ {
		at := g.index.Load().get(offset-1, make([]byte, entrySize))
		end := at + frameSize(len(payloadOf(offset)))
		payload, err := l.Read(offset)
		if at < 3*4096 && end > 2*4096 {
			require.ErrorIs(t, err, syscall.EIO)
			bad++
			continue
		}
		require.NoError(t, err, "the record from %d to %d", at, end)
		require.Equal(t, payloadOf(offset), payload)
	}
	require.Greater(t, bad, 10)
	require.NoError(t, mem.SetBadPage(g.store.path, 2, false))
	requireRecords(t, l, 1, 1000)
	require.NoError(t, l.Close())
}

func TestASealedStoreThatCannotBeMappedIsReadByCalls(t *testing.T) {
	mem := vfs.NewMem()
	opts, logged := toldTo(mem)
	opts.SegmentSize = MinSegmentSize
	l := openTest(t, opts)
	fill(t, l, 100)
	maps := 0
	mem.SetHook(func(c vfs.Call) error {
		if c.Op != vfs.OpMap || !strings.Contains(c.Name, storeSuffix) {
			return nil
		}
		maps++
		return syscall.ENOMEM
	})
	requireRecords(t, l, 1, 100)
	requireRecords(t, l, 1, 100)
	require.Equal(t, len(l.Segments())-1, maps, "each is tried once")
	require.Equal(t, maps, strings.Count(logged.String(), "can't be mapped"))
	require.NoError(t, l.Close())
	require.Empty(t, mem.InUse())
}

// TestMappedReadsBesideTruncationsAndClose reads at random while segments are sealed, cut and removed, on real mappings: an access to one that
// was unmapped would end the process.
func TestMappedReadsBesideTruncationsAndClose(t *testing.T) {
	l, _ := sealedLog(t)
	var readers sync.WaitGroup
	for reader := range uint64(2) {
		readers.Go(func() {
			for i := reader; ; i += 7919 {
				first, last := l.First(), l.Last()
				offset := first + i%(last-first+1)
				payload, err := l.Read(offset)
				switch {
				case errors.Is(err, ErrClosed):
					return
				case err == nil && bytes.Equal(hundred(offset), payload), errors.Is(err, ErrTruncated), errors.Is(err, ErrOutOfRange):
				default:
					t.Errorf("offset %d: %x, %v", offset, payload, err)
					return
				}
			}
		})
	}
	for range 10 {
		appendHundreds(t, l, 900)
		require.NoError(t, l.TruncateBack(l.Last()-700))
		require.NoError(t, l.TruncateFront(l.Last()-1200))
	}
	require.NoError(t, l.Close())
	readers.Wait()
}

// appendHundreds appends records of 100 bytes.
func appendHundreds(t *testing.T, l *Log, count int) {
	var payloads [][]byte
	for i := range count {
		payloads = append(payloads, hundred(l.Last()+uint64(i)+1))
	}
	_, err := l.AppendBatch(payloads)
	require.NoError(t, err)
}
