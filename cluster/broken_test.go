package cluster

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

// stopped returns why the watchdog has stopped a shelf's node.
func (s *shelf) stopped() error {
	s.watch.retire()
	return s.watch.stopped()
}

// endsGoroutine reports whether a function ends its goroutine.
func endsGoroutine(do func()) bool {
	returned, over := false, make(chan struct{})
	go func() {
		defer close(over)
		do()
		returned = true
	}()
	<-over
	return !returned
}

func TestACutIntoWhatIsAppliedStopsTheNode(t *testing.T) {
	for _, c := range []struct {
		sentence string
		do       func(s *shelf) error
	}{
		{"a suffix that begins with an applied entry is to be cut", func(s *shelf) error { return s.DeleteRange(5, 9) }},
		{"the same, where a snapshot has it", func(s *shelf) error {
			_, err := s.replica.DB().Checkpoint(s.t.Context())
			require.NoError(s.t, err)
			return s.DeleteRange(5, 9)
		}},
		{"another entry comes in the place of an applied one", func(s *shelf) error {
			return s.StoreLog(&raft.Log{Index: 5, Term: 2})
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.store(1, 9)
			s.apply(5)
			require.ErrorIs(t, c.do(s), kv.ErrConflict)
			require.ErrorIs(t, s.stopped(), kv.ErrConflict)
			s.requireBounds(1, 9)
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

func TestAfterAnInstallTheLogKeepsWhatTheSnapshotLacks(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.store(1, 9)
	s.apply(5)
	require.NoError(t, s.DeleteRange(1, 9))
	s.requireBounds(6, 9)
	require.NoError(t, s.replica.DB().Close())
}

// TestEntriesThatWouldEndTheProcessAreRefused is of entries on which raft panics when it appends or applies them.
func TestEntriesThatWouldEndTheProcessAreRefused(t *testing.T) {
	for _, c := range []struct {
		sentence string
		entry    raft.Log
		want     error
	}{
		{"a newer program's type", raft.Log{Index: 4, Term: 1, Type: 200}, kv.ErrVersion},
		{"a type of the time before raft's third protocol", raft.Log{Index: 4, Term: 1, Type: raft.LogAddPeerDeprecated}, kv.ErrVersion},
		{"members that can't be decoded", raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: []byte("what?")}, ErrCorrupt},
		{"no members", raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration}, ErrCorrupt},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.store(1, 3)
			require.ErrorIs(t, s.StoreLog(&c.entry), c.want)
			require.ErrorIs(t, s.watch.state(), c.want, "it shows in the status")
			s.requireBounds(1, 3)
			s.store(1, 4)
			require.NoError(t, s.watch.state())

			entry := kv.Entry{Offset: 5, Term: 1, Kind: uint8(c.entry.Type), Data: c.entry.Data}
			require.NoError(t, s.log.Append(0, []kv.Entry{entry}), "as another version of this program might have done")
			require.True(t, endsGoroutine(func() { _ = s.GetLog(5, &raft.Log{}) }))
			require.ErrorIs(t, s.stopped(), c.want)
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

func TestAnEntryThatIsAgreedUponAndMissingStopsTheNode(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.store(1, 3)
	s.committed = func() uint64 { return 5 }
	require.ErrorIs(t, s.GetLog(6, &raft.Log{}), raft.ErrLogNotFound, "raft looks for what it may not have")
	require.True(t, endsGoroutine(func() { _ = s.GetLog(4, &raft.Log{}) }))
	require.ErrorIs(t, s.stopped(), ErrCorrupt)
	require.NoError(t, s.replica.DB().Close())
}

func TestRaftBeginsAgainWhereEntriesWereCutAndNoneCouldBeAppended(t *testing.T) {
	s := openShelf(t, t.TempDir())
	sick := &sickLog{entryLog: s.log}
	s.log = sick
	s.store(1, 9)
	require.NoError(t, s.DeleteRange(7, 9))
	s.store(2, 8)
	require.Zero(t, s.shortenings)
	sick.fallIll(kv.ErrNoSpace, nil)
	for range 2 {
		require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 9, Term: 2}), kv.ErrNoSpace)
		require.Zero(t, s.shortenings, "nothing was cut")
	}
	require.NoError(t, s.DeleteRange(8, 8))
	for range 2 {
		require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 8, Term: 3}), kv.ErrNoSpace)
		require.Equal(t, 1, s.shortenings)
	}
	require.NoError(t, s.replica.DB().Close())
}

// TestAFollowerWhoseDiskIsFullAsItsLogDivergesGoesOn is of raft, which still counts the entries that were cut.
func TestAFollowerWhoseDiskIsFullAsItsLogDivergesGoesOn(t *testing.T) {
	c, logs := newSickTrio(t)
	c.put("before", "1")
	old := c.leader()
	c.net.isolate(old, true)
	node := c.nodes[old]
	for range 20 {
		node.engine().raft.Apply([]byte("worthless"), time.Second)
	}
	waitUntil(t, func() bool { return !node.Leads() })
	c.put("key", "1")
	logs[old].fallIll(kv.ErrNoSpace, nil)
	c.net.isolate(old, false)
	waitUntil(t, func() bool { return errors.Is(node.Ready(soon(t)), kv.ErrNoSpace) })
	logs[old].fallIll(nil, nil)
	c.put("key", "2")
	c.requireShows(old, "key", "2")
	c.requireAlike()
}

func TestANodeThatCannotReadItsLogAtTheStartIsRefused(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "value")
	c.stop("alone")
	o := c.options("alone")
	o.disk = func(on entryLog) entryLog { return unreadable{on} }
	_, err := Open(soon(t), filepath.Join(c.dir, "alone"), o)
	require.ErrorIs(t, err, ErrStopped)
	require.ErrorIs(t, err, kv.ErrFailed)
	c.open("alone")
	c.requireShows("alone", "key", "value")
}

// unreadable is a log that can't be read.
type unreadable struct{ entryLog }

func (unreadable) Read(uint64) (kv.Entry, error) { return kv.Entry{}, kv.ErrFailed }

func TestAVoteThatWasBegunIsNoVoteForTheNodeOfBefore(t *testing.T) {
	mem := vfs.NewMem()
	s, err := openStable(mem, stablePath)
	require.NoError(t, err)
	require.NoError(t, s.SetUint64([]byte(voteTermKey), 7))
	require.NoError(t, s.Set([]byte(voteKey), []byte("b")))
	require.NoError(t, s.SetUint64([]byte(termKey), 8))
	require.NoError(t, s.SetUint64([]byte(voteTermKey), 8), "and then it dies")
	s, err = openStable(mem, stablePath)
	require.NoError(t, err)
	vote, err := s.Get([]byte(voteKey))
	require.NoError(t, err)
	require.Empty(t, vote)
	require.NotNil(t, vote, "raft takes nil for no vote: it might give one to each")
}

func TestAClusterThatWasBeingMadeWhenItsNodeDiedIsMade(t *testing.T) {
	c := &trio{t: t, dir: t.TempDir(), names: []string{"alone"}, net: newNetwork(t), nodes: map[string]*Cluster{}, with: func(*Options) {}}
	t.Cleanup(c.close)
	dir := filepath.Join(c.dir, "alone")
	o := c.options("alone")
	o.BootstrapExpect, o.Join = 0, nil
	c.openWith("alone", o)
	node := c.nodes["alone"]
	require.NoError(t, node.stable.SetUint64([]byte(termKey), 1), "what raft does first")
	c.stop("alone")
	require.DirExists(t, dir)
	c.open("alone")
	c.put("key", "value")
}

func TestASnapshotThatWasDamagedOnItsWayStopsNothing(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "value")
	node := c.nodes["alone"]
	k, err := node.snapshots.Create(1, 1000, 1, raft.Configuration{}, 1, nil)
	require.NoError(t, err)
	_, err = k.Write(make([]byte, 1000))
	require.NoError(t, err)
	require.NoError(t, k.Close())
	_, in, err := node.snapshots.Open(k.ID())
	require.NoError(t, err)
	require.ErrorIs(t, node.fsm.Restore(in), kv.ErrCorrupt)
	require.NoError(t, node.watch.state())
	c.put("key", "again")
}

func TestASnapshotForWhichTheDiskHasNoRoomShowsInTheStatus(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	s := openShelf(t, t.TempDir())
	place := filepath.Join(t.TempDir(), incomingName)
	snaps := &snapshots{history: s.history, watch: s.watch, incoming: place}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	k := &sink{snapshots: snaps, file: full}
	_, err = k.Write(make([]byte, 1000))
	require.ErrorIs(t, err, kv.ErrNoSpace)
	require.NoError(t, k.Cancel())
	require.ErrorIs(t, s.watch.state(), kv.ErrNoSpace)
	s.store(1, 3)
	require.NoError(t, s.watch.state())
	require.NoError(t, s.replica.DB().Close())
}

// receive lets a node with the log of a shelf receive the bytes of a snapshot, and returns what installs it.
func (s *shelf) receive(text []byte, index, term uint64) (*fsm, io.ReadCloser) {
	s.t.Helper()
	snaps := &snapshots{history: s.history, watch: s.watch, incoming: filepath.Join(s.dir, incomingName)}
	k, err := snaps.Create(1, index, term, raft.Configuration{}, 1, nil)
	require.NoError(s.t, err)
	_, err = k.Write(text)
	require.NoError(s.t, err)
	require.NoError(s.t, k.Close())
	_, in, err := snaps.Open(k.ID())
	require.NoError(s.t, err)
	return &fsm{
		ctx: s.t.Context(), replica: s.replica, snapshots: snaps, watch: s.watch, handedOn: s.replica.Applied, diverged: func() {},
	}, in
}

// snapshotOf returns the bytes of a snapshot as of an entry that another node has applied.
func snapshotOf(t *testing.T, index uint64) []byte {
	t.Helper()
	s := openShelf(t, t.TempDir())
	s.store(1, index)
	s.apply(index)
	_, err := s.replica.DB().Checkpoint(t.Context())
	require.NoError(t, err)
	places, err := s.history.ends.places()
	require.NoError(t, err)
	text, err := os.ReadFile(places[0].Path)
	require.NoError(t, err)
	require.NoError(t, s.replica.DB().Close())
	return text
}

func TestANodeThatASnapshotHasMendedIsReady(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.watch.saw(kv.ErrNoSpace)
	f, in := s.receive(snapshotOf(t, 9), 9, 1)
	require.NoError(t, f.Restore(in))
	require.NoError(t, in.Close())
	require.EqualValues(t, 9, s.replica.Applied())
	require.NoError(t, s.watch.state(), "though no entry follows")
	require.NoFileExists(t, f.snapshots.incoming)
	require.NoError(t, s.replica.DB().Close())
}

// TestASnapshotOfWhatIsAppliedChangesNothing: raft would take its members for the latest, and remove entries that it then wants to apply.
func TestASnapshotOfWhatIsAppliedChangesNothing(t *testing.T) {
	for _, index := range []uint64{3, 5} {
		s := openShelf(t, t.TempDir())
		s.store(1, 4)
		s.members(1, "a", "b")
		s.store(1, 7)
		s.apply(5)
		f, in := s.receive(snapshotOf(t, index), index, 1)
		require.ErrorContains(t, f.Restore(in), "5 is applied")
		require.NoError(t, in.Close())
		require.NoError(t, s.watch.state())
		s.requireBounds(1, 7)
		s.requireNoted()
		require.NoError(t, s.replica.DB().Close())
	}
}

func TestASnapshotThatCannotBeInstalledTakesNoRoom(t *testing.T) {
	text := snapshotOf(t, 9)
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		sentence string
		text     []byte
		ctx      context.Context
		want     error
	}{
		{"it is damaged", make([]byte, 1000), t.Context(), kv.ErrCorrupt},
		{"it couldn't be installed", text, ended, context.Canceled},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			f, in := s.receive(c.text, 9, 1)
			f.ctx = c.ctx
			require.ErrorIs(t, f.Restore(in), c.want)
			require.NoError(t, in.Close())
			require.NoFileExists(t, f.snapshots.incoming)
			require.Nil(t, f.snapshots.received())
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// requireNoted shows that the stable file has what the node knows.
func (s *shelf) requireNoted() {
	s.t.Helper()
	read, err := openStable(vfs.OS, s.stable.path)
	require.NoError(s.t, err)
	members, err := readNotes(read.held, membersKey)
	require.NoError(s.t, err)
	require.Equal(s.t, s.history.members.notes, members)
	ends, err := readNotes(read.held, endKey)
	require.NoError(s.t, err)
	require.Equal(s.t, s.history.ends.notes, ends)
}

// TestMembersThatWereRefusedAreNotThoseOfALaterEntry is of a change of the members for which a disk had no room, and of another entry in its
// place, which another leader sends.
func TestMembersThatWereRefusedAreNotThoseOfALaterEntry(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.members(1, "a")
	s.store(1, 3)
	sick := &sickLog{entryLog: s.log}
	s.log = sick
	sick.fallIll(kv.ErrNoSpace, nil)
	members := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "b", Address: "b"}}})
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: members}), kv.ErrNoSpace)
	sick.fallIll(nil, nil)
	s.store(2, 5)
	s.apply(5)
	meta, err := s.history.meta("any", 5, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, meta.ConfigurationIndex)
	require.EqualValues(t, "a", meta.Configuration.Servers[0].ID)
	s.requireNoted()
	require.NoError(t, s.replica.DB().Close())
}

// sickFS is the system's files, of which none can be made once it is sick.
type sickFS struct {
	vfs.FS
	sick    error
	wellFor int // How many files can be made before it falls ill.
}

func (f *sickFS) Create(name string) (vfs.File, error) {
	if f.wellFor--; f.wellFor < 0 && f.sick != nil {
		return nil, f.sick
	}
	return f.FS.Create(name)
}

// notings are the ways in which a node notes something in its stable file, but for votes, each on a shelf with nine entries, of which it has
// applied five. Each is tried again by raft, or by the store, after an error.
func notings(t *testing.T) map[string]func(s *shelf) error {
	text := snapshotOf(t, 20)
	return map[string]func(s *shelf) error{
		"a snapshot was taken": func(s *shelf) error {
			_, err := s.replica.DB().Checkpoint(s.t.Context())
			require.NoError(s.t, err)
			return s.history.noteEnd(5)
		},
		"another node has sent a snapshot": func(s *shelf) error {
			f, in := s.receive(text, 20, 1)
			err := f.Restore(in)
			require.NoError(s.t, in.Close())
			return err
		},
		"members are to be appended": func(s *shelf) error {
			members := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}})
			return s.StoreLog(&raft.Log{Index: 10, Term: 1, Type: raft.LogConfiguration, Data: members})
		},
	}
}

func TestAFailedWriteOfTheStableFileStopsTheNodeWhateverIsNoted(t *testing.T) {
	for sentence, note := range notings(t) {
		t.Run(sentence, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.store(1, 9)
			s.apply(5)
			s.stable.fs = &sickFS{FS: s.stable.fs, sick: syscall.EIO}
			require.ErrorIs(t, note(s), syscall.EIO)
			require.ErrorIs(t, s.stopped(), syscall.EIO)
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

func TestANodeWhoseStableFileHasNoRoomGoesOnOnceThereIsSome(t *testing.T) {
	for sentence, note := range notings(t) {
		t.Run(sentence, func(t *testing.T) {
			s := openShelf(t, t.TempDir())
			s.store(1, 9)
			s.apply(5)
			disk := &sickFS{FS: s.stable.fs, sick: syscall.ENOSPC}
			s.stable.fs = disk
			for range 2 {
				require.ErrorIs(t, note(s), kv.ErrNoSpace)
				require.ErrorIs(t, s.watch.state(), kv.ErrNoSpace)
			}
			disk.sick = nil
			require.NoError(t, note(s))
			require.NoError(t, s.watch.state())
			s.requireNoted()
			require.NoError(t, s.replica.DB().Close())
		})
	}
}

// TestACutOnAFullDiskIsDone is of the notes of members that were cut: raft would still count the entries if it got an error. Others take their
// place once there is room.
func TestACutOnAFullDiskIsDone(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.store(1, 5)
	s.members(1, "a", "b")
	disk := &sickFS{FS: s.stable.fs, sick: syscall.ENOSPC}
	s.stable.fs = disk
	require.NoError(t, s.DeleteRange(4, 6))
	s.requireBounds(1, 3)
	require.ErrorIs(t, s.watch.state(), kv.ErrNoSpace)
	require.Empty(t, s.history.members.notes)
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 4, Term: 2}), kv.ErrNoSpace)
	require.Equal(t, 1, s.shortenings, "raft must count the entries that there are")
	disk.sick = nil
	s.store(2, 6)
	require.NoError(t, s.watch.state())
	s = s.again()
	require.Empty(t, s.history.members.notes)
	s.requireNoted()
	require.NoError(t, s.replica.DB().Close())
}

// TestAnInstallHidesNoFullDisk: the disk has room for the snapshot and its note, but not for those that remain afterwards.
func TestAnInstallHidesNoFullDisk(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.store(1, 5)
	s.apply(5)
	s.members(1, "a", "b") // It isn't agreed upon.
	f, in := s.receive(snapshotOf(t, 9), 9, 1)
	disk := &sickFS{FS: s.stable.fs, wellFor: 1, sick: syscall.ENOSPC}
	s.stable.fs = disk
	require.NoError(t, f.Restore(in))
	require.NoError(t, in.Close())
	require.Negative(t, disk.wellFor)
	require.ErrorIs(t, s.watch.state(), kv.ErrNoSpace)
	require.NoError(t, s.replica.DB().Close())
}

func TestALeaderThatCannotNoteItsSnapshotIsReplaced(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	sick := c.leader()
	node, blocked := c.nodes[sick], filepath.Join(c.dir, sick, consensusName+vfs.TemporarySuffix)
	require.NoError(t, os.MkdirAll(filepath.Join(blocked, "full"), 0o700))
	require.Error(t, consensus{node}.Checkpoint(t.Context()))
	require.ErrorIs(t, node.Ready(soon(t)), ErrStopped)
	require.NoError(t, os.RemoveAll(blocked))
	waitUntil(t, func() bool { return !node.Leads() })
	c.put("key", "2")
	require.NotEqual(t, sick, c.leader())
	c.stop(sick)
	c.open(sick)
	c.requireShows(sick, "key", "2")
}

func TestALeaderWhoseSnapshotsNoteHasNoRoomNotesTheNext(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "1")
	node, disk := c.nodes["alone"], &sickFS{FS: vfs.OS, sick: syscall.ENOSPC}
	node.stable.mu.Lock()
	node.stable.fs = disk
	node.stable.mu.Unlock()
	require.Error(t, consensus{node}.Checkpoint(t.Context()))
	require.ErrorIs(t, node.Ready(soon(t)), kv.ErrNoSpace)
	node.stable.mu.Lock()
	disk.sick = nil
	node.stable.mu.Unlock()
	c.put("key", "2")
	c.checkpoint("alone")
	require.NoError(t, node.Ready(soon(t)))
	metas, err := node.snapshots.List()
	require.NoError(t, err)
	require.EqualValues(t, node.Status().Snapshot, metas[0].Index)
}
