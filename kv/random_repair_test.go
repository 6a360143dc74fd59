package kv

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// repairStore is a store of random commits, closed, with what it held after each of them.
type repairStore struct {
	mem    *vfs.Mem
	opts   Options
	states map[uint64][]string
	last   uint64
	id     [16]byte
	older  map[string]string // Its files, as they were at some time before.
}

func newRepairStore(t *testing.T, random *rand.Rand) *repairStore {
	t.Helper()
	s := &repairStore{mem: vfs.NewMem(), states: map[uint64][]string{0: nil}}
	s.opts = memOptions(s.mem)
	s.opts.CheckpointFactor, s.opts.SnapshotsKept, s.opts.sweepByHand = -1, 1+random.IntN(3), true
	s.opts.Clock = func() time.Time { return time.Unix(0, 100) }
	if random.IntN(3) == 0 {
		s.opts.ArchiveDir = "/data/archive"
	}
	db, err := Open(storeDir, s.opts)
	require.NoError(t, err)
	commits := 2 + random.IntN(80)
	for i := range commits {
		switch random.IntN(12) {
		case 0:
			_, err = db.Checkpoint(t.Context())
		case 1:
			require.NoError(t, db.Close())
			db, err = Open(storeDir, s.opts)
		default:
			_, err = db.Apply(randomBatch(random, 100))
		}
		require.NoError(t, err)
		s.last = db.Offset()
		s.states[s.last] = loaded(t, db, Range{})
		if i == commits/2 {
			s.older = contentOf(t, s.mem)
		}
	}
	s.id = db.log.ID()
	require.NoError(t, db.Close())
	if archived, err := s.mem.List("/data/archive"); err != nil || len(archived) == 0 {
		s.opts.ArchiveDir = "" // Nothing was truncated, so there is none.
	}
	return s
}

// names returns the files of the store with one of the endings.
func (s *repairStore) names(endings ...string) (names []string) {
	for _, name := range s.mem.Names() {
		for _, ending := range endings {
			if path.Ext(name) == ending && strings.HasPrefix(name, storeDir) {
				names = append(names, name)
			}
		}
	}
	return names
}

const asBefore = " as it was before"

// damage damages one file in some way, and says how.
func (s *repairStore) damage(t *testing.T, random *rand.Rand) string {
	t.Helper()
	names := s.names(".store", ".store", ".store", ".snap", ".index")
	if len(names) == 0 {
		return "nothing is left"
	}
	name := names[random.IntN(len(names))]
	data, err := s.mem.ReadFile(name)
	require.NoError(t, err)
	write := func(name string, data []byte) { require.NoError(t, s.mem.WriteFile(name, data)) }
	at := random.IntN(len(data) + 1)
	size := min(1+random.IntN(200), len(data)-at)
	switch random.IntN(9) {
	case 0:
		if len(data) > 0 {
			data[at%len(data)] ^= 1 << random.IntN(8)
		}
		write(name, data)
		return fmt.Sprintf("flip %s %d", name, at)
	case 1:
		clear(data[at : at+size])
		write(name, data)
		return fmt.Sprintf("zero %s %d %d", name, at, size)
	case 2:
		for i := range data[at : at+size] {
			data[at+i] = byte(random.Uint32())
		}
		write(name, data)
		return fmt.Sprintf("junk %s %d %d", name, at, size)
	case 3:
		write(name, data[:at])
		return fmt.Sprintf("cut %s %d of %d", name, at, len(data))
	case 4:
		write(name, append(data, []byte("WALNUT, and more than that")[:1+random.IntN(20)]...))
		return fmt.Sprintf("append %s", name)
	case 5:
		require.NoError(t, s.mem.Remove(name))
		return fmt.Sprintf("remove %s", name)
	case 6:
		other := s.names(path.Ext(name))
		to := other[random.IntN(len(other))]
		theirs, err := s.mem.ReadFile(to)
		require.NoError(t, err)
		write(to, data)
		write(name, theirs)
		return fmt.Sprintf("swap %s %s", name, to)
	case 7:
		other := s.names(path.Ext(name))
		to := other[random.IntN(len(other))]
		write(to, data)
		return fmt.Sprintf("copy %s over %s", name, to)
	}
	for _, older := range slices.Sorted(maps.Keys(s.older)) {
		if random.IntN(3) == 0 && path.Ext(older) != "" {
			write(older, []byte(s.older[older]))
			return older + asBefore
		}
	}
	return "nothing"
}

// readable returns the last commit whose state can certainly be made of what is left: of a whole snapshot, or the log from its
// beginning, and the commits right after it.
func (s *repairStore) readable(t *testing.T) (last uint64) {
	t.Helper()
	bases := []uint64{0}
	in := newInventory(storeDir, s.opts)
	in.id = &s.id
	places, err := in.list()
	require.NoError(t, err)
	for _, place := range places {
		if in.verify(t.Context(), place, nil) == nil {
			bases = append(bases, place.Offset)
		}
	}
	log, err := OpenLog(storeDir, Options{fs: s.mem, ReadOnly: true, Logger: s.opts.Logger})
	next := uint64(0)
	if err == nil {
		next = log.First()
		for _, err := range log.Commits(next) {
			if err != nil {
				break
			}
			next++
		}
	}
	for _, base := range bases {
		if last = max(last, base); err == nil && log.First() <= base+1 {
			last = max(last, next-1)
		}
	}
	if err == nil {
		require.NoError(t, log.Close())
	}
	return last
}

func TestARepairOfARandomRuinDoesWhatItSaid(t *testing.T) {
	repaired := 0
	for seed := range viewSeeds(150) {
		random := rand.New(rand.NewPCG(seed, 7))
		s := newRepairStore(t, random)
		says := fmt.Sprintf("seed %d", seed)
		for range 1 + random.IntN(3) {
			says += "; " + s.damage(t, random)
		}
		if s.repair(t, says) {
			repaired++
		}
	}
	t.Logf("%d repaired", repaired)
}

func (s *repairStore) repair(t *testing.T, says string) bool {
	t.Helper()
	before := contentOf(t, s.mem)
	want := s.readable(t)
	plan, err := PlanRepair(t.Context(), storeDir, s.opts)
	if errors.Is(err, ErrNotStore) {
		require.Empty(t, s.names(".store", ".snap"), says)
		return false
	}
	require.NoError(t, err, says)
	require.True(t, maps.Equal(before, contentOf(t, s.mem)), "%s: planning changed something", says)
	if plan.Why != "" {
		require.Zero(t, want, "%s: no repair is possible: %s", says, plan.Why)
		return false
	}
	if len(plan.Damage) > 0 {
		require.GreaterOrEqual(t, plan.Offset, want, "%s: %+v", says, plan)
		if !strings.Contains(says, asBefore) { // An older file is as whole as a newer one.
			require.True(t, plan.LostMore || plan.LostTo >= s.last, "%s: %+v", says, plan)
		}
	}
	require.NoError(t, plan.Apply(t.Context()), "%s: %+v", says, plan)
	if !slices.ContainsFunc(plan.Steps, func(s RepairStep) bool { return s.Action == RepairMend || s.Action == RepairRename }) {
		requireKept(t, s.mem, plan, before) // Otherwise it is kept as it is after that.
	}
	db, err := Open(storeDir, s.opts)
	require.NoError(t, err, "%s: %+v", says, plan)
	require.Equal(t, s.states[db.Offset()], loaded(t, db, Range{}), says)
	if len(plan.Damage) > 0 {
		require.Equal(t, plan.Offset, db.Offset(), says)
		require.Equal(t, plan.First, db.Stats().First, "%s: %+v", says, plan)
	}
	require.NoError(t, db.Close())
	requireSound(t, storeDir, s.opts)
	return len(plan.Damage) > 0
}
