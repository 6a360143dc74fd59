package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// bothDisks runs a test on a disk in memory and on the real one, where indexes are really mapped.
func bothDisks(t *testing.T, run func(t *testing.T, fs vfs.FS, dir string)) {
	t.Run("mem", func(t *testing.T) {
		mem := vfs.NewMem()
		require.NoError(t, mem.MkdirAll(testDir))
		run(t, mem, testDir)
	})
	t.Run("os", func(t *testing.T) { run(t, vfs.OS, t.TempDir()) })
}

func positionOf(i uint32) int64 { return headSize + int64(i)*frameAlign*3 }

// indexOf returns an index in memory of the given number of records.
func indexOf(count uint32) *index {
	x := &index{anchored: true}
	for i := range count {
		x.add(positionOf(i), i)
	}
	return x
}

// sealedStore returns a store that has records where indexOf says so, as far as an index file goes.
func sealedStore(dir string, count uint32) *store {
	s := newStore(nil, joinName(dir, storeName(7)), storeHead{salt: 77, base: 7, first: 1}, make([]byte, headSize))
	s.cutAt(positionOf(count), 7+uint64(count), 0xabcd)
	return s
}

func requireEntries(t *testing.T, x *index, count uint32) {
	t.Helper()
	buffer := make([]byte, entrySize)
	for i := range count {
		require.Equal(t, positionOf(i), x.get(uint64(i), buffer), "entry %d", i)
	}
	require.Zero(t, x.get(uint64(count), buffer), "there are no more entries")
	require.Zero(t, x.get(1<<31, buffer))
}

func TestIndexGivesBackWhatWasAdded(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		for _, count := range []uint32{0, 1, indexChunkSize - 1, indexChunkSize, 3*indexChunkSize + 5} {
			x, s := indexOf(count), sealedStore(dir, count)
			requireEntries(t, x, count)
			require.NoError(t, writeIndexFile(fs, s, x, 78, true))
			head, file, err := openIndexFile(fs, s)
			require.NoError(t, err)
			require.Equal(t, indexHead{salt: 77, nextSalt: 78, count: count, end: s.end, chain: s.chain, entriesSum: head.entriesSum}, head)
			require.NoError(t, file.Close())
			mapped, err := loadIndex(fs, s)
			require.NoError(t, err)
			requireEntries(t, mapped, count)
			require.NoError(t, mapped.close())
		}
	})
}

func TestIndexKnowsTheChainAtARecordInEachChunk(t *testing.T) {
	x := indexOf(3*indexChunkSize + 5)
	for _, i := range []uint64{0, 1, indexChunkSize - 1, indexChunkSize, 3*indexChunkSize + 4} {
		position, number, chain, ok := x.anchor(i)
		require.True(t, ok)
		require.LessOrEqual(t, number, i)
		require.Less(t, i-number, uint64(indexChunkSize))
		require.Equal(t, positionOf(uint32(number)), position)
		require.EqualValues(t, number, chain)
	}
	_, _, _, ok := x.anchor(4 * indexChunkSize)
	require.False(t, ok)
}

func TestIndexFileOfAStoreThatWasCutEndsWithIt(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		x := indexOf(2 * indexChunkSize)
		for _, count := range []uint32{indexChunkSize + 7, indexChunkSize, 3, 0} {
			s := sealedStore(dir, count)
			require.NoError(t, writeIndexFile(fs, s, x, 78, true))
			var err error
			x, err = loadIndex(fs, s) // The next one is cut once more.
			require.NoError(t, err)
			defer func(x *index) { require.NoError(t, x.close()) }(x)
			requireEntries(t, x, count)
		}
	})
}

func TestIndexIsReadWhileItGrows(t *testing.T) {
	const count = 5 * indexChunkSize
	x := &index{}
	added := make(chan uint32, count)
	var readers sync.WaitGroup
	readers.Go(func() {
		for i := range added {
			if position := x.get(uint64(i), nil); position != positionOf(i) {
				t.Errorf("entry %d is %d", i, position)
			}
		}
	})
	for i := range uint32(count) {
		x.add(positionOf(i), 0)
		added <- i
	}
	close(added)
	readers.Wait()
}

func TestAnIndexFileThatIsNotTheStoresOrNotWholeIsNone(t *testing.T) {
	const count = 10
	tests := []struct {
		sentence string
		change   func(b []byte) []byte
	}{
		{"missing", nil},
		{"empty", func([]byte) []byte { return nil }},
		{"one entry too few", func(b []byte) []byte { return b[:len(b)-entrySize] }},
		{"one entry too many", func(b []byte) []byte { return append(b, b[:entrySize]...) }},
		{"half an entry", func(b []byte) []byte { return b[:len(b)-1] }},
		{"half a header", func(b []byte) []byte { return b[:indexHeadSize/2] }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"noise", func(b []byte) []byte { return bytes.Repeat([]byte("noise!"), len(b))[:len(b)] }},
		{"another store's", func(b []byte) []byte { b[indexSaltAt]++; return resumIndex(b) }},
		{"another version", func(b []byte) []byte { b[indexVersionAt]++; return resumIndex(b) }},
		{"a wrong checksum", func(b []byte) []byte { b[indexEndAt]++; return b }},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			require.NoError(t, mem.MkdirAll(testDir))
			s := sealedStore(testDir, count)
			if test.change != nil {
				require.NoError(t, writeIndexFile(mem, s, indexOf(count), 0, false))
				require.NoError(t, mem.WriteFile(indexPath(s), test.change(must(mem.ReadFile(indexPath(s))))))
			}
			_, _, err := openIndexFile(mem, s)
			require.Error(t, err)
		})
	}
}

// resumIndex makes the checksum of an index's header right again.
func resumIndex(b []byte) []byte {
	head, _ := decodeIndexHead(b)
	if head.salt == 0 {
		head = indexHead{
			count: binary.LittleEndian.Uint32(b[indexCountAt:]), salt: binary.LittleEndian.Uint64(b[indexSaltAt:]),
			end: int64(binary.LittleEndian.Uint32(b[indexEndAt:])), chain: binary.LittleEndian.Uint32(b[indexChainAt:]),
			entriesSum: binary.LittleEndian.Uint32(b[indexEntriesSumAt:]),
		}
	}
	encoded := head.encode()
	if version := binary.LittleEndian.Uint32(b[indexVersionAt:]); version != indexVersion {
		return b
	}
	return append(encoded, b[indexHeadSize:]...)
}

// TestWrongEntriesAreCorrectedForReaders damages the indexes of a log that is open: every answer stays right, the statistics
// count it, and the file is right again once the log was closed.
func TestWrongEntriesAreCorrectedForReaders(t *testing.T) {
	for sentence, entry := range map[string]uint32{
		"zeros": 0, "another record's place": headSize, "the middle of a frame": headSize + 8, "a place past the end": 1 << 31,
	} {
		t.Run(sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			l := openTest(t, testOptions(mem))
			fill(t, l, 100)
			base := l.Segments()[1].Base
			whole := map[string][]byte{}
			for _, g := range l.segments.list[:2] {
				path := indexPath(g.store)
				data := must(mem.ReadFile(path))
				whole[path] = bytes.Clone(data)
				binary.LittleEndian.PutUint32(data[indexHeadSize+2*entrySize:], entry)
				require.NoError(t, mem.WriteFile(path, data))
			}
			require.Equal(t, payloadOf(3), must(l.Read(3)))
			for record, err := range l.Records(base + 2) {
				require.NoError(t, err)
				require.Equal(t, payloadOf(record.Offset), record.Payload)
				break
			}
			require.EqualValues(t, 2, l.Stats().IndexRebuilds)
			requireRecords(t, l, 1, 100)
			require.EqualValues(t, 2, l.Stats().IndexRebuilds, "each was corrected once and for all")
			fill(t, l, 120)
			requireRecords(t, l, 1, 120)
			require.NoError(t, l.Close())
			for path, data := range whole {
				require.Equal(t, data, must(mem.ReadFile(path)))
			}
		})
	}
}

func TestAnIndexWhosePagesCannotBeReadChangesNoAnswer(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 100)
	for _, g := range l.segments.list[:2] {
		require.NoError(t, mem.SetBadPage(indexPath(g.store), 0, true))
	}
	requireRecords(t, l, 1, 100)
	require.Equal(t, payloadOf(3), must(l.Read(3)))
	require.NoError(t, l.Close())
	l = openTest(t, testOptions(mem))
	requireRecords(t, l, 1, 100)
	require.NoError(t, l.Close())
}

func TestAnIndexThatCannotBeOpenedWrittenOrMappedStopsNothing(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpOpen, vfs.OpCreate, vfs.OpWrite, vfs.OpRename, vfs.OpMap, vfs.OpRead} {
		t.Run(op.String(), func(t *testing.T) {
			mem := vfs.NewMem()
			l := openTest(t, testOptions(mem))
			fill(t, l, 60)
			require.NoError(t, l.Close())
			mem.SetHook(func(c vfs.Call) error {
				if c.Op == op && bytes.Contains([]byte(c.Name), []byte(indexSuffix)) {
					return syscall.EIO
				}
				return nil
			})
			l = openTest(t, testOptions(mem))
			requireRecords(t, l, 1, 60)
			fill(t, l, 150)
			requireRecords(t, l, 1, 150)
			require.NoError(t, l.TruncateBack(30))
			fill(t, l, 60)
			require.NoError(t, l.Close())
			requireRecords(t, openTest(t, testOptions(mem)), 1, 60)
		})
	}
}

// must is for calls whose error would show in their value as well.
func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("unexpected error: %v", err))
	}
	return value
}
