package cluster

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/snapshot"
)

// TestMembersOfAWorthlessEntryDoNotOutliveAnInstall has members in an entry that was never agreed upon, between an older snapshot and the end of
// the one that is installed. A node that took them for the members could agree upon entries without the others.
func TestMembersOfAWorthlessEntryDoNotOutliveAnInstall(t *testing.T) {
	for _, died := range []bool{false, true} {
		t.Run(fmt.Sprint("died before it forgot them=", died), func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.members(1, "a", "b", "c")
			s.store(1, 9)
			s.apply(9)
			taken, err := s.replica.DB().Checkpoint(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.history.noteEnd(taken))
			s.members(1, "a", "stranger")
			worthless := s.history.members.notes[10]
			f, in := s.receive(snapshotOf(t, 20), 20, 2)
			require.NoError(t, f.Restore(in))
			require.NoError(t, in.Close())
			if died {
				s.history.members.notes[10] = worthless
				require.NoError(t, s.history.save())
			} else {
				require.False(t, s.history.had("stranger", 20))
			}
			require.NoError(t, s.StoreLog(&raft.Log{Index: 21, Term: 2}))
			s.apply(21)
			for range 2 {
				meta, err := s.history.meta("recovered", 21, 0)
				require.NoError(t, err)
				require.EqualValues(t, 1, meta.ConfigurationIndex)
				require.Empty(t, meta.Configuration.Servers, "as the snapshot has them")
				require.EqualValues(t, 1, s.history.newest())
				s = s.again()
			}
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// TestAnInstallKeepsWhatFollowsTheSameEntry is of a snapshot of entry 7: where the log has that entry, of the same term, all before it is agreed
// upon, and the node may have acknowledged what follows.
func TestAnInstallKeepsWhatFollowsTheSameEntry(t *testing.T) {
	text := snapshotOf(t, 7)
	for _, c := range []struct {
		sentence    string
		ends        uint64 // The node's log, of term 1.
		withMembers bool   // After that.
		term        uint64 // Of the snapshot.
		first, last uint64 // What the log has afterwards; 0 where it is empty.
		diverged    bool   // raft has to read the log again.
	}{
		{"the log ends before it", 6, false, 1, 0, 0, false},
		{"the log ends with the same entry", 7, false, 1, 1, 7, false},
		{"entries follow the same entry", 9, false, 1, 1, 9, false},
		{"members follow it, which raft forgets", 8, true, 1, 1, 9, true},
		{"the log ends with an entry of another term, for whose term raft takes its last one", 7, false, 2, 0, 0, true},
		{"entries follow one of another term", 9, false, 2, 0, 0, true},
		{"members follow one of another term", 8, true, 2, 0, 0, true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.members(1, "a", "b")
			s.store(1, 3)
			s.apply(3)
			s.store(1, c.ends)
			if c.withMembers {
				s.members(1, "a", "b", "c")
			}
			f, in := s.receive(text, 7, c.term)
			diverged := false
			f.diverged = func() { diverged = true }
			require.NoError(t, f.Restore(in))
			require.NoError(t, in.Close())
			require.Equal(t, c.diverged, diverged)
			for range 2 {
				s.requireBounds(c.first, c.last)
				require.EqualValues(t, 7, s.replica.Applied())
				if kept := c.last == 9; c.withMembers && kept {
					require.EqualValues(t, 9, s.history.newest())
				} else {
					require.EqualValues(t, 1, s.history.newest())
				}
				s = s.again()
			}
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// TestMembersThatADiskRefusesAreForgotten, and those that the log has, or may have, aren't.
func TestMembersThatADiskRefusesAreForgotten(t *testing.T) {
	worthless := func(index uint64) *raft.Log {
		return &raft.Log{Index: index, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})}
	}
	for _, where := range []string{"the log", consensusName} {
		t.Run(where, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.members(1, "a", "b")
			s.store(1, 3)
			s.members(1, "a", "b", "c")
			s.apply(4)
			require.ErrorIs(t, s.StoreLog(worthless(2)), kv.ErrConflict)
			require.EqualValues(t, 4, s.history.newest(), "the log has them")
			s = s.again()
			if where == consensusName {
				s.stable.fs = &sickFS{FS: vfs.OS, sick: syscall.ENOSPC}
			} else {
				refusing := &refusals{entryLog: s.log}
				refusing.appends.Store(true)
				s.log = refusing
			}
			err := s.StoreLog(worthless(5))
			require.ErrorIs(t, err, kv.ErrNoSpace)
			require.ErrorAs(t, err, new(membersError), "so that a leader begins again")
			require.EqualValues(t, 4, s.history.newest())
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// failing is a log that appends, and then says that it has failed, and doesn't show the entry.
type failing struct{ entryLog }

func (f failing) Bounds() (first, last uint64) {
	first, last = f.entryLog.Bounds()
	return first, min(last, 3)
}

func (f failing) Append(committed uint64, entries []kv.Entry) error {
	if err := f.entryLog.Append(committed, entries); err != nil {
		return err
	}
	return kv.ErrFailed
}

// TestMembersThatMayBeInAFailedLogAreKept: a failed sync may have kept their entry.
func TestMembersThatMayBeInAFailedLogAreKept(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b", "c")
	s.store(1, 3)
	s.log = failing{s.log}
	members := raft.EncodeConfiguration(raft.Configuration{})
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: members}), kv.ErrFailed)
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 4, Term: 1}), kv.ErrFailed, "which is no reason to forget them")
	s = s.again()
	s.requireBounds(1, 4)
	require.EqualValues(t, 4, s.history.newest())
	require.NoError(t, s.replica.DB().Close())
}

// TestASnapshotThatWasNotInstalledSaysNothing: in a cluster that is recovered other entries come in the place of its own.
func TestASnapshotThatWasNotInstalledSaysNothing(t *testing.T) {
	for _, died := range []bool{false, true} {
		t.Run(fmt.Sprint("died before it could be installed=", died), func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.members(1, "a", "b", "c")
			s.store(1, 3)
			s.apply(3)
			text := snapshotOf(t, 20)
			f, in := s.receive(text, 20, 2)
			sent := *f.snapshots.received()
			ended, end := context.WithCancel(t.Context())
			end()
			f.ctx = ended
			require.Error(t, f.Restore(in))
			require.NoError(t, in.Close())
			if died {
				require.NoError(t, s.history.sent(&sent))
				s = s.again()
			}
			require.NotContains(t, s.history.ends.notes, uint64(20))
			s.requireNoted()
			s.members(2, "a")
			s.store(2, 30)
			s.apply(30)
			require.EqualValues(t, 4, s.history.newest())
			s = s.again()
			meta, err := s.history.meta("recovered", 30, 0)
			require.NoError(t, err)
			require.EqualValues(t, 4, meta.ConfigurationIndex)
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// TestASnapshotThatWasSentWithoutRoomForItsNoteSaysNothing is the same of a full disk, which has no room for the note either.
func TestASnapshotThatWasSentWithoutRoomForItsNoteSaysNothing(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b", "c")
	s.store(1, 3)
	s.apply(3)
	f, in := s.receive(snapshotOf(t, 20), 20, 2)
	s.stable.fs = &sickFS{FS: vfs.OS, sick: syscall.ENOSPC}
	require.ErrorIs(t, f.Restore(in), kv.ErrNoSpace)
	require.NoError(t, in.Close())
	require.Empty(t, s.history.ends.notes)
	require.NoError(t, s.replica.DB().Close())
}

// TestSnapshotsThatTheStoreTookByItselfLoseNoMembers: they have no note until one is asked for, and that of the snapshot before them, which they
// replace, says which members there are.
func TestSnapshotsThatTheStoreTookByItselfLoseNoMembers(t *testing.T) {
	for _, noted := range [][]uint64{{200}, {400}, {}, {200, 400, 600}} {
		t.Run(fmt.Sprint("noted=", noted), func(t *testing.T) {
			s := openShelfOf(t, t.TempDir(), 4<<10)
			s.members(1, "a", "b", "c")
			for _, offset := range []uint64{200, 400, 600} {
				s.store(1, offset)
				s.apply(offset)
				_, err := s.replica.DB().Checkpoint(t.Context())
				require.NoError(t, err)
				if slices.Contains(noted, offset) {
					require.NoError(t, s.history.noteEnd(offset))
				}
			}
			first, _ := s.log.Bounds()
			require.Greater(t, first, uint64(200))
			s = s.again()
			metas, err := s.history.noted()
			require.NoError(t, err)
			require.NotEmpty(t, metas)
			for _, meta := range metas {
				require.Len(t, meta.Configuration.Servers, 3, "snapshot %d", meta.Index)
			}
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// fills is a log that refuses to append, and after which the disk has no room for the stable file either.
type fills struct {
	entryLog
	stable *stable
}

func (f fills) Append(uint64, []kv.Entry) error {
	f.stable.fs = &sickFS{FS: vfs.OS, sick: syscall.ENOSPC}
	return kv.ErrNoSpace
}

// TestMembersThatADiskRefusesDoNotComeBack: the file has them still, since the disk was too full to remove them. Once other entries are in
// their place, and the log has let go of those, nothing would contradict them.
func TestMembersThatADiskRefusesDoNotComeBack(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("opened while the disk is full=", again), func(t *testing.T) {
			s := openShelfOf(t, t.TempDir(), 4<<10)
			s.members(1, "a", "b", "c")
			s.store(1, 3)
			s.apply(3)
			s.log = fills{s.log, s.stable}
			members := raft.EncodeConfiguration(raft.Configuration{})
			require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: members}), kv.ErrNoSpace)
			s.log = s.replica.Log()
			if again {
				var err error
				s.history, err = openHistory(s.stable, s.log, s.history.ends.dir)
				require.NoError(t, err)
			}
			require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 4, Term: 1}), kv.ErrNoSpace)
			s.stable.fs = vfs.OS
			for _, offset := range []uint64{200, 400} {
				s.store(1, offset)
				s.apply(offset)
				_, err := s.replica.DB().Checkpoint(t.Context())
				require.NoError(t, err)
			}
			first, _ := s.log.Bounds()
			require.Greater(t, first, uint64(4))
			s = s.again()
			meta, err := s.history.meta("recovered", 400, 0)
			require.NoError(t, err)
			require.EqualValues(t, 1, meta.ConfigurationIndex)
			require.Len(t, meta.Configuration.Servers, 3)
			require.EqualValues(t, 1, s.history.newest())
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// TestAStoreThatGoesBackToBeforeItsSnapshotsKnowsTheMembers: the only snapshot is gone or damaged, and what is known to be agreed upon ends before
// it. Members come at 1, 12 and 17, and the notes of them were dropped once the snapshot had them.
func TestAStoreThatGoesBackToBeforeItsSnapshotsKnowsTheMembers(t *testing.T) {
	for _, gone := range []bool{false, true} {
		for _, checkpoint := range []bool{false, true} {
			t.Run(fmt.Sprint("gone=", gone, " and a checkpoint before the same members=", checkpoint), func(t *testing.T) {
				s := openShelf(t, t.TempDir())
				agreed := uint64(0)
				s.committed = func() uint64 { return agreed }
				s.members(1, "a", "b")
				s.store(1, 8)
				agreed = 8
				s.store(1, 11)
				s.members(1, "a", "b", "c")
				s.store(1, 16)
				s.members(1, "a", "b", "c", "d")
				s.store(1, 20)
				s.apply(20)
				s.keep()
				require.NoError(t, s.history.save())
				require.Empty(t, s.history.members.notes)
				path := snapshot.Path(s.history.ends.dir, 20)
				if gone {
					require.NoError(t, os.Remove(path))
				} else {
					require.NoError(t, os.WriteFile(path, []byte("damaged"), 0o600))
				}
				s = s.again()
				s.committed = func() uint64 { return agreed }
				require.EqualValues(t, 8, s.replica.Applied())
				s.requireMembers(8, 1, 2)
				s.apply(15)
				if checkpoint {
					s.keep()
				}
				s.requireMembers(15, 12, 3)
				agreed = 18
				s.store(1, 21)
				s.apply(18)
				s.requireMembers(18, 17, 4)
				s = s.again()
				require.EqualValues(t, 18, s.replica.Applied())
				s.requireMembers(18, 17, 4)
				require.NoError(t, s.replica.DB().Close())
			})
		}
	}
}

// keep takes a snapshot as the consensus does.
func (s *shelf) keep() {
	s.t.Helper()
	state, err := s.replica.Snapshot()
	require.NoError(s.t, err)
	require.NoError(s.t, s.history.keep(s.t.Context(), state))
}

// requireMembers shows which members there are as of an entry: so many, since the entry at an index. The newest in the log, which raft compares
// with its own, are of index 17.
func (s *shelf) requireMembers(offset, index uint64, count int) {
	s.t.Helper()
	meta, err := s.history.meta("recovered", offset, 0)
	require.NoError(s.t, err)
	require.Equal(s.t, index, meta.ConfigurationIndex)
	require.Len(s.t, meta.Configuration.Servers, count)
	require.EqualValues(s.t, 17, s.history.newest())
}

// TestTheNoteOfWhatIsInstalledIsKept, though a later snapshot has a note: that one can't be read, and the store went back to before it.
func TestTheNoteOfWhatIsInstalledIsKept(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b", "c")
	s.store(1, 2)
	s.committed = func() uint64 { return 2 }
	s.store(1, 10)
	s.apply(9)
	s.keep()
	require.NoError(t, os.WriteFile(snapshot.Path(s.history.ends.dir, 9), []byte("damaged"), 0o600))
	s = s.again()
	require.EqualValues(t, 2, s.replica.Applied())
	f, in := s.receive(snapshotOf(t, 6), 6, 1)
	require.NoError(t, f.Restore(in))
	require.NoError(t, in.Close())
	require.NoError(t, s.DeleteRange(1, 10), "as raft does after an install")
	meta, err := s.history.meta("recovered", 6, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, meta.Term)
	require.NoError(t, s.replica.DB().Close())
}

// TestASnapshotThatIsWithdrawnGetsNoNote: Status has listed the snapshots while an install had made its own, and reads the log where that is
// withdrawn, as where there is no room for it. The log has a worthless entry there.
func TestASnapshotThatIsWithdrawnGetsNoNote(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b", "c")
	s.store(1, 5)
	s.apply(5)
	s.members(2, "stranger")
	s.store(2, 9)
	require.ErrorIs(t, s.history.noteEnd(8), errNoEntry)
	require.NotContains(t, s.history.ends.notes, uint64(8))
	require.NoError(t, s.replica.DB().Close())
}

// TestASnapshotHasItsNoteBeforeItIsTaken: the store truncates its log once it is, which can be up to its end, where a later one is left from an
// install that failed. Then the entry is gone. Notes of those that were never taken don't pile up.
func TestASnapshotHasItsNoteBeforeItIsTaken(t *testing.T) {
	for _, first := range []uint64{0, 2} {
		t.Run(fmt.Sprint("the first one ends with ", first), func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.members(1, "a", "b", "c")
			s.store(1, 9)
			var want []uint64
			if first > 0 {
				s.apply(first)
				s.keep()
				want = append(want, first)
			}
			for offset := first + 1; offset < 8; offset++ {
				s.apply(offset)
				s.keepInVain()
				require.Equal(t, append(want, offset), slices.Sorted(maps.Keys(s.history.ends.notes)))
			}
			s.apply(9)
			s.keep()
			s.requireNoted()
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// keepInVain notes a snapshot that isn't taken, as where the disk is full or the node dies.
func (s *shelf) keepInVain() {
	s.t.Helper()
	state, err := s.replica.Snapshot()
	require.NoError(s.t, err)
	ended, end := context.WithCancel(context.Background())
	end()
	require.ErrorIs(s.t, s.history.keep(ended, state), context.Canceled)
}

// TestASnapshotKeepsItsNoteThoughALaterOneIsNoted: the later one was never taken, and the store went back to before it. The state of the next one
// is as of an entry before it, and the consensus applies more until the store has taken that.
func TestASnapshotKeepsItsNoteThoughALaterOneIsNoted(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b")
	s.store(1, 30)
	s.apply(10)
	s.keep()
	s.apply(20)
	s.keepInVain()
	s = s.again()
	require.EqualValues(t, 10, s.replica.Applied())
	s.apply(15)
	state, err := s.replica.Snapshot()
	require.NoError(t, err)
	s.apply(25)
	require.NoError(t, s.history.keep(t.Context(), state))
	require.NoError(t, s.DeleteRange(1, 15), "as raft does afterwards")
	metas, err := s.history.noted()
	require.NoError(t, err)
	require.EqualValues(t, 15, metas[0].Index, "so that a node which is sent it can go on with the log")
	require.NoError(t, s.replica.DB().Close())
}

// TestNoSnapshotIsNotedWithoutMembers: the only one can't be read, and the store goes back to before it. The state of the next one is as of an
// entry before that, and what the notes say begins with that once more is applied.
func TestNoSnapshotIsNotedWithoutMembers(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b")
	s.store(1, 30)
	s.apply(20)
	s.keep()
	require.NoError(t, os.WriteFile(snapshot.Path(s.history.ends.dir, 20), []byte("damaged"), 0o600))
	s = s.again()
	require.Zero(t, s.replica.Applied())
	s.apply(15)
	state, err := s.replica.Snapshot()
	require.NoError(t, err)
	s.apply(25)
	require.NoError(t, s.history.save())
	require.ErrorIs(t, s.history.keep(t.Context(), state), errNoEntry)
	s.keep()
	meta, err := s.history.meta("recovered", 25, 0)
	require.NoError(t, err)
	require.Len(t, meta.Configuration.Servers, 2)
	require.NoError(t, s.replica.DB().Close())
}

// rotten is a log of which an entry can't be read.
type rotten struct {
	entryLog
	entry uint64
}

func (r rotten) Read(offset uint64) (kv.Entry, error) {
	if offset == r.entry {
		return kv.Entry{}, kv.ErrCorrupt
	}
	return r.entryLog.Read(offset)
}

// TestAnEntryThatIsNotNeededMayBeDamaged: that of a snapshot which is gone, since the store has taken others.
func TestAnEntryThatIsNotNeededMayBeDamaged(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b")
	s.store(1, 9)
	for _, offset := range []uint64{3, 5, 7} {
		s.apply(offset)
		s.keep()
	}
	require.Contains(t, s.history.ends.notes, uint64(3))
	require.NoFileExists(t, snapshot.Path(s.history.ends.dir, 3))
	_, err := openHistory(s.stable, rotten{s.log, 3}, s.history.ends.dir)
	require.NoError(t, err)
	require.NoError(t, s.replica.DB().Close())
}

// TestAnEntryThatTheLogHasIsNotStoredAgain, so that its members stay noted.
func TestAnEntryThatTheLogHasIsNotStoredAgain(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a", "b")
	s.store(1, 3)
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 1, Term: 2}), kv.ErrOutOfRange)
	require.EqualValues(t, 1, s.history.newest())
	require.NoError(t, s.replica.DB().Close())
}

// TestALeaderWhoseDiskRefusedMembersGoesOn: once there is room it leads all members, and can change them.
func TestALeaderWhoseDiskRefusedMembersGoesOn(t *testing.T) {
	c, log := newTrioWithRefusals(t, func(*Options) {})
	c.lead("b")
	c.put("key", "1")
	b := c.nodes["b"]
	log.appends.Store(true)
	require.Error(t, b.remove(soon(t), "c"))
	log.appends.Store(false)
	c.put("key", "2")
	c.lead("b")
	c.put("key", "3")
	for _, name := range c.names {
		c.requireShows(name, "key", "3")
	}
	waitUntil(t, func() bool { return c.nodes[c.leader()].remove(soon(t), "a") == nil })
}

// TestANodeThatHadWorthlessMembersCountsAllOfThem lets a leader that is cut off remove a node, in an entry that no other one gets. It is sent a
// snapshot, and opened again: it must not take two nodes for all.
func TestANodeThatHadWorthlessMembersCountsAllOfThem(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.TrailingLogs = 1 })
	c.lead("b")
	c.put("key", "1")
	for _, name := range c.names {
		c.requireShows(name, "key", "1")
		c.checkpoint(name)
	}
	c.net.isolate("b", true)
	require.Error(t, c.nodes["b"].remove(soon(t), "c"))
	waitUntil(t, func() bool { return !c.nodes["b"].Leads() && (c.nodes["a"].Leads() || c.nodes["c"].Leads()) })
	c.fill("", 50)
	for range 2 {
		c.put("key", "2")
		c.checkpoint(c.leader())
	}
	c.net.isolate("b", false)
	for i := range 5 { // So that it recovers more than the snapshot.
		c.put("more", fmt.Sprint(i))
		c.requireShows("b", "more", fmt.Sprint(i))
	}
	c.stop("b")
	c.open("b")
	nodes, err := c.nodes["b"].Members(soon(t))
	require.NoError(t, err)
	require.Len(t, nodes, 3)
	require.Equal(t, c.nodes["a"].history.newest(), c.nodes["b"].history.newest())
}

// TestAnInstallLosesNothingThatWasAcknowledged: b has an entry that it and a agreed upon, and is sent a snapshot of the entry before that, since
// it can't append. Then a is lost.
func TestAnInstallLosesNothingThatWasAcknowledged(t *testing.T) {
	c, log := newTrioWithRefusals(t, func(o *Options) { o.TrailingLogs, o.CommitEvery = 1, time.Minute })
	c.lead("a")
	c.put("key", "1")
	a := c.nodes["a"]
	c.net.isolate("c", true)
	c.put("key", "2")
	c.put("key", "3")
	c.checkpoint("a")
	end := a.replica.Applied()
	_, err := a.DB().Put([]byte("acknowledged"), []byte("1"))
	require.NoError(t, err)
	c.stop("b")
	log.appends.Store(true)
	b := c.open("b")
	pending := make(chan error, 1)
	go func() { // It is never agreed upon, and keeps a from saying what is.
		_, err := a.DB().Put([]byte("pending"), []byte("1"))
		pending <- err
	}()
	waitUntil(t, func() bool { return b.replica.Applied() >= end })
	c.net.isolate("c", false)
	c.net.isolate("a", true)
	log.appends.Store(false)
	waitUntil(t, func() bool { return c.nodes["b"].Leads() || c.nodes["c"].Leads() })
	require.Error(t, <-pending)
	require.NoError(t, b.Linearizable(soon(t)))
	has, err := b.DB().Has([]byte("acknowledged"))
	require.NoError(t, err)
	require.True(t, has)
}

// TestALogThatEndsWhereASnapshotDoesGoesOn: the node's last entry has the index of the snapshot's, and was never agreed upon.
func TestALogThatEndsWhereASnapshotDoesGoesOn(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.TrailingLogs = 1 })
	c.lead("b")
	c.put("key", "1")
	for _, name := range c.names {
		c.requireShows(name, "key", "1")
	}
	b := c.nodes["b"]
	c.net.isolate("b", true)
	for range 30 {
		b.engine().raft.Apply([]byte("worthless"), time.Second)
	}
	waitUntil(t, func() bool { return !b.Leads() && (c.nodes["a"].Leads() || c.nodes["c"].Leads()) })
	_, end := b.replica.Log().Bounds()
	leader := c.nodes[c.leader()]
	for leader.replica.Applied() < end {
		c.put("key", "2")
	}
	require.Equal(t, end, leader.replica.Applied())
	for _, name := range []string{"a", "c"} {
		c.requireShows(name, "key", "2")
		c.checkpoint(name)
	}
	c.net.isolate("b", false)
	c.put("key", "3")
	c.requireShows("b", "key", "3")
}
