package kv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// script is a consensus that does what a test says.
type script struct {
	replica *Replica
	propose func(record []byte) error
	due     chan struct{} // Gets a token for each checkpoint that is due, if there is room.
}

func (c *script) Propose(record []byte) error { return c.propose(record) }

func (c *script) Checkpoint(ctx context.Context) error {
	_, err := c.replica.DB().Checkpoint(ctx)
	select {
	case c.due <- struct{}{}:
	default:
	}
	return err
}

// enter appends an entry to the log of a replica and applies it.
func (c *script) enter(kind uint8, record, applied []byte) error {
	_, last := c.replica.Log().Bounds()
	if err := c.replica.Log().Append(last, []Entry{{Offset: last + 1, Term: 1, Kind: kind, Data: record}}); err != nil {
		return err
	}
	return c.replica.Apply(last+1, applied)
}

// agree is what a consensus of one node does.
func (c *script) agree(record []byte) error { return c.enter(kindCommand, record, record) }

// openScript opens a replica with a consensus that agrees, unless a test says otherwise.
func openScript(t *testing.T, opts Options) *script {
	t.Helper()
	c := &script{due: make(chan struct{}, 1)}
	c.propose = c.agree
	r, err := OpenReplica(storeDir, opts, Member{testCluster, "one"}, c)
	require.NoError(t, err)
	c.replica = r
	t.Cleanup(func() {
		require.NoError(t, r.DB().Close())
		requireSound(t, storeDir, opts)
	})
	return c
}

// foreign returns the proposal of another node that puts a key, made on a commit.
func foreign(base uint64, key, value string) []byte {
	return newProposal(1, base, appendRecord(nil, 0, []Mutation{{Kind: MutationPut, Key: []byte(key), Value: []byte(value)}}))
}

func TestAReplicaDoesWhatAStoreDoes(t *testing.T) {
	mem := vfs.NewMem()
	c := openScript(t, memOptions(mem))
	db := c.replica.DB()
	require.EqualValues(t, 1, put(t, db, "a", "1"))
	require.NoError(t, c.enter(kindNoOp, []byte("no-op"), nil))
	require.EqualValues(t, 3, put(t, db, "b", "2"), "a no-op has an offset, too")
	require.NoError(t, db.Update(func(tx *Tx) error {
		value, err := tx.Get([]byte("a"))
		return errors.Join(err, tx.Put([]byte("c"), append(value, '+')))
	}))
	require.ErrorIs(t, db.Update(func(*Tx) error { return ErrNotFound }), ErrNotFound)
	offset, err := db.DeleteRange([]byte("b"), []byte("c"))
	require.NoError(t, err)
	require.EqualValues(t, 5, offset)
	requireHolds(t, db, "a=1", "c=1+")

	view, err := db.At(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, []string{"a=1", "b=2"}, lines(view.Scan(Range{})))
	var offsets []uint64
	for commit, err := range db.Commits(0) {
		require.NoError(t, err)
		offsets = append(offsets, commit.Offset)
	}
	require.Equal(t, []uint64{1, 3, 4, 5}, offsets, "what is no commit isn't shown")
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
	put(t, db, "d", "4")

	opts := memOptions(mem.Exit())
	opts.ReadOnly = true
	reader, err := Open(storeDir, opts)
	require.NoError(t, err)
	requireHolds(t, reader, "a=1", "c=1+")
	require.EqualValues(t, 5, reader.Offset(), "the last entry knew no later one to be agreed upon")
	disk, err := OpenDiskView(t.Context(), storeDir, opts)
	require.NoError(t, err)
	require.Equal(t, reader.Offset(), disk.Offset())
	require.NoError(t, errors.Join(reader.Close(), disk.Close()))
}

func TestAReplicaShowsOnlyWhatIsAgreedUpon(t *testing.T) {
	mem := vfs.NewMem()
	c := openScript(t, memOptions(mem))
	db, log := c.replica.DB(), c.replica.Log()
	put(t, db, "a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	var seen []string
	var watching sync.WaitGroup
	commits := db.Watch(ctx, WatchOptions{From: 1})
	watching.Go(func() {
		for commit, err := range commits {
			if err != nil {
				return
			}
			seen = append(seen, fmt.Sprintf("%d %s", commit.Offset, commit.Mutations[0].Key))
			if commit.Offset == 4 {
				cancel()
			}
		}
	})
	require.NoError(t, log.Append(1, []Entry{
		{Offset: 2, Term: 1, Data: foreign(1, "cut", "")},
		{Offset: 3, Term: 1, Data: foreign(2, "cut", "")},
	}))
	requireHolds(t, db, "a=1")
	require.EqualValues(t, 1, c.replica.Applied())
	for from := range uint64(4) {
		for commit, err := range db.Commits(from) {
			require.NoError(t, err)
			require.EqualValues(t, 1, commit.Offset)
		}
	}
	require.NoError(t, log.DropBack(1))
	require.NoError(t, log.Append(1, []Entry{
		{Offset: 2, Term: 2, Data: foreign(1, "b", "2")},
		{Offset: 3, Term: 2, Data: foreign(1, "late", "")},
		{Offset: 4, Term: 2, Data: foreign(2, "c", "3")},
	}))
	require.NoError(t, c.replica.Apply(2, foreign(1, "b", "2")))
	require.ErrorIs(t, c.replica.Apply(3, foreign(1, "late", "")), ErrConflict)
	require.NoError(t, c.replica.Apply(4, foreign(2, "c", "3")))
	watching.Wait()
	require.Equal(t, []string{"1 a", "2 b", "4 c"}, seen)
	require.Error(t, log.DropBack(3), "what was applied is agreed upon")
	require.ErrorIs(t, c.replica.Apply(5, nil), ErrOutOfRange)

	require.NoError(t, log.Append(4, []Entry{{Offset: 5, Term: 2, Kind: kindNoOp}}))
	reopened, err := OpenReplica(storeDir, memOptions(mem.Exit()), Member{testCluster, "one"}, c)
	require.NoError(t, err)
	requireHolds(t, reopened.DB(), "a=1", "b=2", "c=3")
	require.EqualValues(t, 4, reopened.Applied(), "entry 5 may still be cut")
	require.NoError(t, reopened.DB().Close())
}

// TestOutcomesAreHonest is every answer of a consensus, with and without the entry being applied.
func TestOutcomesAreHonest(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		sentence string
		propose  func(c *script, record []byte) error
		want     error // nil: it happened.
		happened bool
	}{
		{"it was applied", (*script).agree, nil, true},
		{
			"it was applied, and then the consensus lost its leadership",
			func(c *script, record []byte) error { return errors.Join(c.agree(record), ErrUndecided) }, nil, true,
		},
		{"it was applied, whatever the consensus says", func(c *script, record []byte) error {
			return errors.Join(c.agree(record), ErrNotLeader)
		}, nil, true},
		{"it was never proposed", func(*script, []byte) error { return ErrNotLeader }, ErrNotLeader, false},
		{"it came back refused", func(c *script, record []byte) error {
			return errors.Join(c.enter(kindCommand, foreign(1, "b", ""), foreign(1, "b", "")), c.agree(record))
		}, ErrConflict, false},
		{"its fate is open", func(*script, []byte) error { return ErrUndecided }, ErrUndecided, false},
		{"its fate is open, since it lost its leadership", func(*script, []byte) error {
			return errors.Join(ErrNotLeader, ErrUndecided)
		}, ErrUndecided, false},
		{"something else went wrong", func(*script, []byte) error { return broken }, ErrUndecided, false},
		{"the consensus is done, but nothing came here", func(*script, []byte) error { return nil }, ErrUndecided, false},
		{"the same bytes were applied from other memory", func(c *script, record []byte) error {
			return c.enter(kindCommand, record, append([]byte{}, record...))
		}, ErrUndecided, true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := openScript(t, memOptions(vfs.NewMem()))
			put(t, s.replica.DB(), "a", "1")
			s.propose = func(record []byte) error { return c.propose(s, record) }
			_, err := s.replica.DB().Put([]byte("key"), nil)
			if c.want == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.want)
			}
			if errors.Is(c.want, ErrConflict) || errors.Is(c.want, ErrNotLeader) {
				require.ErrorContains(t, err, "nothing was changed")
			} else if err != nil {
				require.NotContains(t, err.Error(), "nothing was changed")
			}
			has, err := s.replica.DB().Has([]byte("key"))
			require.NoError(t, err)
			require.Equal(t, c.happened, has)
			s.propose = s.agree
			put(t, s.replica.DB(), "z", "it goes on")
		})
	}
}

func TestCommitsGatherWhileOneIsInFlight(t *testing.T) {
	c := openScript(t, memOptions(vfs.NewMem()))
	db := c.replica.DB()
	held, release, proposals := make(chan struct{}), make(chan struct{}), 0
	c.propose = func(record []byte) error {
		if proposals++; proposals == 1 {
			close(held)
			<-release
		}
		return c.agree(record)
	}
	var committing sync.WaitGroup
	add := func() {
		committing.Go(func() {
			assert.NoError(t, db.Update(func(tx *Tx) error {
				value, err := tx.Get([]byte("count"))
				count, _ := strconv.Atoi(string(value))
				return errors.Join(ignoreNotFound(err), tx.Put([]byte("count"), []byte(strconv.Itoa(count+1))))
			}))
		})
	}
	add()
	<-held
	for range 8 {
		add()
	}
	waitUntil(t, func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return len(db.layers) == 2 && len(c.replica.proposals.queue[0].mutations) == 8*len(appendRecord(nil, 0, []Mutation{
			{Kind: MutationPut, Key: []byte("count"), Value: []byte("2")},
		}))
	})
	_, err := db.Get([]byte("count"))
	require.ErrorIs(t, err, ErrNotFound, "nothing shows before it is applied")
	close(release)
	committing.Wait()
	requireHolds(t, db, "count=9")
	require.Equal(t, 2, proposals, "eight commits were one entry")
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// TestWhatWasMadeOnACommitThatDidNotHappenIsRefused is of commits that gather on top of one in flight, and of a function that only reads.
func TestWhatWasMadeOnACommitThatDidNotHappenIsRefused(t *testing.T) {
	for _, answer := range []error{ErrNotLeader, ErrConflict, ErrUndecided} {
		c := openScript(t, memOptions(vfs.NewMem()))
		db := c.replica.DB()
		held, release := make(chan struct{}), make(chan struct{})
		c.propose = func([]byte) error {
			close(held)
			<-release
			return answer
		}
		outcomes := make(chan error, 3)
		go func() {
			_, err := db.Put([]byte("first"), nil)
			outcomes <- err
		}()
		<-held
		read := make(chan error, 2)
		var seen sync.WaitGroup // They hold the store's lock until they wait for the first commit.
		seen.Add(2)
		for _, writes := range []bool{false, true} {
			go func() {
				read <- db.Update(func(tx *Tx) error {
					defer seen.Done()
					_, err := tx.Get([]byte("first"))
					if writes {
						err = errors.Join(err, tx.Put([]byte("second"), nil))
					}
					return err
				})
			}()
		}
		seen.Wait()
		close(release)
		require.ErrorIs(t, <-outcomes, answer)
		for range 2 {
			err := <-read
			require.True(t, errors.Is(err, answer) || errors.Is(err, ErrConflict), "%v", err)
		}
		require.Empty(t, lines(db.Scan(Range{})))
	}
}

func TestADueCheckpointIsTheConsensusBusiness(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.CheckpointFloor, opts.SnapshotsKept = 2000, 1
	c := openScript(t, opts)
	for i := range 40 {
		put(t, c.replica.DB(), strconv.Itoa(i), string(make([]byte, 100)))
	}
	<-c.due
	require.Positive(t, c.replica.DB().Stats().Checkpoints.Offset)
}

func TestAReplicaThatSweepsAgreesWithOneWhoseClockIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader, follower := openScript(t, memOptions(vfs.NewMem())), (*script)(nil)
		opts := memOptions(vfs.NewMem())
		opts.Clock = func() time.Time { return time.Unix(1, 0) }
		follower = openScript(t, opts)
		follower.propose = func([]byte) error { return ErrNotLeader }
		leader.propose = func(record []byte) error {
			err := follower.enter(kindCommand, record, append([]byte{}, record...))
			return errors.Join(err, leader.agree(record))
		}
		_, err := leader.replica.DB().PutTTL([]byte("session"), nil, time.Second)
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, leader.replica.DB().Stats().Swept)
		require.Equal(t, leader.replica.Applied(), follower.replica.Applied())
		require.Zero(t, follower.replica.DB().Stats().Keys)
	})
}

func TestAReplicaOnAFullDiskRefusesAndGoesOn(t *testing.T) {
	mem := vfs.NewMem()
	c := openScript(t, memOptions(mem))
	put(t, c.replica.DB(), "a", "1")
	mem.SetCapacity(1)
	var refused error
	for range 200 { // There is some room left for the first ones.
		if _, refused = c.replica.DB().Put([]byte("b"), make([]byte, 500)); refused != nil {
			break
		}
	}
	require.ErrorIs(t, refused, ErrNoSpace)
	require.ErrorIs(t, refused, ErrUndecided, "another node may have the entry, as far as the store knows")
	mem.SetCapacity(0)
	put(t, c.replica.DB(), "b", "2")
	requireHolds(t, c.replica.DB(), "a=1", "b=2")
}

func TestAReplicaWhoseLogFailedTakesNoMore(t *testing.T) {
	mem := vfs.NewMem()
	c := &script{propose: func([]byte) error { return ErrNotLeader }}
	r, err := OpenReplica(storeDir, memOptions(mem), Member{testCluster, "one"}, c)
	require.NoError(t, err)
	c.replica = r
	require.NoError(t, c.agree(foreign(0, "a", "1")))
	mem.SetHook(vfs.FailNth(vfs.OpSync, 1, syscall.EIO))
	require.ErrorIs(t, c.agree(foreign(1, "b", "2")), ErrFailed)
	mem.SetHook(nil)
	require.ErrorIs(t, c.agree(foreign(1, "b", "2")), ErrFailed)
	_, err = r.DB().Put([]byte("c"), nil)
	require.ErrorIs(t, err, ErrFailed)
	requireHolds(t, r.DB(), "a=1")
	require.ErrorIs(t, r.DB().Close(), ErrFailed)
	requireSound(t, storeDir, memOptions(mem))
}

func TestAReplicaWithoutItsFileIsNoStore(t *testing.T) {
	mem := vfs.NewMem()
	c := openScript(t, memOptions(mem))
	put(t, c.replica.DB(), "a", "1")
	left := mem.Exit()
	require.NoError(t, left.Remove(storeDir+"/"+replicaName))
	for _, readOnly := range []bool{false, true} {
		opts := memOptions(left)
		opts.ReadOnly = readOnly
		_, err := Open(storeDir, opts)
		require.ErrorIs(t, err, ErrReplica)
	}
	found, err := Check(t.Context(), storeDir, memOptions(left))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.True(t, found[0].Damage)
}

func TestAReplicasLogIsWhatAConsensusNeeds(t *testing.T) {
	c := openScript(t, memOptions(vfs.NewMem()))
	log := c.replica.Log()
	first, last := log.Bounds()
	require.Equal(t, []uint64{1, 0}, []uint64{first, last})
	entries := []Entry{
		{Offset: 1, Term: 2, Kind: 5, Data: []byte("members"), Extensions: []byte("more"), AppendedAt: time.Unix(7, 8).UTC()},
		{Offset: 2, Term: 2, Data: []byte("a command that is no proposal")},
		{Offset: 3, Term: 3, Data: foreign(0, "key", "value"), AppendedAt: time.Unix(9, 0).UTC()},
		{Offset: 4, Term: 3, Kind: 1},
	}
	require.NoError(t, log.Append(0, entries))
	for _, want := range entries {
		got, err := log.Read(want.Offset)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.ErrorIs(t, log.Append(0, []Entry{{Offset: 4}}), ErrOutOfRange, "it is there")
	require.ErrorIs(t, log.Append(0, []Entry{{Offset: 6}}), ErrOutOfRange, "a gap that no snapshot fills")
	require.ErrorIs(t, log.Append(0, []Entry{{Offset: 5}, {Offset: 7}}), ErrOutOfRange, "a gap inside")
	require.ErrorIs(t, log.DropFront(6), ErrOutOfRange)
	require.NoError(t, log.DropFront(3))
	_, err := log.Read(2)
	require.ErrorIs(t, err, ErrTruncated)
	_, err = log.Read(5)
	require.ErrorIs(t, err, ErrOutOfRange)
	require.NoError(t, c.replica.Apply(3, entries[2].Data), "the command that is no proposal changes nothing")
	requireHolds(t, c.replica.DB(), "key=value")
	require.NoError(t, log.DropBack(3))
	require.NoError(t, log.Append(3, []Entry{{Offset: 4, Term: 4, Kind: 1, Data: []byte{}}}))
	first, last = log.Bounds()
	require.Equal(t, []uint64{3, 4}, []uint64{first, last})
}

func TestAWatcherOfAReplicaCatchesUpWithWhatHappened(t *testing.T) {
	c := openScript(t, memOptions(vfs.NewMem()))
	db := c.replica.DB()
	var happened []uint64
	for i := range 3 * streamKept {
		switch i % 5 {
		case 1:
			require.NoError(t, c.enter(kindNoOp, nil, nil))
		case 2:
			require.ErrorIs(t, c.agree(foreign(db.Offset()+9, "refused", "")), ErrConflict)
		default:
			happened = append(happened, put(t, db, strconv.Itoa(i), ""))
		}
	}
	for _, from := range []uint64{1, 2, 3, streamKept, db.Offset() - 3} {
		var seen, want []uint64
		for _, offset := range happened {
			if offset >= from {
				want = append(want, offset)
			}
		}
		for commit, err := range db.Watch(t.Context(), WatchOptions{From: from}) {
			require.NoError(t, err)
			require.NotEqual(t, "refused", string(commit.Mutations[0].Key))
			if seen = append(seen, commit.Offset); len(seen) == len(want) {
				break
			}
		}
		require.Equal(t, want, seen, "from %d", from)
	}
	opts := db.opts
	opts.ReadOnly, opts.member = true, nil
	opts.fs = opts.fs.(*vfs.Mem).Exit()
	reader, err := Open(storeDir, opts)
	require.NoError(t, err)
	last := error(nil)
	for _, last = range reader.Watch(t.Context(), WatchOptions{From: 1}) {
	}
	require.ErrorIs(t, last, ErrReadOnly, "what is only read gets no more")
	require.NoError(t, reader.Close())
}

func TestADamagedReplicaIsNotRepaired(t *testing.T) {
	mem := vfs.NewMem()
	c := &script{propose: nil}
	r, err := OpenReplica(storeDir, memOptions(mem), Member{testCluster, "one"}, c)
	require.NoError(t, err)
	c.replica = r
	require.NoError(t, c.agree(foreign(0, "a", "1")))
	require.NoError(t, c.agree(foreign(1, "b", "2")))
	require.NoError(t, r.DB().Close())
	path := storeDir + "/wal/00000000000000000001.store"
	bytes, err := mem.ReadFile(path)
	require.NoError(t, err)
	clear(bytes[110:130])
	require.NoError(t, mem.WriteFile(path, bytes))
	_, err = OpenReplica(storeDir, memOptions(mem), Member{testCluster, "one"}, c)
	require.ErrorIs(t, err, ErrCorrupt)
	repair, err := PlanRepair(t.Context(), storeDir, memOptions(mem))
	require.NoError(t, err)
	require.NotEmpty(t, repair.Damage)
	require.ErrorIs(t, repair.Apply(t.Context()), ErrReplica, "what was acknowledged may count for agreement")
}
