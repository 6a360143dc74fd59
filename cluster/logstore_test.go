package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

// shelf is a log store over a replica whose consensus is the test.
type shelf struct {
	*logStore
	t       testing.TB
	dir     string
	segment int64  // The size of the log's, 0 for the default.
	kept    int64  // How much of the log snapshots leave besides what they must.
	disk    vfs.FS // The stable file's.
	stable  *stable
	replica *kv.Replica

	shortenings int
}

func openShelf(t testing.TB, dir string) *shelf {
	t.Helper()
	return openShelfOf(t, dir, 0)
}

func openShelfOf(t testing.TB, dir string, segment int64) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: dir, segment: segment, disk: vfs.OS}
	require.NoError(t, s.open())
	return s
}

// open opens it, unless the store can't be.
func (s *shelf) open() (err error) {
	s.t.Helper()
	opts := kv.Options{Logger: testLogger(s.t), CheckpointFactor: -1, SegmentSize: s.segment, LogKept: s.kept}
	member := kv.Member{Cluster: clusterID("test"), Node: "a"}
	if s.replica, err = kv.OpenReplica(filepath.Join(s.dir, storeName), opts, member, consensus{&Cluster{}}); err != nil {
		return err
	}
	s.stable, err = openStable(s.disk, filepath.Join(s.dir, consensusName))
	require.NoError(s.t, err)
	s.stable.applied = s.replica.Applied
	history, err := openHistory(s.stable, s.replica.Log(), filepath.Join(s.dir, storeName, snapshotsName))
	require.NoError(s.t, err)
	s.logStore = &logStore{
		log: s.replica.Log(), history: history, watch: newWatchdog(DefaultSlowSync),
		committed: func() uint64 { return 0 }, applied: s.replica.Applied, shortened: func() { s.shortenings++ },
	}
	s.watch.stop = func(error) {}
	s.stable.saw, s.stable.trip = s.watch.saw, s.watch.trip
	return nil
}

// again closes and opens it.
func (s *shelf) again() *shelf {
	s.t.Helper()
	require.NoError(s.t, s.replica.DB().Close())
	return openShelfOf(s.t, s.dir, s.segment)
}

// store appends empty commands of a term, up to an index.
func (s *shelf) store(term, to uint64) {
	s.t.Helper()
	last, err := s.LastIndex()
	require.NoError(s.t, err)
	var logs []*raft.Log
	for index := last + 1; index <= to; index++ {
		logs = append(logs, &raft.Log{Index: index, Term: term, Data: []byte(fmt.Sprint("command ", index)), Extensions: []byte("x")})
	}
	require.NoError(s.t, s.StoreLogs(logs))
}

// members appends an entry with members.
func (s *shelf) members(term uint64, names ...string) {
	s.t.Helper()
	var members raft.Configuration
	for _, name := range names {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name)})
	}
	last, err := s.LastIndex()
	require.NoError(s.t, err)
	entry := &raft.Log{Index: last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members)}
	require.NoError(s.t, s.StoreLog(entry))
}

// apply applies all entries up to one.
func (s *shelf) apply(to uint64) {
	s.t.Helper()
	for index := s.replica.Applied() + 1; index <= to; index++ {
		require.NoError(s.t, s.replica.Apply(index, nil))
	}
}

// requireBounds shows what the log has.
func (s *shelf) requireBounds(first, last uint64) {
	s.t.Helper()
	gotFirst, err := s.FirstIndex()
	require.NoError(s.t, err)
	gotLast, err := s.LastIndex()
	require.NoError(s.t, err)
	require.Equal(s.t, []uint64{first, last}, []uint64{gotFirst, gotLast})
	var entry raft.Log
	require.True(s.t, s.GetLog(last+1, &entry) == raft.ErrLogNotFound, "raft compares with ==")
	for index := first; index > 0 && index <= last; index++ {
		require.NoError(s.t, s.GetLog(index, &entry))
		require.Equal(s.t, index, entry.Index)
	}
}

func TestTheLogIsWhatTheConsensusExpects(t *testing.T) {
	s := openShelf(t, t.TempDir())
	require.True(t, s.IsMonotonic())
	s.requireBounds(0, 0)
	s.store(1, 10)
	s.requireBounds(1, 10)
	var entry raft.Log
	require.NoError(t, s.GetLog(7, &entry))
	require.Equal(t, raft.Log{Index: 7, Term: 1, Data: []byte("command 7"), Extensions: []byte("x")}, entry)
	require.Error(t, s.StoreLog(&raft.Log{Index: 12, Term: 1}), "a gap")

	require.NoError(t, s.DeleteRange(8, 10), "a suffix")
	s.requireBounds(1, 7)
	s.store(2, 9)
	require.NoError(t, s.GetLog(8, &entry))
	require.EqualValues(t, 2, entry.Term)

	s.apply(5)
	require.NoError(t, s.DeleteRange(1, 3), "a prefix")
	s.requireBounds(4, 9)
	require.True(t, s.GetLog(3, &entry) == raft.ErrLogNotFound)
	s = s.again()
	s.store(2, 11)
	require.NoError(t, s.replica.DB().Close())
}

func TestAllOfTheLogCanBeDeleted(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.store(1, 10)
	require.NoError(t, s.DeleteRange(1, 10))
	s.requireBounds(0, 0)
	s.store(2, 3)
	s.requireBounds(1, 3)
	s.apply(3)
	require.NoError(t, s.DeleteRange(1, 3), "what a snapshot has goes, all of it, too")
	s.requireBounds(0, 0)
	require.NoError(t, s.StoreLog(&raft.Log{Index: 4, Term: 2}))
	require.ErrorIs(t, s.GetLog(5, &raft.Log{}), raft.ErrLogNotFound)
	require.NoError(t, s.replica.DB().Close())
}

func TestMembersAreKnownThoughTheirEntryIsGone(t *testing.T) {
	s := openShelf(t, t.TempDir())
	names := func(offset uint64) (names []raft.ServerID) {
		meta, err := s.history.meta("", offset, 0)
		require.NoError(t, err)
		for _, server := range meta.Configuration.Servers {
			names = append(names, server.ID)
		}
		return names
	}
	s.members(1, "a")
	s.store(1, 5)
	s.members(1, "a", "b")
	s.store(2, 8)
	require.Equal(t, []raft.ServerID{"a"}, names(5))
	require.Equal(t, []raft.ServerID{"a", "b"}, names(8))

	s.members(2, "worthless")
	require.Equal(t, []raft.ServerID{"worthless"}, names(9))
	require.NoError(t, s.DeleteRange(9, 9))
	s.store(3, 10)
	require.Equal(t, []raft.ServerID{"a", "b"}, names(10))

	for _, offset := range []uint64{8, 9, 10} {
		s.apply(offset)
		taken, err := s.replica.DB().Checkpoint(t.Context())
		require.NoError(t, err)
		require.Equal(t, offset, taken)
		if offset != 9 { // Of one there is no note: the node died before.
			require.NoError(t, s.history.noteEnd(taken))
		}
		s = s.again()
		require.Equal(t, []raft.ServerID{"a", "b"}, names(offset))
	}
	metas, err := s.history.noted()
	require.NoError(t, err)
	require.Len(t, metas, 2)
	require.Len(t, s.history.ends.notes, 2, "no more than there are snapshots")
	require.Empty(t, s.history.members.notes)
	require.EqualValues(t, []uint64{10, 3}, []uint64{metas[0].Index, metas[0].Term})
	require.EqualValues(t, 6, metas[0].ConfigurationIndex)
	require.NoError(t, s.DeleteRange(1, 9))
	var entry raft.Log
	require.NoError(t, s.GetLog(9, &entry), "the entry that the older snapshot ends with")
	require.EqualValues(t, []uint64{9, 3}, []uint64{entry.Index, entry.Term})
	require.ErrorIs(t, s.GetLog(8, &entry), raft.ErrLogNotFound)
	require.NoError(t, s.replica.DB().Close())
}

func TestANoteWithoutItsEntryIsRemoved(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a")
	s.store(1, 3)
	lost := []*raft.Log{{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})}}
	require.NoError(t, s.history.expect(lost), "and then it dies")
	s = s.again()
	require.NotContains(t, s.history.members.notes, uint64(4))
	require.Contains(t, s.history.members.notes, uint64(1))
	require.NoError(t, s.replica.DB().Close())
}

func TestANodeThatForgotItsSnapshotsIsRefused(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a")
	for _, offset := range []uint64{3, 5, 7} {
		s.store(1, offset)
		s.apply(offset)
		taken, err := s.replica.DB().Checkpoint(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.history.noteEnd(taken))
	}
	require.NoError(t, s.DeleteRange(1, 5))
	other, err := openStable(vfs.NewMem(), consensusName)
	require.NoError(t, err)
	_, err = openHistory(other, s.log, "nowhere")
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoError(t, s.replica.DB().Close())
}

func TestOutcomesAreCertainOrUndecided(t *testing.T) {
	for _, c := range []struct {
		sentence string
		err      error
		want     error
	}{
		{"it was never in a log: another node leads", raft.ErrNotLeader, kv.ErrNotLeader},
		{"it was never in a log: leadership is being handed over", raft.ErrLeadershipTransferInProgress, kv.ErrNotLeader},
		{"the log has refused it whole", fmt.Errorf("append: %w", kv.ErrNoSpace), kv.ErrNotLeader},
		{"the log has failed and may have it", fmt.Errorf("append: %w: %w", kv.ErrFailed, kv.ErrNoSpace), kv.ErrUndecided},
		{"it is in the log of a node that doesn't lead any more", raft.ErrLeadershipLost, kv.ErrUndecided},
		{"the consensus was shut down", raft.ErrRaftShutdown, kv.ErrUndecided},
		{"something else", errors.New("something else"), kv.ErrUndecided},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got := outcome(c.err)
			require.ErrorIs(t, got, c.want)
			require.ErrorIs(t, got, c.err)
			require.NotEqual(t, errors.Is(got, kv.ErrNotLeader), errors.Is(got, kv.ErrUndecided))
		})
	}
	require.NoError(t, applied(nil))
	require.ErrorIs(t, applied(kv.ErrConflict), kv.ErrConflict)
	require.ErrorIs(t, applied(kv.ErrClosed), kv.ErrUndecided)
}
