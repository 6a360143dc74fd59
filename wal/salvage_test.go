package wal

import (
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// pieces returns what a salvage finds, in short: a record's offset, or the offsets that a stretch should hold and its bytes.
func pieces(t *testing.T, s *Salvage) (found []string) {
	t.Helper()
	from, to := uint64(0), uint64(0)
	flush := func() {
		if to != 0 {
			found = append(found, fmt.Sprintf("%d-%d", from, to))
		}
		from, to = 0, 0
	}
	damaged := false
	for p, err := range s.Pieces() {
		require.NoError(t, err)
		require.Equal(t, damaged, p.Err == nil && p.Unproven || p.Err != nil && damaged)
		if p.Err != nil {
			flush()
			damaged = true
			found = append(found, fmt.Sprintf("%s@%d+%d lacks %d-%d", filepath.Base(p.Path)[18:20], p.Position, p.Bytes, p.Offset, p.Last))
			continue
		}
		if from == 0 {
			from, to = p.Offset, p.Offset-1
		}
		require.Equal(t, to+1, p.Offset)
		to = p.Offset
	}
	flush()
	return found
}

func (s *scene) salvage() *Salvage {
	found, err := OpenSalvage(testDir, testOptions(s.mem))
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, found.Close()) })
	return found
}

// TestASalvageShowsWhatIsLeftAndWhatIsNot damages a log and reads all of it.
func TestASalvageShowsWhatIsLeftAndWhatIsNot(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(s *scene)
		want   func(s *scene) []string
	}{
		{"a sound log is one run", func(s *scene) {}, func(s *scene) []string { return []string{"1-130"} }},
		{"a record is skipped whose payload is damaged", func(s *scene) {
			s.change(s.store(0), func(b []byte) []byte { b[headSize+frameHeadSize] ^= 0xff; return b })
		}, func(s *scene) []string { return []string{"01@80+" + s.size(1) + " lacks 1-1", "2-130"} }},
		{"frames are found again after a header that is damaged", func(s *scene) {
			s.change(s.store(0), func(b []byte) []byte { clear(b[headSize : headSize+frameHeadSize-1]); return b })
		}, func(s *scene) []string { return []string{"01@80+" + s.size(1) + " lacks 1-1", "2-130"} }},
		{"a segment is missing", func(s *scene) { s.remove(s.store(1)) }, func(s *scene) []string {
			b := s.bases
			return []string{fmt.Sprintf("1-%d", b[1]-1), fmt.Sprintf("%02d@0+0 lacks %d-%d", b[1]%100, b[1], b[2]-1), fmt.Sprintf("%d-130", b[2])}
		}},
		{"the front is missing", func(s *scene) { s.remove(s.store(0)) }, func(s *scene) []string {
			return []string{fmt.Sprintf("01@0+0 lacks 1-%d", s.bases[1]-1), fmt.Sprintf("%d-130", s.bases[1])}
		}},
		{"the end is missing", func(s *scene) { s.remove(s.store(4)) }, func(s *scene) []string {
			b := s.bases[4]
			return []string{fmt.Sprintf("1-%d", b-1), fmt.Sprintf("%02d@0+0 lacks %d-0", b%100, b)}
		}},
		{"the index knows more than what was zeroed after a damaged payload", func(s *scene) {
			size, err := strconv.Atoi(s.size(s.bases[4]))
			require.NoError(s, err)
			s.change(s.store(4), func(b []byte) []byte {
				b[headSize+frameHeadSize] ^= 0xff
				clear(b[headSize+size:])
				return b
			})
		}, func(s *scene) []string {
			b := s.bases[4]
			return []string{
				fmt.Sprintf("1-%d", b-1), fmt.Sprintf("%02d@80+%s lacks %d-%d", b%100, s.size(b), b, b),
				fmt.Sprintf("%02d@%d+0 lacks %d-130", b%100, len(s.read(s.store(4))), b+1),
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			want := c.want(s)
			c.damage(s)
			require.Equal(t, want, pieces(t, s.salvage()))
		})
	}
}

// change changes a file.
func (s *scene) change(name string, change func(data []byte) []byte) {
	s.write(name, change(s.read(name)))
}

// twin returns an independent copy for another test.
func (s *scene) twin(t *testing.T) *scene {
	twin := *s
	twin.T, twin.mem = t, s.mem.Clone()
	return &twin
}

// litter puts junk somewhere over a file, which may become longer.
func (s *scene) litter(name string, at int, junk []byte) {
	s.change(name, func(b []byte) []byte {
		at %= len(b)
		return append(b[:at:at], append(junk, b[min(len(b), at+len(junk)):]...)...)
	})
}

// size returns the size in bytes of a record's frame in the first segment.
func (s *scene) size(offset uint64) string {
	for p, err := range s.salvage().Pieces() {
		require.NoError(s, err)
		if p.Offset == offset {
			return fmt.Sprint(p.Bytes)
		}
	}
	return ""
}

// TestOneFlippedBitOfAFrameIsFoundWhereverItIs flips bits all over a header and some frames.
func TestOneFlippedBitOfAFrameIsFoundWhereverItIs(t *testing.T) {
	s := newScene(t)
	sound := s.read(s.store(1))
	for bit := 0; bit < (headSize+200)*8; bit += 7 {
		s.change(s.store(1), func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
		found := s.salvage()
		fixes, err := found.Fix()
		require.NoError(t, err)
		require.Len(t, fixes, 1, "bit %d", bit)
		require.Equal(t, int64(bit/8), fixes[0].Position)
		require.Equal(t, sound[bit/8:bit/8+1], fixes[0].Bytes)
		require.Equal(t, []string{"1-130"}, pieces(t, found))
		s.write(s.store(1), sound)
	}
}

// FuzzSalvage: whatever a log's files hold, reading what is left ends without a panic, in order, and a repair that is planned opens.
func FuzzSalvage(f *testing.F) {
	f.Add(uint8(1), uint32(100), []byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint8(4), uint32(0), []byte("WALNUTWL"))
	f.Add(uint8(0), uint32(84), []byte{0xff, 0xff, 0xff, 0x1f})
	var whole *scene
	f.Fuzz(func(t *testing.T, which uint8, at uint32, junk []byte) {
		if whole == nil {
			whole = newScene(t)
		}
		s := whole.twin(t)
		s.litter(s.store(int(which)%5), int(at), junk)
		allocated.WithinFiles(t, s.mem, 0, func(mem *vfs.Mem) {
			found, err := OpenSalvage(testDir, testOptions(mem))
			require.NoError(t, err)
			_, err = found.Fix()
			require.NoError(t, err)
			for range found.Pieces() {
			}
			require.NoError(t, found.Close())
		})
		found := s.salvage()
		_, err := found.Fix()
		require.NoError(t, err)
		last, sound := uint64(0), true
		for p, err := range found.Pieces() {
			require.NoError(t, err)
			if sound = sound && p.Err == nil; sound {
				require.Equal(t, last+1, p.Offset)
				last = p.Offset
			}
		}
		if last == 0 {
			return
		}
		plan, err := found.Keep(1, last)
		require.NoError(t, err)
		require.NoError(t, found.Apply(plan))
		l := openTest(t, testOptions(s.mem))
		require.Equal(t, last, l.Last())
		require.NoError(t, l.Close())
	})
}

// TestASalvageOfASoundLogFindsNothingWrong looks at logs that were cut, reset, truncated, closed and left open.
func TestASalvageOfASoundLogFindsNothingWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *Log)
		want   []string
	}{
		{"as it was", func(l *Log) {}, []string{"1-130"}},
		{"cut inside a segment", func(l *Log) { require.NoError(t, l.TruncateBack(70)) }, []string{"1-70"}},
		{"cut twice, with records after each cut", func(l *Log) {
			require.NoError(t, l.TruncateBack(70))
			fill(t, l, 90)
			require.NoError(t, l.TruncateBack(60))
			fill(t, l, 70)
		}, []string{"1-70"}},
		{"truncated at the front", func(l *Log) { require.NoError(t, l.TruncateFront(70)) }, nil},
		{"reset", func(l *Log) {
			require.NoError(t, l.Reset(1000))
			fill(t, l, 1004)
		}, []string{"1000-1004"}},
		{"empty", func(l *Log) { require.NoError(t, l.Reset(1000)) }, nil},
	} {
		for _, closed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, closed %v", c.name, closed), func(t *testing.T) {
				s := newScene(t)
				l := openTest(t, testOptions(s.mem))
				c.change(l)
				want := c.want
				if want == nil && l.Last() >= l.First() {
					want = []string{fmt.Sprintf("%d-%d", l.First(), l.Last())}
				}
				first, last := l.First(), l.Last()
				if closed {
					require.NoError(t, l.Close())
				} else {
					s.mem = s.mem.Exit()
				}
				found := s.salvage()
				fixes, err := found.Fix()
				require.NoError(t, err)
				require.Empty(t, fixes)
				require.Equal(t, want, pieces(t, found))
				require.Equal(t, first, found.First())
				plan, err := found.Keep(first, last)
				require.NoError(t, err)
				require.False(t, plan.Begins())
				require.Empty(t, plan.Cuts)
			})
		}
	}
}

// TestALogThatWasCutIsRepairedWhereItWasDamaged damages one that a cut and a truncation changed.
func TestALogThatWasCutIsRepairedWhereItWasDamaged(t *testing.T) {
	s := newScene(t)
	l := openTest(t, testOptions(s.mem))
	require.NoError(t, l.TruncateBack(70))
	fill(t, l, 130)
	require.NoError(t, l.TruncateFront(40))
	first := l.First()
	require.NoError(t, l.Close())
	found := s.salvage()
	at := Piece{}
	for p, err := range found.Pieces() {
		require.NoError(t, err)
		if p.Offset == 100 {
			at = p
		}
	}
	s.change(at.Path, func(b []byte) []byte { clear(b[at.Position : at.Position+at.Bytes]); return b })
	found = s.salvage()
	require.Equal(t, []string{
		fmt.Sprintf("%d-99", first), fmt.Sprintf("%s@%d+%d lacks 100-100", filepath.Base(at.Path)[18:20], at.Position, at.Bytes), "101-130",
	}, pieces(t, found))
	plan, err := found.Keep(first, 99)
	require.NoError(t, err)
	require.NoError(t, found.Apply(plan))
	l = openTest(t, testOptions(s.mem))
	require.Equal(t, first, l.First())
	require.Equal(t, uint64(99), l.Last())
	fill(t, l, 104)
	require.NoError(t, l.Close())
	found = s.salvage()
	require.Equal(t, []string{fmt.Sprintf("%d-104", first)}, pieces(t, found))
}

// TestARepairMakesDurableWhatItKeeps repairs a log whose last records are in the page cache and on no disk, since their sync failed. After the
// repair a power cut takes none of them: the segment that follows says that they are there.
func TestARepairMakesDurableWhatItKeeps(t *testing.T) {
	s := newScene(t)
	l := openTest(t, testOptions(s.mem))
	fill(t, l, 131)
	s.mem.SetHook(vfs.FailNth(vfs.OpSync, 1, syscall.EIO))
	_, err := l.Append(payloadOf(132))
	require.ErrorIs(t, err, ErrFailed)
	s.mem.SetHook(nil)
	s.mem = s.mem.Exit()
	s.remove(s.store(0))
	found := s.salvage()
	require.Equal(t, []string{fmt.Sprintf("01@0+0 lacks 1-%d", s.bases[1]-1), fmt.Sprintf("%d-132", s.bases[1])}, pieces(t, found))
	plan, err := found.Keep(s.bases[1], 132)
	require.NoError(t, err)
	require.NoError(t, found.Apply(plan))
	s.mem = s.mem.Crash(0, vfs.KeepNone)
	l = openTest(t, testOptions(s.mem))
	require.Equal(t, uint64(132), l.Last())
	requireRecords(t, l, s.bases[1], 132)
	require.NoError(t, l.Close())
}
