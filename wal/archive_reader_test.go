package wal

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// newHistory is a scene with an archive: of the five segments of the log, which is closed, the first three are in the
// archive alone.
func newHistory(t *testing.T) *scene {
	s := newScene(t)
	l := openTest(t, archiveOptions(s.mem))
	require.NoError(t, l.TruncateFront(s.bases[3]))
	require.NoError(t, l.Close())
	require.Len(t, archiveNames(s.mem), 3)
	return s
}

// kept is a segment's store in the archive.
func (s *scene) kept(i int) string { return joinName(archiveDir, storeName(s.bases[i])) }

// reopen opens the scene's log, archive and all.
func (s *scene) reopen() *Log {
	s.Helper()
	return openTest(s, archiveOptions(s.mem))
}

// copyOf copies the log's stores to another directory, as they are now, and returns it.
func (s *scene) copyOf(to string) string {
	s.Helper()
	for _, name := range s.mem.Names() {
		if filepath.Dir(name) == testDir && !isIndexFile(name) {
			s.write(joinName(to, filepath.Base(name)), s.read(name))
		}
	}
	return to
}

// diverge lets the log and a copy of it go on, each with records of its own, as if a backup had been opened beside it.
func (s *scene) diverge(records int) *vfs.Mem {
	s.Helper()
	twin := s.mem.Exit()
	for i, mem := range []*vfs.Mem{s.mem, twin} {
		l := openTest(s, archiveOptions(mem))
		for n := range records {
			_, err := l.Append(fmt.Appendf(nil, "world %d, record %d", i, n))
			require.NoError(s, err)
		}
		require.NoError(s, l.Close())
	}
	return twin
}

func TestAnArchiveIsReadFromWhateverHasTheSegments(t *testing.T) {
	both := []string{archiveDir, testDir}
	for _, c := range []struct {
		sentence string
		make     func(s *scene) (dirs []string)
		first    int    // The segment that it begins with.
		last     uint64 // 0 for the last record.
	}{
		{"an archive and the log that it came from", func(*scene) []string { return both }, 0, 0},
		{"the log first", func(*scene) []string { return []string{testDir, archiveDir} }, 0, 0},
		{"a directory twice", func(*scene) []string { return []string{testDir, archiveDir, testDir, archiveDir} }, 0, 0},
		{"the log alone", func(*scene) []string { return []string{testDir} }, 3, 0},
		{"an archive whose oldest segments were given up", func(s *scene) []string { s.remove(s.kept(0)); return both }, 1, 0},
		{"an archive that nothing is in yet", func(s *scene) []string {
			require.NoError(s, s.mem.MkdirAll("/empty"))
			return []string{"/empty", testDir}
		}, 3, 0},
		{"an archive in two parts", func(s *scene) []string {
			s.write(joinName("/tape", filepath.Base(s.kept(1))), s.read(s.kept(1)))
			s.remove(s.kept(1))
			return []string{archiveDir, "/tape", testDir}
		}, 0, 0},
		{"all stores in one directory", func(s *scene) []string { return []string{s.copyOf(archiveDir)} }, 0, 0},
		{"an archive with other files in it, and a copy that died", func(s *scene) []string {
			s.write(archiveDir+"/README", []byte("hello"))
			s.write(s.kept(4)+temporarySuffix, []byte("half"))
			s.write(archiveDir+"/sub/"+filepath.Base(s.kept(1)), []byte("another"))
			return both
		}, 0, 0},
		{"a log that was not closed", func(s *scene) []string {
			l := s.reopen()
			fill(s, l, 135)
			s.last = 135
			s.mem = s.mem.Exit()
			return both
		}, 0, 0},
		{"a log with a torn tail", func(s *scene) []string {
			l := s.reopen()
			fill(s, l, 135)
			torn := s.read(l.segments.active().store.path)
			copy(torn[l.segments.active().store.end:], "torn")
			s.write(l.segments.active().store.path, torn)
			s.last = 135
			return both
		}, 0, 0},
		{"a log whose roll died before the seal", func(s *scene) []string {
			l := s.reopen()
			last := l.segments.list[len(l.segments.list)-1].store
			fill(s, l, 131)
			require.NoError(s, l.settle())
			end := last.end
			require.NoError(s, l.roll(l.createNext))
			data := s.read(last.path)
			clear(data[end:])
			s.write(last.path, data)
			s.last = 131
			return both
		}, 0, 0},
		{"a log whose truncation of the front died, with its archive", func(s *scene) []string {
			l := s.reopen()
			require.NoError(s, l.archive(l.segments.list[:1]))
			markFirst(s.T, l, s.bases[4])
			return both
		}, 0, 0},
		{"a log whose truncation of the front died before it removed anything", func(s *scene) []string {
			s.copyOf("/lost")
			for i := range 3 {
				s.write(joinName("/lost", filepath.Base(s.kept(i))), s.read(s.kept(i)))
			}
			return []string{"/lost"}
		}, 0, 0},
		{"a log whose truncation of the front died when some segments were gone", func(s *scene) []string {
			s.copyOf("/lost")
			for _, i := range []int{0, 2} {
				s.write(joinName("/lost", filepath.Base(s.kept(i))), s.read(s.kept(i)))
			}
			return []string{"/lost"}
		}, 2, 0},
		{"a log whose end was cut, and whose cut died before it removed anything", func(s *scene) []string {
			s.cutAndDie(s.bases[4] - 5)
			return both
		}, 0, 1},
		{"a log whose cut died before it removed anything, and an older copy of it", func(s *scene) []string {
			s.copyOf("/older")
			s.cutAndDie(s.bases[4] - 5)
			return []string{archiveDir, "/older", testDir}
		}, 0, 1},
		{"a log whose end was cut, and a copy from before that", func(s *scene) []string {
			s.copyOf("/older")
			l := s.reopen()
			require.NoError(s, l.TruncateBack(s.bases[4]+2))
			fill(s, l, 200)
			s.last = 200
			return []string{"/older", testDir, archiveDir}
		}, 0, 0},
		{"a log and an older copy of it, from when its last segment was the active one", func(s *scene) []string {
			s.copyOf("/older")
			l := s.reopen()
			fill(s, l, 200)
			s.last = 200
			require.NoError(s, l.TruncateFront(190))
			return []string{testDir, "/older", archiveDir}
		}, 0, 0},
		{"a copy of a segment with zeros after the seal", func(s *scene) []string {
			s.write(joinName("/copy", filepath.Base(s.kept(1))), append(s.read(s.kept(1)), make([]byte, 1000)...))
			return []string{"/copy", archiveDir, testDir}
		}, 0, 0},
		{"a segment with zeros after the seal", func(s *scene) []string {
			for i := range 3 {
				s.write(s.kept(i), append(s.read(s.kept(i)), make([]byte, 1000)...))
			}
			return both
		}, 0, 0},
		{"a copy of a segment that was cut", func(s *scene) []string {
			whole := s.read(s.kept(1))
			s.write(joinName("/cut", filepath.Base(s.kept(1))), whole[:len(whole)/2])
			s.write(joinName("/cut", filepath.Base(s.kept(2))), s.read(s.kept(2)))
			return []string{"/cut", archiveDir, testDir}
		}, 0, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := newHistory(t)
			dirs := c.make(s)
			before := contents(t, s.mem)
			if c.last > 0 {
				c.last = s.bases[4] - 5
			} else {
				c.last = s.last
			}
			requireHistory(t, testOptions(s.mem), s.bases[c.first], c.last, dirs...)
			require.Equal(t, before, contents(t, s.mem), "nothing is changed")
		})
	}
}

func TestABadArchiveIsRefused(t *testing.T) {
	both := []string{archiveDir, testDir}
	for _, c := range []struct {
		sentence string
		damage   func(s *scene) (path string, dirs []string)
		says     string
	}{
		{"a segment is missing", func(s *scene) (string, []string) { s.remove(s.kept(1)); return s.kept(1), both }, "missing"},
		{"the archive's last segment is missing", func(s *scene) (string, []string) { s.remove(s.kept(2)); return s.kept(2), both }, "missing"},
		{"a segment is missing from an archive that is read alone", func(s *scene) (string, []string) {
			s.remove(s.kept(1))
			return s.kept(1), []string{archiveDir}
		}, "missing"},
		{"the log's first segment is missing", func(s *scene) (string, []string) {
			s.remove(s.store(3), s.index(3))
			return s.kept(3), both
		}, "missing"},
		{"the log's first segment is missing, and there is no archive", func(s *scene) (string, []string) {
			s.remove(s.store(3), s.index(3))
			return s.store(3), []string{testDir}
		}, "missing"},
		{"the log's last store is missing", func(s *scene) (string, []string) { s.remove(s.store(4)); return s.store(4), both }, "missing"},
		{"all the log's stores are missing", func(s *scene) (string, []string) {
			s.remove(s.store(3), s.store(4))
			return s.store(3), both
		}, "missing"},
		{"two segments have each other's name", func(s *scene) (string, []string) {
			one, two := s.read(s.kept(0)), s.read(s.kept(1))
			s.write(s.kept(0), two)
			s.write(s.kept(1), one)
			return s.kept(0), both
		}, "first offset"},
		{"a segment is another log's", func(s *scene) (string, []string) {
			s.write(s.kept(1), newScene(s.T).read(s.store(1)))
			return s.kept(1), both
		}, "belongs to log"},
		{"the archive is another log's", func(s *scene) (string, []string) {
			other := newScene(s.T)
			s.remove(s.kept(1), s.kept(2))
			s.write(s.kept(0), other.read(s.store(0)))
			return s.kept(0), both
		}, "belongs to log"},
		{"a segment is there twice, once with another log's records", func(s *scene) (string, []string) {
			path := joinName("/copy", filepath.Base(s.kept(1)))
			s.write(path, newScene(s.T).read(s.store(1)))
			return path, []string{archiveDir, "/copy", testDir}
		}, "belongs to log"},
		{"a segment was archived from two worlds, and sealed in both", func(s *scene) (string, []string) {
			twin := s.diverge(100)
			s.write(joinName("/twin", filepath.Base(s.kept(4))), must(twin.ReadFile(s.store(4))))
			s.write(s.kept(3), s.read(s.store(3)))
			s.write(s.kept(4), s.read(s.store(4)))
			return joinName("/twin", filepath.Base(s.kept(4))), []string{archiveDir, "/twin"}
		}, "other records"},
		{"the log is there twice, and went on in two worlds", func(s *scene) (string, []string) {
			twin := s.diverge(3)
			s.write(joinName("/twin", filepath.Base(s.kept(4))), must(twin.ReadFile(s.store(4))))
			s.write(joinName("/twin", filepath.Base(s.kept(3))), must(twin.ReadFile(s.store(3))))
			return joinName("/twin", filepath.Base(s.kept(4))), []string{archiveDir, testDir, "/twin"}
		}, "other records"},
		{"a segment is its own copy from when it had less", func(s *scene) (string, []string) {
			older := newScene(s.T)
			young := older.older(false, 1)
			for i := range 3 {
				s.write(s.kept(i), older.read(older.store(i)))
			}
			s.write(s.kept(1), must(young.ReadFile(older.store(1))))
			return s.kept(1), []string{archiveDir}
		}, ""},
		{"a segment is its own copy from when it was active", func(s *scene) (string, []string) {
			whole := s.read(s.kept(1))
			sc := (&store{file: must(s.mem.OpenRead(s.kept(1)))}).scan(int64(len(whole)))
			head := must(decodeStoreHead(whole[:headSize]))
			sc.saltSum, sc.base, sc.next = sumUint64(0, head.salt), head.base, head.base
			for range 10 {
				_, err := sc.frame()
				require.NoError(s, err)
			}
			clear(whole[sc.position:])
			s.write(s.kept(1), whole)
			return s.kept(1), both
		}, ""},
		{"a segment is cut", func(s *scene) (string, []string) {
			whole := s.read(s.kept(1))
			s.write(s.kept(1), whole[:len(whole)-100])
			return s.kept(1), both
		}, ""},
		{"the last archived segment is cut", func(s *scene) (string, []string) {
			whole := s.read(s.kept(2))
			s.write(s.kept(2), whole[:len(whole)-100])
			return s.kept(2), []string{archiveDir}
		}, "cut"},
		{"a segment is empty", func(s *scene) (string, []string) { s.write(s.kept(1), nil); return s.kept(1), both }, "header"},
		{"a segment's header is damaged", func(s *scene) (string, []string) {
			s.write(s.kept(1), flip(s.read(s.kept(1)), headSaltAt*8))
			return s.kept(1), both
		}, "header"},
		{"a segment's seal is damaged", func(s *scene) (string, []string) {
			data := s.read(s.kept(1))
			s.write(s.kept(1), flip(data, (len(data)-10)*8))
			return s.kept(1), both
		}, ""},
		{"a record of the log's end is damaged that was durable", func(s *scene) (string, []string) {
			s.write(s.store(4), flip(s.read(s.store(4)), (headSize+frameHeadSize)*8))
			return s.store(4), both
		}, "durable"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // Its clock doesn't wait: a look at a bad archive takes several.
				s := newHistory(t)
				path, dirs := c.damage(s)
				before := contents(t, s.mem)
				_, err := OpenArchive(testOptions(s.mem), dirs...)
				requireCorrupt(t, err, path)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "open archive "+dirs[0])
				require.Equal(t, before, contents(t, s.mem), "nothing is changed")
			})
		})
	}
}

func TestAnArchiveThatIsNotThereIsSaidToBeMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHistory(t)
		require.NoError(t, s.mem.MkdirAll("/empty"))
		for _, dirs := range [][]string{{archiveDir, "/typo"}, {"/typo", testDir}, {"/empty"}, {}} {
			_, err := OpenArchive(testOptions(s.mem), dirs...)
			require.ErrorIs(t, err, fs.ErrNotExist, "%q", dirs)
			require.ErrorContains(t, err, strings.Join(dirs, ", "))
		}
		_, err := OpenArchive(Options{SegmentSize: 1}, testDir)
		require.ErrorContains(t, err, "SegmentSize")
	})
}

func TestANewerSegmentInAnArchiveIsNoDamage(t *testing.T) {
	for i := range 3 {
		s := newHistory(t)
		data := s.read(s.kept(i))
		data[headVersionAt] = storeVersion + 1
		resum(data[:headSize])
		s.write(s.kept(i), data)
		_, err := OpenArchive(testOptions(s.mem), archiveDir, testDir)
		require.ErrorIs(t, err, ErrVersion)
		require.NotErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, s.kept(i))
	}
}

func TestAnArchiveSaysWhatItHolds(t *testing.T) {
	s := newHistory(t)
	l := s.reopen()
	fill(t, l, 135)
	a := openArchive(t, testOptions(s.mem), archiveDir, testDir)
	require.Equal(t, l.ID(), a.ID())
	require.EqualValues(t, 1, a.First())
	require.EqualValues(t, 135, a.Last())
	s.bases = append(s.bases, l.segments.active().base())
	require.Len(t, a.stores, 6)
	for i, store := range a.stores {
		path := s.kept(i)
		if i > 2 {
			path = s.store(i)
		}
		require.Equal(t, path, store.path)
		require.Equal(t, s.bases[i], store.head.base)
	}
	for from := uint64(1); from <= 135; from++ {
		want := from
		for record, err := range a.Records(from) {
			require.NoError(t, err)
			require.Equal(t, want, record.Offset)
			require.Equal(t, payloadOf(want), record.Payload)
			if want++; want > from+3 {
				break
			}
		}
		require.Equal(t, min(from+4, 136), want)
	}
	for range a.Records(136) {
		t.Fatal("there is nothing after the last record")
	}
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.Close(), ErrClosed)
	for _, err := range a.Records(1) {
		require.ErrorIs(t, err, ErrClosed)
	}
}

func TestWhatLiesInFrontOfAnArchiveIsTruncated(t *testing.T) {
	s := newHistory(t)
	s.remove(s.kept(0))
	a := openArchive(t, testOptions(s.mem), archiveDir, testDir)
	for _, from := range []uint64{0, 1, s.bases[1] - 1} {
		count := 0
		for _, err := range a.Records(from) {
			require.ErrorIs(t, err, ErrTruncated)
			require.ErrorContains(t, err, fmt.Sprintf("the first held is %d", s.bases[1]))
			count++
		}
		require.Equal(t, 1, count)
	}
	require.NoError(t, a.Close())
}

// markFirst lays out the mark that says that the log begins at an offset, and removes nothing.
func markFirst(t *testing.T, l *Log, first uint64) {
	t.Helper()
	durable, err := l.markFirst(first)
	require.NoError(t, err)
	require.NoError(t, durable())
}

// cutAndDie truncates the log's end after an offset, and puts back the stores that this removed.
func (s *scene) cutAndDie(last uint64) {
	l := s.reopen()
	before := map[string][]byte{}
	for i := range s.bases {
		if s.bases[i] > last {
			before[s.store(i)] = s.read(s.store(i))
		}
	}
	require.NoError(s, l.TruncateBack(last))
	for name, data := range before {
		s.write(name, data)
	}
	s.last = last
}

func TestAnArchiveOfAnEmptyLogHoldsNothing(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	requireHistory(t, testOptions(mem), 1, 0, testDir)
	require.NoError(t, l.Reset(500))
	requireHistory(t, testOptions(mem), 500, 499, testDir)
}

// TestASealThatSpeaksOfOtherRecordsIsNoticedByWhoeverReadsThem puts the records of one world before the seal of
// another, where each frame by itself checks out.
func TestASealThatSpeaksOfOtherRecordsIsNoticedByWhoeverReadsThem(t *testing.T) {
	s := newHistory(t)
	twin := s.diverge(100)
	mixed, sealed := must(twin.ReadFile(s.store(4))), s.read(s.store(4))
	require.Len(t, mixed, len(sealed))
	seal := len(sealed) - boundsFrameSize
	s.copyOf(archiveDir)
	s.write(s.kept(4), append(mixed[:seal:seal], sealed[seal:]...))
	a := openArchive(t, testOptions(s.mem), archiveDir)
	var last error
	for _, err := range a.Records(s.bases[4]) {
		last = err
	}
	require.EqualValues(t, seal, requireCorrupt(t, last, s.kept(4)).Position)
	require.NoError(t, a.Close())
}

// TestNoFlippedBitOfAnArchiveGivesAWrongRecord flips bits all over an archive and its log: each time it is refused, or
// reading is, or every record is right and no more is missing than a torn tail.
func TestNoFlippedBitOfAnArchiveGivesAWrongRecord(t *testing.T) {
	step := 3
	if testing.Short() {
		step = 101
	}
	synctest.Test(t, func(t *testing.T) {
		s := newHistory(t)
		rng := rand.New(rand.NewPCG(1, 1))
		refused, found := 0, 0
		for _, name := range []string{s.kept(0), s.kept(2), s.store(3), s.store(4)} {
			data := s.read(name)
			for at := rng.IntN(step); at < len(data); at += 1 + rng.IntN(2*step) {
				damaged := s.mem.Clone()
				require.NoError(t, damaged.WriteFile(name, flip(data, at*8+rng.IntN(8))))
				last, err := readArchive(damaged, archiveDir, testDir)
				switch {
				case err == nil:
					require.Equal(t, s.last, last, "%s byte %d", name, at)
				case last > 0:
					requireCorrupt(t, err, name)
					found++
				default:
					require.ErrorIs(t, err, ErrCorrupt, "%s byte %d", name, at)
					refused++
				}
			}
		}
		require.Positive(t, refused)
		require.Positive(t, found)
	})
}

// FuzzArchive: whatever the files of an archive and its log hold, no record is a wrong one, and none is missing silently but from a
// torn tail.
func FuzzArchive(f *testing.F) {
	f.Add(uint8(0), uint32(100), []byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint8(2), uint32(0), []byte(storeMagic))
	f.Add(uint8(4), uint32(84), []byte{0xff, 0xff, 0xff, 0x1f})
	var whole *scene
	f.Fuzz(func(t *testing.T, which uint8, at uint32, junk []byte) {
		if whole == nil {
			whole = newHistory(t)
		}
		s := whole.twin(t)
		names := []string{s.kept(0), s.kept(1), s.kept(2), s.store(3), s.store(4)}
		name := names[int(which)%len(names)]
		s.litter(name, int(at), junk)
		synctest.Test(t, func(t *testing.T) {
			allocated.WithinFiles(t, s.mem, 0, func(mem *vfs.Mem) {
				last, err := readArchive(mem, archiveDir, testDir)
				switch {
				case err != nil:
					require.True(t, isRefusal(err), "%v", err)
				case name == s.store(4):
					require.GreaterOrEqual(t, last, s.bases[4]-1)
				default:
					require.Equal(t, s.last, last)
				}
			})
		})
	})
}

// readArchive reads all of an archive, up to the first error, and returns the last offset that it got. A record that is
// not what fill made is an error of another kind than all others.
func readArchive(mem *vfs.Mem, dirs ...string) (last uint64, err error) {
	a, err := OpenArchive(testOptions(mem), dirs...)
	if err != nil {
		return 0, err
	}
	for record, err := range a.Records(1) {
		if err != nil {
			return last, err
		}
		if last++; record.Offset != last || !bytes.Equal(record.Payload, payloadOf(last)) {
			return last, fmt.Errorf("offset %d, the next after %d, is %q", record.Offset, last-1, record.Payload)
		}
	}
	return last, a.Close()
}

// TestAReadErrorOfAnArchiveIsNoDamage: a disk that can't be read says nothing about its bytes.
func TestAReadErrorOfAnArchiveIsNoDamage(t *testing.T) {
	s := newHistory(t)
	s.copyOf("/copy")
	for nth := 1; ; nth++ {
		failed := false
		s.mem.SetHook(func(c vfs.Call) error {
			if c.Op != vfs.OpRead && c.Op != vfs.OpOpen && c.Op != vfs.OpList {
				return nil
			}
			if nth--; nth == 0 {
				failed = true
				return errDisk
			}
			return nil
		})
		asked := nth
		_, err := readArchive(s.mem, archiveDir, testDir, "/copy")
		nth = asked
		require.NotErrorIs(t, err, ErrCorrupt, "read %d", nth)
		if err != nil {
			require.ErrorIs(t, err, errDisk, "read %d", nth)
		}
		if !failed {
			require.Greater(t, nth, 20)
			break
		}
	}
}

// TestAnArchiveHoldsNoFilesOpen: there may be more segments than a process may have files.
func TestAnArchiveHoldsNoFilesOpen(t *testing.T) {
	opts := Options{SegmentSize: MinSegmentSize, Sync: SyncNever}
	opts.ArchiveDir = filepath.Join(t.TempDir(), "archive")
	l, err := Open(t.TempDir(), opts)
	require.NoError(t, err)
	fill(t, l, 200)
	require.NoError(t, l.TruncateFront(200))
	require.NoError(t, l.Close())
	a := openArchive(t, opts, opts.ArchiveDir)
	require.Greater(t, len(a.stores), 5)
	held := must(vfs.Cold(vfs.OS).OpenRead(a.stores[0].path))
	for _, s := range a.stores {
		require.IsType(t, held, s.file)
	}
	require.NoError(t, a.Close())
}

// TestAnArchiveIsReadBesideALiveWriter opens the history again and again while the log is written to and truncated. Each
// time it must be whole, with all that was acknowledged when that began.
func TestAnArchiveIsReadBesideALiveWriter(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
		bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
			opts := testOptions(fs)
			opts.Sync = mode
			opts.ArchiveDir = filepath.Join(dir, "archive")
			logDir := filepath.Join(dir, "log")
			l, err := Open(logDir, opts)
			require.NoError(t, err)
			fill(t, l, 100)
			require.NoError(t, l.TruncateFront(90))
			done := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						time.Sleep(100 * time.Microsecond)
					}
					fill(t, l, l.Last()+10)
					require.NoError(t, l.TruncateFront(l.Last()-20))
				}
			})
			dirs := []string{opts.ArchiveDir, logDir}
			for try := range 20 {
				acknowledged := l.Last()
				a, err := OpenArchive(opts, dirs[try%2], dirs[1-try%2])
				if !assertNoError(t, err) {
					break
				}
				requireWhole(t, a, acknowledged)
			}
			close(done)
			writer.Wait()
			require.NoError(t, l.Close())
		})
	}
}

func assertNoError(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// requireWhole reads all of an archive, which holds a record at least up to an offset.
func requireWhole(t *testing.T, a *Archive, least uint64) {
	t.Helper()
	next := uint64(1)
	for record, err := range a.Records(1) {
		if !assertNoError(t, err) {
			return
		}
		if record.Offset != next || !bytes.Equal(record.Payload, payloadOf(next)) {
			t.Errorf("offset %d is %q, want %d", record.Offset, record.Payload, next)
			return
		}
		next++
	}
	if next-1 < least || next-1 != a.Last() {
		t.Errorf("it ends with %d, %d was acknowledged before", next-1, least)
	}
	assertNoError(t, a.Close())
}
