package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
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

func TestIndexGivesBackWhatWasPut(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		path := filepath.Join(dir, indexName(7))
		x, err := openIndex(fs, path)
		require.NoError(t, err)
		_, ok := x.get(0)
		require.False(t, ok, "nothing was put")
		const count = 3000 // More than the first pages hold, so that it grows while it is in use.
		for i := range uint32(count) {
			require.NoError(t, x.makeRoom(i+1))
			x.put(i, positionOf(i))
		}
		requireEntries(t, x, count)
		_, ok = x.get(count)
		require.False(t, ok, "what was allocated is no entry")
		require.NoError(t, x.trim(count))
		require.NoError(t, x.close())

		x, err = openIndex(fs, path)
		require.NoError(t, err)
		require.True(t, x.check(count, positionOf(count)))
		requireEntries(t, x, count)
		require.NoError(t, x.close())
		requireEntriesReadOnly(t, fs, path, count)
	})
}

func requireEntries(t *testing.T, x *index, count uint32) {
	t.Helper()
	for i := range count {
		position, ok := x.get(i)
		require.True(t, ok, "entry %d", i)
		require.Equal(t, positionOf(i), position)
	}
}

func requireEntriesReadOnly(t *testing.T, fs vfs.FS, path string, count uint32) {
	t.Helper()
	x := openIndexReadOnly(fs, path)
	require.True(t, x.check(count, positionOf(count)))
	requireEntries(t, x, count)
	require.NoError(t, x.close())
}

func TestIndexIsReadWhileItGrows(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		x, err := openIndex(fs, filepath.Join(dir, indexName(1)))
		require.NoError(t, err)
		const count = 5000
		put := make(chan uint32, count)
		var readers sync.WaitGroup
		readers.Go(func() {
			for i := range put {
				if position, ok := x.get(i); !ok || position != positionOf(i) {
					t.Errorf("entry %d is %d, %v", i, position, ok)
				}
			}
		})
		for i := range uint32(count) {
			require.NoError(t, x.makeRoom(i+1))
			x.put(i, positionOf(i))
			put <- i
		}
		close(put)
		readers.Wait()
		require.NoError(t, x.close())
	})
}

func TestIndexThatDoesNotFitIsNoticed(t *testing.T) {
	const count, end = 10, headSize + 10*24
	tests := []struct {
		sentence string
		change   func(entries []byte) []byte
	}{
		{"one entry too few", func(b []byte) []byte { return b[:len(b)-entrySize] }},
		{"one entry too many", func(b []byte) []byte { return append(b, b[:entrySize]...) }},
		{"half an entry", func(b []byte) []byte { return b[:len(b)-1] }},
		{"empty", func([]byte) []byte { return nil }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"noise", func(b []byte) []byte { return bytes.Repeat([]byte("noise!"), len(b))[:len(b)] }},
		{"another record's offset", func(b []byte) []byte { b[3*entrySize] = 9; return b }},
		{"a position inside the header", func(b []byte) []byte { b[entryPositionAt] = headSize - 8; return b }},
		{"a position behind the end", func(b []byte) []byte { b[9*entrySize+entryPositionAt+1] = 9; return b }},
		{"a position where no frame can start", func(b []byte) []byte { b[3*entrySize+entryPositionAt]++; return b }},
		{"two entries that lead to one place", func(b []byte) []byte {
			copy(b[4*entrySize+entryPositionAt:][:4], b[3*entrySize+entryPositionAt:])
			return b
		}},
		{"positions that go back", func(b []byte) []byte { b[3*entrySize+entryPositionAt] -= 48; return b }},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			valid := make([]byte, count*entrySize)
			for i := range uint32(count) {
				putEntry(valid, i, positionOf(i))
			}
			mem := vfs.NewMem()
			require.NoError(t, mem.WriteFile("fits", valid))
			require.NoError(t, mem.WriteFile("broken", test.change(bytes.Clone(valid))))
			for name, fits := range map[string]bool{"fits": true, "broken": false, "missing": false} {
				x := openIndexReadOnly(mem, name)
				require.Equal(t, fits, x.check(count, end), name)
				require.NoError(t, x.close())
			}
		})
	}
}

// TestIndexEntriesAreBoundedByWhatIsThere: the last entry of a file that was cut is not read from behind its end.
func TestIndexEntriesAreBoundedByWhatIsThere(t *testing.T) {
	for size := range 3 * entrySize {
		mem := vfs.NewMem()
		valid := make([]byte, 3*entrySize)
		for i := range uint32(3) {
			putEntry(valid, i, positionOf(i))
		}
		require.NoError(t, mem.WriteFile("index", valid[:size]))
		x, err := openIndex(mem, "index")
		require.NoError(t, err)
		for i := range uint32(4) {
			_, ok := x.get(i)
			require.Equal(t, int(i+1)*entrySize <= size, ok, "entry %d of %d bytes", i, size)
		}
		require.NoError(t, x.close())
	}
}

func TestIndexIsFilledAndSaysWhetherItHadToBe(t *testing.T) {
	mem := vfs.NewMem()
	x, err := openIndex(mem, "index")
	require.NoError(t, err)
	positions := []uint32{72, 96, 200}
	for _, want := range []bool{false, true} {
		same, err := x.fill(positions)
		require.NoError(t, err)
		require.Equal(t, want, same)
	}
	positions[1] = 104
	same, err := x.fill(positions)
	require.NoError(t, err)
	require.False(t, same)
	position, ok := x.get(1)
	require.True(t, ok)
	require.EqualValues(t, 104, position)
	require.NoError(t, x.close())
}

func TestIndexOnAFullDiskStaysAsItIs(t *testing.T) {
	mem := vfs.NewMem()
	x, err := openIndex(mem, "index")
	require.NoError(t, err)
	require.NoError(t, x.makeRoom(1))
	x.put(0, positionOf(0))
	mem.SetCapacity(indexMinSize)
	err = x.makeRoom(indexMinSize/entrySize + 1)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, err, syscall.ENOSPC)
	requireEntries(t, x, 1)
	mem.SetCapacity(0)
	require.NoError(t, x.makeRoom(indexMinSize/entrySize+1))
	requireEntries(t, x, 1)
	require.NoError(t, x.close())
}

// TestWrongEntriesAreCorrectedForReaders damages the index of a log that is open, entry by entry: every answer stays
// right, and the statistics tell.
func TestWrongEntriesAreCorrectedForReaders(t *testing.T) {
	tests := []struct {
		sentence string
		entry    []byte
	}{
		{"zeros", make([]byte, entrySize)},
		{"another record's place", binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 2), headSize)},
		{"the middle of a frame", binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 2), headSize+8)},
		{"a place behind the end", binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 2), 1<<31)},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			l := openTest(t, testOptions(mem))
			fill(t, l, 100)
			base := l.Segments()[1].Base
			for _, segment := range l.segments[:2] {
				path := segment.index.path
				data, err := mem.ReadFile(path)
				require.NoError(t, err)
				copy(data[2*entrySize:], test.entry)
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
		})
	}
}

// TestIndexOfTheActiveSegmentIsCorrectedWhileItGrows: what a reader corrects in memory, and what the file goes on to
// hold, may differ; answers may not.
func TestIndexOfTheActiveSegmentIsCorrectedWhileItGrows(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	opts.SegmentSize = 1 << 20
	l := openTest(t, opts)
	fill(t, l, 400)
	path := l.active.index.path
	data, err := opts.FS.(*vfs.Mem).ReadFile(path)
	require.NoError(t, err)
	clear(data[:100*entrySize])
	require.NoError(t, opts.FS.(*vfs.Mem).WriteFile(path, data))
	requireRecords(t, l, 1, 400)
	fill(t, l, 1200)
	requireRecords(t, l, 1, 1200)
	require.Len(t, l.Segments(), 1)
	require.NoError(t, l.Close())
	l = openTest(t, opts)
	require.Equal(t, []string{path}, l.Recovery().RebuiltIndexes)
	requireRecords(t, l, 1, 1200)
	require.NoError(t, l.Close())
}

// must is for calls whose error would show in their value as well.
func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("unexpected error: %v", err))
	}
	return value
}
