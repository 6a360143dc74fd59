package wal

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// newGaps is an archive and a log that was reset twice, to later offsets, with records that the archive never got. It returns the ranges
// that are held.
func newGaps(t *testing.T) (mem *vfs.Mem, held [][2]uint64) {
	mem = vfs.NewMem()
	l := openTest(t, archiveOptions(mem))
	for i, first := range []uint64{1, 500, 1000} {
		if i > 0 {
			require.NoError(t, l.Reset(first))
		}
		fill(t, l, first+120)
		require.NoError(t, l.TruncateFront(l.Last()))
		require.Greater(t, l.First(), first+50)
		held = append(held, [2]uint64{first, l.First() - 1})
		fill(t, l, first+150) // It takes another segment.
	}
	held[2][1] = l.Last()
	require.NoError(t, l.Close())
	return mem, held
}

func TestAnArchiveGoesOnAfterAResetAndTheGapIsAnError(t *testing.T) {
	mem, held := newGaps(t)
	a := openArchive(t, testOptions(mem), archiveDir, testDir)
	require.Equal(t, []uint64{1, held[2][1]}, []uint64{a.First(), a.Last()})
	require.Less(t, a.Archived(), a.Last())
	require.Greater(t, a.Archived(), uint64(1000))
	for from := uint64(1); from <= a.Last(); from++ {
		want, last := from, error(nil)
		for record, err := range a.Records(from) {
			if last = err; err != nil {
				break
			}
			require.Equal(t, want, record.Offset)
			require.Equal(t, payloadOf(want), record.Payload)
			want++
		}
		switch i := partOf(held, from); {
		case i == 2:
			require.NoError(t, last, "from %d", from)
			require.Equal(t, a.Last()+1, want)
		case from <= held[i][1]:
			require.Equal(t, held[i][1]+1, want, "from %d", from)
			fallthrough
		default:
			require.ErrorIs(t, last, ErrTruncated, "from %d", from)
			require.ErrorContains(t, last, fmt.Sprintf("offsets %d to %d are not held", held[i][1]+1, held[i+1][0]-1))
		}
	}
	require.NoError(t, a.Close())

	alone := openArchive(t, testOptions(mem), archiveDir)
	require.Equal(t, a.Archived(), alone.Last())
	require.Equal(t, alone.Last(), alone.Archived())
	require.NoError(t, alone.Close())
}

// partOf returns the last range that begins no later than an offset.
func partOf(held [][2]uint64, offset uint64) int {
	i := len(held) - 1
	for held[i][0] > offset {
		i--
	}
	return i
}

// TestASegmentThatIsMissingIsNoGap removes each segment of the archive and of the log in turn. A missing one is damage, unless it is the
// first one that is held, or the last one before a reset: then the history ends there, and the gap that is reported begins there.
func TestASegmentThatIsMissingIsNoGap(t *testing.T) {
	mem, held := newGaps(t)
	a := openArchive(t, testOptions(mem), archiveDir, testDir)
	segments := a.Segments()
	require.NoError(t, a.Close())
	for i, segment := range segments[:len(segments)-1] {
		synctest.Test(t, func(t *testing.T) {
			left := mem.Clone()
			require.NoError(t, left.Remove(segment.Path))
			a, err := OpenArchive(testOptions(left), archiveDir, testDir)
			beforeReset := segments[i+1].Base != segment.Last+1
			if i > 0 && !beforeReset {
				requireCorrupt(t, err, joinName(archiveDir, storeName(segments[i-1].Last+1))) // Where a part began isn't known then.
				return
			}
			require.NoError(t, err)
			if i == 0 {
				require.Equal(t, segments[1].Base, a.First())
			} else {
				last := error(nil)
				for _, last = range a.Records(segments[i-1].Base) {
				}
				require.ErrorContains(t, last, fmt.Sprintf("offsets %d to %d are not held", segment.Base, segments[i+1].Base-1))
			}
			require.NoError(t, a.Close())
		})
	}
	require.Equal(t, uint64(1), held[0][0])
}

func TestDamageBeforeAGapIsFound(t *testing.T) {
	mem, held := newGaps(t)
	a := openArchive(t, testOptions(mem), archiveDir, testDir)
	path := a.stores[1].path
	require.NoError(t, a.Close())
	data, err := mem.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, mem.WriteFile(path, flip(data, (headSize+frameHeadSize)*8)))
	a = openArchive(t, testOptions(mem), archiveDir, testDir)
	defer func() { require.NoError(t, a.Close()) }()
	last := error(nil)
	for _, last = range a.Records(1) {
	}
	requireCorrupt(t, last, path)
	for _, err := range a.Records(held[2][0]) {
		require.NoError(t, err)
	}
}

// TestWhatAResetGaveOutAgainIsReadAsItIsNow resets a log to an offset that its archive has.
func TestWhatAResetGaveOutAgainIsReadAsItIsNow(t *testing.T) {
	s := newHistory(t)
	l := s.reopen()
	require.NoError(t, l.Reset(s.bases[1]+1))
	fill(t, l, 90)
	require.NoError(t, l.Close())
	requireHistory(t, testOptions(s.mem), s.bases[1]+1, 90, archiveDir, testDir)
}

// TestEveryCrashOfAResetLeavesTheArchiveReadable takes every state that a power cut could leave in a reset and the truncation after it.
func TestEveryCrashOfAResetLeavesTheArchiveReadable(t *testing.T) {
	s := newHistory(t)
	seed := uint64(0)
	check := func() {
		for _, policy := range vfs.Policies {
			seed++
			crashed := s.mem.Crash(seed, policy)
			l := openTest(t, archiveOptions(crashed))
			a := openArchive(t, testOptions(crashed), archiveDir, testDir)
			require.Equal(t, uint64(1), a.First())
			require.Equal(t, l.Last(), a.Last())
			want, last := uint64(1), error(nil)
			for record, err := range a.Records(1) {
				if last = err; err != nil {
					break
				}
				require.Equal(t, payloadOf(want), record.Payload)
				want++
			}
			switch {
			case l.Last() < 500:
				require.NoError(t, errors.Join(last, a.Close(), l.Close()))
				require.Equal(t, s.last+1, want)
			default:
				require.ErrorIs(t, last, ErrTruncated)
				require.Equal(t, s.bases[3], want)
				require.NoError(t, errors.Join(a.Close(), l.Close()))
			}
		}
	}
	l := s.reopen()
	s.mem.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() {
			check()
		}
		return nil
	})
	require.NoError(t, l.Reset(501))
	fill(t, l, 600)
	require.NoError(t, l.TruncateFront(590))
	s.mem.SetHook(nil)
	check()
	require.NoError(t, l.Close())
}
