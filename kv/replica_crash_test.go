package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/crashtest"
	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

// replicaCrash is one replica that is told what to do, and whose machine dies before each call that changes something. A peer has what was
// agreed upon, always first.
type replicaCrash struct {
	t      *testing.T
	all    *crashtest.Tally
	replay string
	random *rand.Rand // Of the workload.
	dice   *rand.Rand // Of the crashes.
	mem    *vfs.Mem
	own    *script
	peer   *script

	mu        sync.Mutex // Guards what follows: the log's background makes calls too.
	agreed    []Entry    // What was agreed upon, from offset 1 on.
	after     [][]string // The pairs after each offset, 0 included.
	held      []Entry    // What was acknowledged and is to be in the log, unless a snapshot has it.
	coming    []Entry    // What is being appended.
	kept      int        // How many of held stay when what goes on now is done.
	applied   uint64     // Up to where the replica was told that entries are agreed upon.
	installed uint64     // Up to where a snapshot was installed.
}

// TestEveryCrashOfAReplicaLeavesAPrefixWithAllThatWasAcknowledged is every call with every policy, through appends, cuts, checkpoints and
// installs: what is opened again is the state after one of the entries that were agreed upon, not before what was installed; the log has
// every entry that was acknowledged; and with what follows the state becomes that of a node which never died.
func TestEveryCrashOfAReplicaLeavesAPrefixWithAllThatWasAcknowledged(t *testing.T) {
	want := crashtest.Share(1_500, 20)
	all := crashtest.Run(t, want, func(seed uint64, all *crashtest.Tally) { newReplicaCrash(t, seed, all).run() })
	if !t.Failed() {
		require.GreaterOrEqual(t, all.Distinct(), want)
	}
}

func newReplicaCrash(t *testing.T, seed uint64, all *crashtest.Tally) *replicaCrash {
	r := &replicaCrash{
		t: t, all: all, random: rand.New(rand.NewPCG(seed, 18)), dice: rand.New(rand.NewPCG(seed, 19)), mem: vfs.NewMem(), after: [][]string{nil},
		replay: fmt.Sprintf("replay: go test ./kv -run %s -crash.seed=%d -crash.states=1", t.Name(), seed),
	}
	r.own, r.peer = r.open(r.mem), r.open(vfs.NewMem())
	return r
}

func crashOptions(mem *vfs.Mem) Options {
	opts := memOptions(mem)
	opts.CheckpointFactor, opts.SnapshotsKept, opts.ArchiveDir = -1, 1, replicaArchive
	return opts
}

func (r *replicaCrash) open(mem *vfs.Mem) *script {
	c := &script{due: make(chan struct{}, 1), propose: func([]byte) error { return ErrNotLeader }}
	var err error
	c.replica, err = OpenReplica(storeDir, crashOptions(mem), Member{testCluster, "one"}, c)
	require.NoError(r.t, err, r.replay)
	return c
}

// run does the workload.
func (r *replicaCrash) run() {
	r.mem.SetHook(func(c vfs.Call) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if c.Op.Changes() && !r.t.Failed() {
			r.crash(c)
		}
		return nil
	})
	for range 40 {
		if r.step(); r.t.Failed() {
			break
		}
	}
	r.mem.SetHook(nil)
	assert.NoError(r.t, errors.Join(r.own.replica.DB().Close(), r.peer.replica.DB().Close()), r.replay)
}

func (r *replicaCrash) note(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what()
}

// step does one thing.
func (r *replicaCrash) step() {
	log, own := r.own.replica.Log(), r.own.replica
	switch dice := r.random.IntN(12); {
	case dice < 5: // Entries that are agreed upon, after those that never were are cut.
		agreed := r.agree(1 + r.random.IntN(4))
		r.cut()
		_, last := log.Bounds()
		r.append(agreed, r.agreed[last:])
	case dice < 7:
		r.diverge(1 + r.random.IntN(3))
	case dice < 8:
		r.cut()
	case dice < 10:
		_, err := own.DB().Checkpoint(context.Background())
		assert.NoError(r.t, err, r.replay)
	default:
		if r.random.IntN(2) == 0 { // The log is longer than what is installed, and yet worthless.
			r.diverge(20)
		}
		r.agree(3 + r.random.IntN(4))
		r.install()
	}
}

// diverge appends entries that never will be agreed upon.
func (r *replicaCrash) diverge(count int) {
	var lost []Entry
	_, last := r.own.replica.Log().Bounds()
	for i := range count {
		base := r.own.replica.Applied()
		if i > 0 && r.random.IntN(2) == 0 {
			base = last + uint64(i)
		}
		value := string(randomBytes(r.random, 0, 900/count))
		lost = append(lost, Entry{Offset: last + 1 + uint64(i), Term: 9, Data: foreign(base, "lost", value)})
	}
	r.append(r.own.replica.Applied(), lost)
}

// agree lets the peer agree upon more entries, a few of which are refused or no commits. It returns the last offset.
func (r *replicaCrash) agree(count int) uint64 {
	for range count {
		at := r.peer.replica.Applied() + 1
		seen, _ := r.peer.replica.moment()
		e := Entry{Offset: at, Term: 1, Kind: kindCommand}
		key, value := strconv.Itoa(r.random.IntN(20)), fmt.Sprint(at, " ", r.random.IntN(1e9))
		switch r.random.IntN(6) {
		case 0:
			e.Kind, e.Data = kindNoOp, []byte("no-op")
		case 1:
			e.Data = foreign(seen.accepted+1, key, "refused")
		default:
			e.Data = foreign(seen.accepted, key, value)
		}
		err := r.peer.enter(e.Kind, e.Data, bytes.Clone(e.Data))
		if !errors.Is(err, ErrConflict) {
			require.NoError(r.t, err, r.replay)
		}
		r.note(func() {
			r.agreed = append(r.agreed, e)
			r.after = append(r.after, lines(r.peer.replica.DB().Scan(Range{})))
		})
	}
	return uint64(len(r.agreed))
}

// append appends entries, of which those up to an offset are agreed upon, and applies these.
func (r *replicaCrash) append(agreed uint64, entries []Entry) {
	r.note(func() { r.coming, r.applied = entries, max(r.applied, agreed) })
	assert.NoError(r.t, r.own.replica.Log().Append(agreed, entries), r.replay)
	r.note(func() {
		r.held, r.coming = append(r.held, entries...), nil
		r.kept = len(r.held)
	})
	for offset := r.own.replica.Applied() + 1; offset <= agreed; offset++ {
		err := r.own.replica.Apply(offset, bytes.Clone(r.agreed[offset-1].Data))
		assert.True(r.t, err == nil || errors.Is(err, ErrConflict), "%s: %v", r.replay, err)
	}
}

// cut cuts what isn't applied.
func (r *replicaCrash) cut() {
	applied := r.own.replica.Applied()
	isLeft := func(e Entry) bool { return e.Offset > applied }
	r.note(func() { r.kept = len(slices.DeleteFunc(slices.Clone(r.held), isLeft)) })
	assert.NoError(r.t, r.own.replica.Log().DropBack(applied), r.replay)
	r.note(func() { r.held = r.held[:r.kept] })
}

// install installs the peer's state.
func (r *replicaCrash) install() {
	var state bytes.Buffer
	offset, err := r.peer.replica.DB().Backup(context.Background(), &state)
	require.NoError(r.t, err, r.replay)
	r.note(func() { r.kept, r.applied = 0, offset })
	_, err = r.own.replica.Install(context.Background(), &state)
	assert.NoError(r.t, err, r.replay)
	r.note(func() { r.held, r.installed = nil, offset })
}

// crash judges what a power cut leaves, and what the death of the process leaves.
func (r *replicaCrash) crash(c vfs.Call) {
	at := fmt.Sprintf("%s: before %v of %s", r.replay, c.Op, c.Name)
	for _, policy := range vfs.Policies {
		r.judge(r.mem.Crash(r.dice.Uint64(), policy), 0, fmt.Sprintf("%s, policy %v", at, policy))
	}
	r.judge(r.mem.Exit(), 0, at+", death")
}

// judge opens what is left, unless it was judged before, and compares it with what was promised. The recoveries of a share are cut.
func (r *replicaCrash) judge(mem *vfs.Mem, cuts int, at string) {
	asked := []uint64{r.installed, r.applied, uint64(r.kept), uint64(len(r.held)), uint64(len(r.coming))}
	if r.t.Failed() || !r.all.IsNew(mem, cuts, asked...) {
		return
	}
	if cuts < recoveriesCut && r.dice.IntN(8) < 1+cuts {
		disk := mem.Clone()
		var c *script
		left := crashtest.Cuts(disk, r.dice, func() { c = r.reopen(disk, at) })
		if c != nil {
			assert.NoError(r.t, c.replica.DB().Close(), at)
		}
		for _, cut := range left {
			r.judge(cut.Disk, cuts+1, at+", then in the recovery "+cut.How)
		}
	}
	c := r.reopen(mem, at)
	if c == nil {
		return
	}
	defer func() { assert.NoError(r.t, c.replica.DB().Close(), at) }()
	log, applied := c.replica.Log(), c.replica.Applied()
	assert.GreaterOrEqual(r.t, applied, r.installed, at)
	if !assert.LessOrEqual(r.t, applied, r.applied, "%s: what isn't known to be agreed upon shows", at) {
		return
	}
	assert.Equal(r.t, r.after[applied], lines(c.replica.DB().Scan(Range{})), at)
	first, last := log.Bounds()
	assert.LessOrEqual(r.t, first, applied+1, at)
	known := append(slices.Clone(r.held), r.coming...)
	for offset := first; offset <= last; offset++ {
		e, err := log.Read(offset)
		assert.NoError(r.t, err, at)
		i := slices.IndexFunc(known, func(k Entry) bool { return k.Offset == offset })
		if assert.GreaterOrEqual(r.t, i, 0, "%s: entry %d was never appended", at, offset) {
			assert.Equal(r.t, known[i], e, at)
		}
	}
	if must := r.held[:r.kept]; len(must) > 0 {
		assert.GreaterOrEqual(r.t, last, must[len(must)-1].Offset, "%s: an acknowledged entry is gone", at)
	}
	for commit, err := range c.replica.DB().Commits(0) {
		if !assert.NoError(r.t, err, at) {
			break
		}
		e, err := readEntry(r.agreed[commit.Offset-1].Data)
		assert.NoError(r.t, err, at)
		_, want, err := decodeRecord(e.mutations, nil)
		assert.NoError(r.t, err, at)
		assert.Equal(r.t, withoutPairs(want), commit.Mutations, "%s: commit %d", at, commit.Offset)
	}
	if back := applied - min(applied, uint64(r.dice.IntN(6))); back >= first {
		view, err := c.replica.DB().At(context.Background(), back)
		if !errors.Is(err, ErrTruncated) && assert.NoError(r.t, err, at) {
			assert.Equal(r.t, r.after[back], lines(view.Scan(Range{})), "%s: the state at %d", at, back)
		}
	}
	r.requireArchive(c.replica.DB(), at)
	r.goOn(c, at)
}

// requireArchive requires that archive and log have every entry since the last install, and that the archive has none that wasn't agreed upon.
func (r *replicaCrash) requireArchive(db *DB, at string) {
	archive, err := wal.OpenArchive(db.opts.log(storeDir), replicaArchive, db.walDir())
	if errors.Is(err, fs.ErrNotExist) || !assert.NoError(r.t, err, at) {
		return
	}
	defer func() { assert.NoError(r.t, archive.Close(), at) }()
	segments, whole := archive.Segments(), archive.Last()+1
	for _, segment := range slices.Backward(segments) {
		if segment.Last+1 != whole {
			break
		}
		whole = segment.Base
	}
	assert.True(r.t, whole <= r.installed+1 || whole == r.applied+1, "%s: entries before %d are missing, installed %d", at, whole, r.installed)
	for _, segment := range segments {
		for record, err := range archive.Records(segment.Base) {
			if err != nil && segment.Base < whole || record.Offset > segment.Last {
				break // At a gap, or in the next segment.
			}
			if !assert.NoError(r.t, err, at) || filepath.Dir(segment.Path) != replicaArchive {
				break
			}
			e, err := readEntry(record.Payload)
			assert.NoError(r.t, err, at)
			assert.True(r.t, record.Offset <= r.applied && r.agreed[record.Offset-1].Term == e.term, "%s: the archive has another entry %d", at, record.Offset)
		}
	}
}

// reopen opens what is left, nil where that fails.
func (r *replicaCrash) reopen(mem *vfs.Mem, at string) *script {
	c := &script{propose: func([]byte) error { return ErrNotLeader }}
	var err error
	c.replica, err = OpenReplica(storeDir, crashOptions(mem), Member{testCluster, "one"}, c)
	if !assert.NoError(r.t, err, at) {
		return nil
	}
	return c
}

// goOn gives a replica what it lacks.
func (r *replicaCrash) goOn(c *script, at string) {
	log := c.replica.Log()
	assert.NoError(r.t, log.DropBack(c.replica.Applied()), at)
	_, last := log.Bounds()
	all := uint64(len(r.agreed))
	assert.NoError(r.t, log.Append(all, r.agreed[last:]), at)
	for offset := c.replica.Applied() + 1; offset <= all; offset++ {
		err := c.replica.Apply(offset, r.agreed[offset-1].Data)
		assert.True(r.t, err == nil || errors.Is(err, ErrConflict), "%s: %v", at, err)
	}
	assert.Equal(r.t, r.after[all], lines(c.replica.DB().Scan(Range{})), at)
}
