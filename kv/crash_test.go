package kv

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/crashtest"
	"github.com/walnutkv/walnut/internal/vfs"
)

// crashStart is the time at which workloads begin: the one of a synctest bubble.
const crashStart = 946_684_800_000_000_000

// TestCrashLeavesAStateThatWas is the promises P1 to P5 for the whole engine. It runs generated workloads, and before every call that
// changes the disk it takes a state for each policy, and often the one that the death of the process leaves. Each state opens with what
// it had after one of the commits, and not before the last that had been promised: to a caller, a watcher, a follower or a backup.
// Then it is used, and cut again. The recoveries of a share of the states are cut before every call as well, and theirs again.
//
// A workload runs in a synctest bubble, so the sweeper, checkpoints and followers work by themselves, and no time is spent waiting.
func TestCrashLeavesAStateThatWas(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // A state is garbage at once.
	want := crashtest.Share(9_000, 1)
	all := crashtest.Run(t, want, func(seed uint64, all *crashtest.Tally) { runCrashWorkload(t, seed, all) })
	if !t.Failed() {
		require.GreaterOrEqual(t, all.Distinct(), want)
	}
}

// crashMoment is a store after a commit: its pairs, those that have expired and weren't swept included, and the commit's time.
type crashMoment struct {
	pairs model
	at    int64
}

// crashPromise is what must hold of a state.
type crashPromise struct {
	dir, archive string       // Of the store; no archive is "".
	first        uint64       // The first offset that the store ever had.
	durable      uint64       // The last offset that a power cut must not take.
	acknowledged uint64       // The last offset that was returned to a caller.
	coming       [][]Mutation // Commits that were begun.
	backups      []crashBackup
	restored     bool // The store is being restored: either it isn't one yet, or it has exactly what is durable.
}

// crashState is a state of the disk that is yet to be judged.
type crashState struct {
	crashPromise
	disk *vfs.Mem
	from uint64 // The least offset that it must have.
	how  string
	lot  uint64 // The seed of the dice for what is done to it, so that it doesn't depend on other states.
	now  int64
	cuts int // How many recoveries were cut.
}

// crashRun is one workload.
type crashRun struct {
	t      *testing.T
	seed   uint64
	all    *crashtest.Tally
	random *rand.Rand // Of the workload.

	opts     Options
	db       *DB
	follower *DB
	watchers sync.WaitGroup
	judged   []*DB // Stores that a violation leaves open.
	sweeping []*crashJudge
	fullKept bool // At all times the store has kept two snapshots at least, if it has had any.

	mu      sync.Mutex // Guards what follows: every goroutine of the store makes calls.
	mem     *vfs.Mem
	over    bool          // Its process has ended: what a goroutine of it still does leaves no state.
	after   []crashMoment // After offset i, at i.
	promise crashPromise
	taken   []crashState
	calls   uint64
	fail    int  // The call, counted from now on, that fails; 0 is none.
	failed  bool // One has, since that was asked last.
	broken  bool // One has, since the store was opened: a failed sync of a follower fails the store's next one.
	short   int  // How much of a write is made that fails.
}

func runCrashWorkload(t *testing.T, seed uint64, all *crashtest.Tally) {
	synctest.Test(t, func(t *testing.T) {
		r := &crashRun{
			t: t, seed: seed, all: all, random: rand.New(rand.NewPCG(seed, 5)), fullKept: true,
			after: []crashMoment{{pairs: model{}}}, promise: crashPromise{dir: storeDir, first: 1},
		}
		defer func() {
			for _, left := range append(r.judged, r.db) {
				if left != nil {
					_ = left.Close()
				}
			}
			r.leave()
		}()
		if seed%3 == 0 {
			r.opts.Indexes = []Index{{Name: "value", Keys: valueKey}}
		}
		if seed%2 == 1 {
			r.promise.archive = storeDir + "-archive"
		}
		r.moveTo(vfs.NewMem())
		r.open()
		for range 25 + r.random.IntN(50) {
			r.step()
			r.judgeTaken()
		}
		r.reopen(0)
		r.close()
		r.requireSweepers()
	})
}

// replay says how to see a violation again. Goroutines take turns at the workload's disk, so a replay's calls may come in another order.
func (r *crashRun) replay() string {
	return fmt.Sprintf("seed %d, replay: go test ./kv -run TestCrashLeavesAStateThatWas -crash.seed=%d -crash.states=1", r.seed, r.seed)
}

// require requires that there is no error.
func (r *crashRun) require(err error, says ...any) {
	r.t.Helper()
	require.NoError(r.t, err, "%s: %s", r.replay(), fmt.Sprint(says...))
}

// openToJudge opens a store, which is closed if there is a violation.
func (r *crashRun) openToJudge(dir string, opts Options) (*DB, error) {
	db, err := Open(dir, opts)
	if err == nil {
		r.judged = append(r.judged, db)
	}
	return db, err
}

// moveTo makes a disk the workload's.
func (r *crashRun) moveTo(mem *vfs.Mem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem != nil {
		r.mem.SetHook(nil)
	}
	r.mem, r.opts.fs = mem, mem
	r.fail, r.failed, r.broken, r.over = 0, false, false, false
	mem.SetHook(func(c vfs.Call) error { return r.call(mem, c) })
}

// call is the hook of a disk: it takes states, and fails the call if it is the one.
func (r *crashRun) call(mem *vfs.Mem, c vfs.Call) error {
	if !c.Op.Changes() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.mem != mem {
		return nil
	}
	r.calls++
	if dir := filepath.Dir(c.Name); c.Op == vfs.OpCreate && filepath.Base(dir) == snapshotName && !r.promise.restored {
		r.learnFromLog()
	}
	for i, policy := range vfs.Policies {
		r.take(c, uint64(i), fmt.Sprint(policy), r.promise.durable, func(lot uint64) *vfs.Mem { return r.mem.Crash(lot, policy) })
	}
	if r.calls%4 == 0 {
		r.take(c, uint64(len(vfs.Policies)), "death", r.promise.acknowledged, func(uint64) *vfs.Mem { return r.mem.Exit() })
	}
	if r.fail > 0 {
		if r.fail--; r.fail == 0 {
			r.failed, r.broken = true, true
			if c.Op == vfs.OpWrite {
				return &vfs.ShortWrite{Bytes: min(r.short, int(c.Len)), Err: errDisk}
			}
			return errDisk
		}
	}
	return nil
}

// take takes a state, unless it was judged before. The caller holds mu.
func (r *crashRun) take(c vfs.Call, number uint64, how string, from uint64, left func(lot uint64) *vfs.Mem) {
	lot := r.seed<<32 + r.calls<<4 + number
	disk := left(lot)
	if r.all.IsNew(disk, 0, from, r.promise.acknowledged) {
		how = fmt.Sprintf("%s before call %d, %v %s", how, r.calls, c.Op, c.Name)
		r.taken = append(r.taken, crashState{crashPromise: r.promise, disk: disk, from: from, how: how, lot: lot, now: time.Now().UnixNano()})
	}
}

// judgeTaken judges the states that were taken.
func (r *crashRun) judgeTaken() {
	for {
		r.mu.Lock()
		taken := r.taken
		r.taken = nil
		r.mu.Unlock()
		if len(taken) == 0 {
			return
		}
		for i := range taken {
			newJudge(r, &taken[i]).run()
			taken[i].disk = nil
		}
	}
}

// note changes what is promised.
func (r *crashRun) note(change func(p *crashPromise)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.promise)
}

// moment returns what the store had after an offset, as far as that is known.
func (r *crashRun) moment(offset uint64) (m crashMoment, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if offset < uint64(len(r.after)) {
		return r.after[offset], true
	}
	return r.after[len(r.after)-1], false
}

// explain returns what a commit makes of a store, and what is still to come after it. It must be one that was begun, or a sweep, which
// deletes what has expired and nothing else.
func (m crashMoment) explain(c Commit, coming [][]Mutation) (next crashMoment, left [][]Mutation, err error) {
	made := func(mutations []Mutation) model {
		pairs := maps.Clone(m.pairs)
		pairs.apply(mutations)
		return pairs
	}
	next = crashMoment{pairs: made(c.Mutations), at: c.Time.UnixNano()}
	// What begun commits make may be alike now and differ later, so one that is the same comes first. A transaction's writes may come in
	// another order than they were made in.
	i := slices.IndexFunc(coming, func(begun []Mutation) bool { return slices.EqualFunc(c.Mutations, begun, sameMutation) })
	if i < 0 {
		i = slices.IndexFunc(coming, func(begun []Mutation) bool { return maps.Equal(next.pairs, made(begun)) })
	}
	if i >= 0 {
		return next, append(append(left, coming[:i]...), coming[i+1:]...), nil
	}
	for _, mutation := range c.Mutations {
		pair, found := m.pairs[string(mutation.Key)]
		if mutation.Kind != MutationDelete || !found || pair.deadline == 0 || pair.deadline > next.at {
			return next, coming, fmt.Errorf("commit %d at %d was not begun, and is no sweep: %v of %q, which is %+v",
				c.Offset, next.at, mutation.Kind, mutation.Key, pair)
		}
	}
	if next.at < m.at || len(c.Mutations) == 0 {
		return next, coming, fmt.Errorf("commit %d at %d with %d mutations comes after one at %d", c.Offset, next.at, len(c.Mutations), m.at)
	}
	return next, coming, nil
}

func sameMutation(a, b Mutation) bool {
	return a.Kind == b.Kind && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.End, b.End) && bytes.Equal(a.Value, b.Value) && a.Deadline.Equal(b.Deadline)
}

// learn takes commits of the workload's store for its history.
func (r *crashRun) learn(commits iter.Seq2[Commit, error]) error {
	for c, err := range commits {
		if err != nil {
			return err
		}
		next, left, err := r.after[len(r.after)-1].explain(c, r.promise.coming)
		if err != nil {
			return err
		}
		r.after, r.promise.coming = append(r.after, next), left
	}
	return nil
}

// learnFromLog learns what a checkpoint that begins will truncate. The caller holds mu.
func (r *crashRun) learnFromLog() {
	log, err := OpenLog(r.promise.dir, Options{fs: r.mem.Clone()})
	if errors.Is(err, ErrNotStore) {
		return
	}
	if err == nil {
		if next := uint64(len(r.after)); log.First() <= next && next <= log.Last() {
			err = r.learn(log.Commits(next))
		}
		err = errors.Join(err, log.Close())
	}
	assert.NoError(r.t, err, r.replay())
}

// learnFrom learns what a store shows. Everything that it has is known then.
func (r *crashRun) learnFrom(db *DB) {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown, next := db.Offset(), uint64(len(r.after))
	if next <= shown {
		r.require(r.learn(db.Commits(next)))
	}
	require.GreaterOrEqual(r.t, uint64(len(r.after)), shown+1, r.replay())
}

// valueKey indexes a pair by its value.
func valueKey(_, value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { yield(value[:min(len(value), 20)]) }
}
