package wal

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// scene is a log of five segments, closed, that a test damages.
type scene struct {
	*testing.T
	mem   *vfs.Mem
	bases []uint64
	last  uint64
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t, mem: vfs.NewMem(), last: 130}
	l := openTest(t, testOptions(s.mem))
	fill(t, l, s.last)
	for _, segment := range l.Segments() {
		s.bases = append(s.bases, segment.Base)
	}
	require.Len(t, s.bases, 5)
	require.NoError(t, l.Close())
	return s
}

func (s *scene) store(i int) string { return joinName(testDir, storeName(s.bases[i])) }
func (s *scene) index(i int) string { return joinName(testDir, indexName(s.bases[i])) }

func (s *scene) read(name string) []byte {
	s.Helper()
	data, err := s.mem.ReadFile(name)
	require.NoError(s, err)
	return data
}

func (s *scene) write(name string, data []byte) {
	s.Helper()
	require.NoError(s, s.mem.WriteFile(name, data))
}

func (s *scene) remove(names ...string) {
	s.Helper()
	for _, name := range names {
		require.NoError(s, s.mem.Remove(name))
	}
}

// older returns a copy of the disk as it was when the log's segment i held only a part of its records, closed or not.
func (s *scene) older(closed bool, i int) *vfs.Mem {
	s.Helper()
	older := s.mem.Exit()
	store, err := openStore(older, s.store(i), true)
	require.NoError(s, err)
	data := s.read(s.store(i))
	sc := store.scan(int64(len(data)))
	sc.skip(s.T, 10)
	clear(data[sc.position:])
	if store.cutAt(sc.position, sc.next, sc.chain); closed {
		payload := bounds{first: 1, chain: sc.chain}.encode()
		copy(data[sc.position:], store.layOut(nil, kindClosed, payload[:], payloadSum(payload[:])))
	}
	require.NoError(s, older.WriteFile(s.store(i), data))
	return older
}

// TestDamagedDirectoriesAreRefused damages what was durable. Opening refuses, naming the file; nothing is changed; Check
// lists it; opening for reading gives what comes before it.
func TestDamagedDirectoriesAreRefused(t *testing.T) {
	tests := []struct {
		sentence string
		damage   func(s *scene) (path string)
		front    int // The segment up to which reading must get, of those that are left; -1 where no log is left to open.
	}{
		{"two segments' stores have each other's name", func(s *scene) string {
			second, third := s.read(s.store(1)), s.read(s.store(2))
			s.write(s.store(1), third)
			s.write(s.store(2), second)
			return s.store(1)
		}, 1},
		{"two segments have each other's name, indexes and all", func(s *scene) string {
			for _, name := range []func(int) string{s.store, s.index} {
				second, third := s.read(name(1)), s.read(name(2))
				s.write(name(1), third)
				s.write(name(2), second)
			}
			return s.store(1)
		}, 1},
		{"the first segment is missing", func(s *scene) string { s.remove(s.store(0), s.index(0)); return s.store(0) }, 5},
		{"the first segment's store is missing", func(s *scene) string { s.remove(s.store(0)); return s.store(0) }, 5},
		{"a segment in the middle is missing", func(s *scene) string { s.remove(s.store(2), s.index(2)); return s.store(2) }, 2},
		{"a store in the middle is missing", func(s *scene) string { s.remove(s.store(2)); return s.store(2) }, 2},
		{"two segments in the middle are missing", func(s *scene) string {
			s.remove(s.store(1), s.index(1), s.store(2), s.index(2))
			return s.store(1)
		}, 1},
		{"the last segment is missing", func(s *scene) string { s.remove(s.store(4), s.index(4)); return s.store(4) }, 4},
		{"the last store is missing", func(s *scene) string { s.remove(s.store(4)); return s.store(4) }, 4},
		{"all stores are missing", func(s *scene) string {
			s.remove(s.store(0), s.store(1), s.store(2), s.store(3), s.store(4))
			return s.store(0)
		}, -1},
		{"a store is another log's", func(s *scene) string {
			s.write(s.store(2), newScene(s.T).read(s.store(2)))
			return s.store(2)
		}, 2},
		{"the first store is another log's", func(s *scene) string {
			s.write(s.store(0), newScene(s.T).read(s.store(0)))
			return s.store(0)
		}, 1},
		{"the last store is another log's", func(s *scene) string {
			s.write(s.store(4), newScene(s.T).read(s.store(4)))
			return s.store(4)
		}, 4},
		{"a sealed store is its own copy from when it had less", func(s *scene) string {
			s.write(s.store(2), must(s.older(false, 2).ReadFile(s.store(2))))
			return s.store(2)
		}, 2},
		{"a sealed store is its own closed copy from when it had less", func(s *scene) string {
			s.write(s.store(2), must(s.older(true, 2).ReadFile(s.store(2))))
			return s.store(2)
		}, 2},
		{"a store is empty", func(s *scene) string { s.write(s.store(2), nil); return s.store(2) }, 2},
		{"the first store is empty", func(s *scene) string { s.write(s.store(0), nil); return s.store(0) }, -1},
		{"the last store is empty", func(s *scene) string { s.write(s.store(4), nil); return s.store(4) }, 4},
		{"a store is all zeros", func(s *scene) string { s.write(s.store(2), make([]byte, 4096)); return s.store(2) }, 2},
		{"a bit of a header has flipped", func(s *scene) string {
			s.write(s.store(2), flip(s.read(s.store(2)), headSaltAt*8))
			return s.store(2)
		}, 2},
		{"a sealed store lacks its seal", func(s *scene) string {
			data := s.read(s.store(2))
			s.write(s.store(2), data[:len(data)-boundsFrameSize])
			return s.store(2)
		}, 3},
		{"a sealed store has zeros instead of its seal", func(s *scene) string {
			data := s.read(s.store(2))
			clear(data[len(data)-boundsFrameSize:])
			s.write(s.store(2), data)
			return s.store(2)
		}, 3},
		{"the last store lacks its seal and the room for one", func(s *scene) string {
			data := s.read(s.store(4))
			s.write(s.store(4), data[:len(data)-reserveSize])
			return s.store(4)
		}, 5},
		{"a record before the last seal has rotted", func(s *scene) string {
			s.write(s.store(4), flip(s.read(s.store(4)), (headSize+frameHeadSize)*8))
			return s.store(4)
		}, 4},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // Its clock waits for nobody: a look at a damaged log takes several.
				s := newScene(t)
				path := test.damage(s)
				s.requireRefused(path)
				s.requireReadable(path, test.front)
			})
		})
	}
}

// requireRefused checks that a log is not opened for writing, whatever for, and that Check lists the same.
func (s *scene) requireRefused(path string) {
	s.Helper()
	before := contents(s, s.mem)
	_, err := Open(testDir, testOptions(s.mem))
	requireCorrupt(s, err, path)
	require.ErrorContains(s, err, testDir)

	violations, err := Check(testDir, testOptions(s.mem))
	require.NoError(s, err)
	require.True(s, slices.ContainsFunc(violations, func(v Violation) bool { return v.Damage && v.Path == path }), "%v", violations)
	require.Equal(s, before, contents(s, s.mem), "nothing was changed")
}

// requireReadable checks that a log can be read up to a segment, perhaps into it, and that reading ends with the damage.
func (s *scene) requireReadable(path string, front int) {
	s.Helper()
	l, err := Open(testDir, readOnly(testOptions(s.mem)))
	if front < 0 {
		requireCorrupt(s, err, path)
		return
	}
	require.NoError(s, err)
	next, ended := l.First(), false
	for record, err := range l.Records(next) {
		if ended = err != nil; ended {
			requireCorrupt(s, err, path)
			break
		}
		require.Equal(s, next, record.Offset)
		require.Equal(s, payloadOf(next), record.Payload)
		next++
	}
	require.True(s, ended, "reading ends with the damage")
	ends := append(slices.Clone(s.bases), s.last+1, s.last+1)
	require.GreaterOrEqual(s, next, ends[front])
	require.LessOrEqual(s, next, ends[front+1])
	require.NoError(s, l.Close())
}

// TestAStoreRolledBackToAnOlderCopyIsNoticed keeps a copy of each segment's store from when it was active, at many ages.
func TestAStoreRolledBackToAnOlderCopyIsNoticed(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	copies := map[string][][]byte{}
	for l.Last() < 130 {
		path := l.segments.active().store.path
		copies[path] = append(copies[path], must(mem.ReadFile(path)))
		fill(t, l, l.Last()+5)
	}
	active := l.segments.active().store.path
	require.NoError(t, l.Close())
	require.Equal(t, 5, len(copies))
	for path, ages := range copies {
		for _, data := range ages {
			rolledBack := mem.Clone()
			require.NoError(t, rolledBack.WriteFile(path, data))
			_, err := Open(testDir, testOptions(rolledBack))
			if path != active {
				requireCorrupt(t, err, path)
			}
		}
	}
}

func TestAStoreUnderAnotherBaseIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 10)
	require.NoError(t, l.Close())
	renamed := joinName(testDir, storeName(5))
	require.NoError(t, mem.Rename(joinName(testDir, storeName(1)), renamed))
	require.NoError(t, mem.Remove(joinName(testDir, indexName(1))))
	_, err := Open(testDir, testOptions(mem))
	require.EqualValues(t, headBaseAt, requireCorrupt(t, err, renamed).Position)
}

// TestANewerFormatIsNoDamage: a newer program's log is refused, but nothing should tempt anybody to repair it.
func TestANewerFormatIsNoDamage(t *testing.T) {
	for i := range 5 {
		synctest.Test(t, func(t *testing.T) { requireVersion(newScene(t), i) })
	}
}

// requireVersion makes one of a log's stores a newer version's.
func requireVersion(s *scene, i int) {
	s.Helper()
	data := s.read(s.store(i))
	data[headVersionAt] = storeVersion + 1
	resum(data[:headSize])
	s.write(s.store(i), data)
	before := contents(s, s.mem)
	for _, opts := range []Options{testOptions(s.mem), readOnly(testOptions(s.mem))} {
		_, err := Open(testDir, opts)
		require.ErrorIs(s, err, ErrVersion)
		require.NotErrorIs(s, err, ErrCorrupt)
		require.ErrorContains(s, err, s.store(i))
	}
	_, err := Check(testDir, testOptions(s.mem))
	require.ErrorIs(s, err, ErrVersion)
	require.Equal(s, before, contents(s, s.mem))
}

// TestAReadErrorIsNoDamage: a disk that can't be read says nothing about its bytes.
func TestAReadErrorIsNoDamage(t *testing.T) {
	s := newScene(t)
	reads := 0
	s.mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead {
			reads++
		}
		return nil
	})
	l := openTest(t, readOnly(testOptions(s.mem)))
	requireRecords(t, l, 1, s.last)
	require.NoError(t, l.Close())
	for nth := 1; nth <= reads; nth++ {
		s.mem.SetHook(vfs.FailNth(vfs.OpRead, nth, errDisk))
		err := readAll(s.mem, s.last)
		require.NotErrorIs(t, err, ErrCorrupt, "read %d", nth)
		if err != nil {
			require.ErrorIs(t, err, errDisk, "read %d", nth)
		}
	}
}

// readAll opens a log for writing and reads it in both ways, up to the first error.
func readAll(mem *vfs.Mem, last uint64) error {
	l, err := Open(testDir, testOptions(mem))
	if err != nil {
		return err
	}
	for _, err := range l.Records(1) {
		if err != nil {
			return err
		}
	}
	for offset := uint64(1); offset <= last; offset++ {
		if _, err := l.Read(offset); err != nil {
			return err
		}
	}
	return nil
}

// TestIndexesAreRebuilt damages indexes: the log opens, the report says so, and no answer changes.
func TestIndexesAreRebuilt(t *testing.T) {
	tests := []struct {
		sentence string
		damage   func(s *scene, i int)
	}{
		{"deleted", func(s *scene, i int) { s.remove(s.index(i)) }},
		{"emptied", func(s *scene, i int) { s.write(s.index(i), nil) }},
		{"cut in the middle of an entry", func(s *scene, i int) { s.write(s.index(i), s.read(s.index(i))[:51]) }},
		{"zeros", func(s *scene, i int) { s.write(s.index(i), make([]byte, len(s.read(s.index(i))))) }},
		{"noise", func(s *scene, i int) {
			s.write(s.index(i), bytes.Repeat([]byte("noise!!"), len(s.read(s.index(i))))[:len(s.read(s.index(i)))])
		}},
	}
	for _, test := range tests {
		for i := range 5 {
			s := newScene(t)
			test.damage(s, i)
			violations, err := Check(testDir, testOptions(s.mem))
			require.NoError(t, err)
			require.Len(t, violations, 1, "%s: %v", test.sentence, violations)
			require.False(t, violations[0].Damage)
			require.Equal(t, s.index(i), violations[0].Path)

			l := openTest(t, testOptions(s.mem))
			require.Equal(t, Clean, l.Recovery().Outcome)
			require.Equal(t, []string{s.index(i)}, l.Recovery().RebuiltIndexes, test.sentence)
			require.False(t, l.Segments()[i].IndexOK)
			require.EqualValues(t, 1, l.Stats().IndexRebuilds)
			requireRecords(t, l, 1, s.last)
			require.NoError(t, l.Close())

			l = openTest(t, testOptions(s.mem))
			require.Empty(t, l.Recovery().RebuiltIndexes, "once is enough")
			requireRecords(t, l, 1, s.last)
			require.NoError(t, l.Close())
		}
	}
}

// TestAnotherSegmentsIndexMisleadsNobody: an index may look right and be wrong. Then readers find out.
func TestAnotherSegmentsIndexMisleadsNobody(t *testing.T) {
	for i := range 5 {
		s := newScene(t)
		s.write(s.index(i), s.read(s.index((i+1)%5)))
		l := openTest(t, testOptions(s.mem))
		requireRecords(t, l, 1, s.last)
		require.EqualValues(t, 1, l.Stats().IndexRebuilds, "told by Open or by a reader")
		require.NoError(t, l.Close())
	}
}

func TestAllIndexesAreRebuiltAtOnce(t *testing.T) {
	s := newScene(t)
	var indexes []string
	for i := range 5 {
		s.remove(s.index(i))
		indexes = append(indexes, s.index(i))
	}
	l := openTest(t, testOptions(s.mem))
	require.Equal(t, indexes, l.Recovery().RebuiltIndexes)
	requireRecords(t, l, 1, s.last)
	require.NoError(t, l.Close())
}

// TestBytesAfterTheEnd adds bytes after a closed log's seal, or after an open log's last frame: no record is lost, and
// what means something to somebody is kept aside.
func TestBytesAfterTheEnd(t *testing.T) {
	for _, test := range []struct {
		sentence string
		bytes    []byte
		closed   Outcome
		open     Outcome
	}{
		{"one zero", []byte{0}, Clean, Unclean},
		{"many zeros", make([]byte, 100_000), Clean, Unclean},
		{"one byte", []byte{7}, Torn, Torn},
		{"noise", bytes.Repeat([]byte("noise"), 1000), Torn, Torn},
		{"zeros and then noise", append(make([]byte, 5000), "noise"...), Torn, Torn},
	} {
		s := newScene(t)
		path := s.store(4)
		closed := s.read(path)
		open := bytes.Clone(closed)
		clear(open[len(open)-reserveSize:])
		for _, state := range []struct {
			data []byte
			end  int // Where the bytes are put.
			want Outcome
		}{{closed, len(closed), test.closed}, {open, len(open), test.open}} {
			s.write(path, append(bytes.Clone(state.data), test.bytes...))
			left := s.mem.Exit()
			l := openTest(t, testOptions(left))
			r := l.Recovery()
			require.Equal(t, state.want, r.Outcome, test.sentence)
			requireRecords(t, l, 1, s.last)
			if state.want == Torn {
				requireKept(t, left.Crash(0, vfs.KeepNone), r, path, test.bytes)
			} else {
				require.Zero(t, r.CutBytes)
				require.Empty(t, r.QuarantinePath)
			}
			fill(t, l, s.last+50)
			require.NoError(t, l.Close())
			l = openTest(t, testOptions(left))
			requireRecords(t, l, 1, s.last+50)
			require.NoError(t, l.Close())
		}
	}
}

// requireKept checks that the bytes that were cut are in the quarantine, durably.
func requireKept(t *testing.T, mem *vfs.Mem, r Recovery, path string, tail []byte) {
	t.Helper()
	require.Equal(t, path, r.CutPath)
	require.True(t, strings.HasPrefix(r.QuarantinePath, joinName(testDir, "quarantine")), r.QuarantinePath)
	kept := must(mem.ReadFile(r.QuarantinePath))
	require.EqualValues(t, r.CutBytes, len(kept))
	require.True(t, bytes.HasSuffix(bytes.TrimRight(kept, "\x00"), bytes.TrimRight(tail, "\x00")))
}

func TestForeignFilesAreLeftAloneAndNamed(t *testing.T) {
	s := newScene(t)
	foreign := []string{"LOCK", "notes.txt", "1.store", "00000000000000000001.store.bak", "notes.tmp", "archive"}
	for _, name := range foreign[:5] {
		s.write(joinName(testDir, name), []byte("somebody else's"))
	}
	s.write("/log/archive/00000000000000000001.store", []byte("in a directory of its own"))
	l := openTest(t, testOptions(s.mem))
	require.Equal(t, Clean, l.Recovery().Outcome)
	require.Empty(t, l.Recovery().Removed)
	requireRecords(t, l, 1, s.last)
	require.NoError(t, l.Close())
	for _, name := range foreign[:5] {
		require.Equal(t, "somebody else's", string(s.read(joinName(testDir, name))))
	}
	violations, err := Check(testDir, testOptions(s.mem))
	require.NoError(t, err)
	require.Len(t, violations, len(foreign))
	for _, name := range foreign {
		require.True(t, slices.ContainsFunc(violations, func(v Violation) bool { return !v.Damage && v.Path == joinName(testDir, name) }), name)
	}
}

func TestUnfinishedFilesAreRemovedAndTold(t *testing.T) {
	s := newScene(t)
	leftovers := []string{"00000000000000000151.store.tmp", "00000000000000000200.store.tmp"}
	for _, name := range leftovers {
		s.write(joinName(testDir, name), []byte("half a header"))
	}
	violations, err := Check(testDir, testOptions(s.mem))
	require.NoError(t, err)
	require.Len(t, violations, 2)
	l := openTest(t, testOptions(s.mem))
	require.Equal(t, leftovers, l.Recovery().Removed)
	requireRecords(t, l, 1, s.last)
	require.NoError(t, l.Close())
	for _, name := range leftovers {
		require.NotContains(t, s.mem.Names(), joinName(testDir, name))
	}
}

// TestCheckFindsWhatOpenDoesNotLookAt: records of sealed segments are read when somebody asks for them, or by Check.
func TestCheckFindsWhatOpenDoesNotLookAt(t *testing.T) {
	s := newScene(t)
	want := map[string]bool{}
	for i := range 3 {
		s.write(s.store(i), flip(s.read(s.store(i)), 1000*8))
		want[s.store(i)] = true
	}
	require.NoError(t, openTest(t, testOptions(s.mem)).Close())
	violations, err := Check(testDir, testOptions(s.mem))
	require.NoError(t, err)
	got := map[string]bool{}
	for _, v := range violations {
		require.True(t, v.Damage)
		require.Contains(t, v.String(), "damage: "+v.Path)
		got[v.Path] = true
	}
	require.Equal(t, want, got, "each damaged segment, and no other")
}

// TestAFrameReplacedByAValidOneIsNoticed: a disk that brings back what once stood at a place brings back a frame that
// checks out there. Only the chain knows that the log went on from another one.
func TestAFrameReplacedByAValidOneIsNoticed(t *testing.T) {
	for i := range 5 {
		s := newScene(t)
		data := s.read(s.store(i))
		salt := binary.LittleEndian.Uint64(data[headSaltAt:])
		head, err := decodeFrameHead(data[headSize:], sumUint64(0, salt), headSize)
		require.NoError(t, err)
		other := bytes.Repeat([]byte("X"), head.length)
		head.sum = payloadSum(other)
		copy(data[headSize:], append(head.appendTo(nil, sumUint64(0, salt), headSize), other...))
		s.write(s.store(i), data)

		violations, err := Check(testDir, testOptions(s.mem))
		require.NoError(t, err)
		require.Len(t, violations, 1)
		require.True(t, violations[0].Damage)
		require.Equal(t, s.store(i), violations[0].Path)
		requireCorrupt(t, readAll(s.mem, s.last), s.store(i))
	}
}

func TestCheckOfAHealthyLogSaysNothing(t *testing.T) {
	s := newScene(t)
	violations, err := Check(testDir, testOptions(s.mem))
	require.NoError(t, err)
	require.Empty(t, violations)
}

// TestADirectoryWithoutPermission: nothing but the error is expected, with the path in it.
func TestADirectoryWithoutPermission(t *testing.T) {
	s := newScene(t)
	for _, op := range []vfs.Op{vfs.OpList, vfs.OpOpen} {
		s.mem.SetHook(func(c vfs.Call) error {
			if c.Op == op {
				return fs.ErrPermission
			}
			return nil
		})
		for _, opts := range []Options{testOptions(s.mem), readOnly(testOptions(s.mem))} {
			_, err := Open(testDir, opts)
			require.ErrorIs(t, err, fs.ErrPermission)
			require.NotErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, testDir)
		}
		_, err := Check(testDir, testOptions(s.mem))
		require.ErrorIs(t, err, fs.ErrPermission)
	}
}

func TestARealDirectoryWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.Mkdir(dir, 0))
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, dir)
}

func TestAPathThatIsNoDirectoryIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("no log"), 0o600))
	_, err := Open(path, Options{})
	require.Error(t, err)
	require.ErrorContains(t, err, path)
	_, err = Open(path, Options{ReadOnly: true})
	require.ErrorContains(t, err, path)
	require.Equal(t, "no log", string(must(os.ReadFile(path))))
}

// TestALengthThatLiesAllocatesNothing gives the last record's frame the largest length there is, with checksums that
// are right, as only somebody with bad intentions could: reading must not believe it.
func TestALengthThatLiesAllocatesNothing(t *testing.T) {
	s := newScene(t)
	for _, i := range []int{1, 4} {
		data := s.read(s.store(i))
		salt := binary.LittleEndian.Uint64(data[headSaltAt:])
		lie := frameHead{kind: kindRecord, length: frameLengthMax}
		copy(data[headSize:], lie.appendTo(nil, sumUint64(0, salt), headSize))
		s.write(s.store(i), data)
	}
	allocated.WithinFiles(t, s.mem, 0, func(mem *vfs.Mem) {
		_, err := Open(testDir, testOptions(mem))
		requireCorrupt(t, err, s.store(4))
	})
	allocated.WithinFiles(t, s.mem, 0, func(mem *vfs.Mem) {
		l, err := Open(testDir, readOnly(testOptions(mem)))
		require.NoError(t, err)
		_, err = l.Read(s.bases[1])
		require.Error(t, err)
		for _, err := range l.Records(1) {
			if err != nil {
				break
			}
		}
		require.NoError(t, l.Close())
	})
	allocated.WithinFiles(t, s.mem, 0, func(mem *vfs.Mem) {
		_, err := Check(testDir, testOptions(mem))
		require.NoError(t, err)
	})
}
