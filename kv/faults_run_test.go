package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

const (
	faultArchive  = "/data/archive"
	faultRestored = "/data/restored"
)

// faultCommit is a commit of a history, and the pairs after it.
type faultCommit struct {
	mutations []Mutation
	after     model
}

// faultCut is what a power cut left.
type faultCut struct {
	mem   *vfs.Mem
	when  string
	least uint64 // The last commit that it must not have taken.
}

// faultRun is a workload in which a call fails, and what its user knows.
//
// Invariant: commits are what the store shows, each at its offset; the first is none. A commit whose outcome is unknown is in it once
// the store was opened again and has it.
type faultRun struct {
	*testing.T
	says    string
	disk    *faultDisk
	opts    Options
	db      *DB
	commits []faultCommit
	unknown *faultCommit
	durable uint64     // The last commit that a power cut must not take.
	failed  bool       // The store has said that it takes no more.
	cuts    []faultCut // Power cuts.

	watchers sync.WaitGroup
	mu       sync.Mutex // Guards seen.
	seen     []Commit   // By watchers.

	backup, increment       []byte // Those that were made.
	backedUp, incrementedTo uint64
	restored                bool // From them, to faultRestored.

	worked []faultCall // Those of the workload.
}

func newFaultRun(t *testing.T, p faultPoint) *faultRun {
	r := &faultRun{T: t, says: p.replay(), disk: newFaultDisk(p.fault), commits: []faultCommit{{after: model{}}}}
	r.opts = memOptions(r.disk.Mem)
	r.opts.Sync, r.opts.SyncInterval = p.sync, 50*time.Millisecond
	r.opts.ArchiveDir, r.opts.SnapshotsKept, r.opts.CheckpointFactor = faultArchive, 1, -1
	r.opts.Indexes, r.opts.sweepByHand = []Index{{Name: "value", Keys: firstOfValue}}, true
	return r
}

// firstOfValue makes the first byte of a value its index key.
func firstOfValue(_, value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(value) > 0 {
			yield(value[:1])
		}
	}
}

func (r *faultRun) last() uint64 { return uint64(len(r.commits) - 1) }

func (r *faultRun) pairs() model { return r.commits[r.last()].after }

// fails ends the test.
func (r *faultRun) fails(format string, args ...any) {
	r.Helper()
	r.Fatalf("%s\n%s", fmt.Sprintf(format, args...), r.says)
}

// explained requires that an error comes from what failed, and reports whether there is one.
func (r *faultRun) explained(what string, err error) bool {
	r.Helper()
	switch {
	case err == nil:
		return false
	case !r.disk.is(&r.disk.met):
		r.fails("%s: nothing has failed, but: %v", what, err)
	case errors.Is(err, r.disk.fault.kind.err):
	case errors.Is(err, syscall.EIO) && r.disk.is(&r.disk.syncFailed): // Each open file gets the error of a failed sync.
	default:
		r.fails("%s: the error doesn't say what has failed: %v", what, err)
	}
	return true
}

// closedAll requires that nothing is in use.
func (r *faultRun) closedAll(when string) {
	r.Helper()
	if left := r.disk.InUse(); len(left) > 0 {
		r.fails("%s, these are still open: %v", when, left)
	}
}

// open opens the store, again where that fails and the fault is over then.
func (r *faultRun) open() {
	r.disk.trust()
	db, err := Open(storeDir, r.opts)
	if r.explained("open", err) {
		r.closedAll("an open has failed")
		if r.disk.fault.lasts {
			r.disk.lift()
		}
		r.disk.trust()
		if db, err = Open(storeDir, r.opts); err != nil {
			r.fails("the fault is over, but the store doesn't open: %v", err)
		}
	}
	r.opened(db)
	r.db, r.failed = db, false
	r.settle(db, r.last())
	r.watch(db)
}

// settle requires that a store which was opened shows a state from an offset on, and makes that the end of the history.
func (r *faultRun) settle(db *DB, least uint64) {
	r.Helper()
	if r.unknown != nil && db.Offset() == r.last()+1 {
		r.commits = append(r.commits, *r.unknown)
	}
	r.unknown = nil
	r.shows(db, "opened", least)
	r.commits = r.commits[:db.Offset()+1]
}

// shows requires that a store shows the state after one of the commits, from an offset on, in its indexes too.
func (r *faultRun) shows(db *DB, when string, least uint64) {
	r.Helper()
	offset := db.Offset()
	if offset < least || offset > r.last() {
		r.fails("%s: the store shows offset %d, want %d to %d", when, offset, least, r.last())
	}
	now := time.Now().UnixNano()
	want := r.commits[offset].after.lines(Range{}, now)
	if got := lines(db.Scan(Range{})); !slices.Equal(want, got) {
		r.fails("%s: at offset %d the store shows %q, want %q", when, offset, got, want)
	}
	byValue := 0
	for range db.ScanIndex("value", Range{}) {
		byValue++
	}
	if byValue != len(want) {
		r.fails("%s: the index has %d pairs, want %d", when, byValue, len(want))
	}
}

// opened sees to it that a store is closed in any case: its goroutines would keep a test that fails from ending.
func (r *faultRun) opened(db *DB) {
	r.Cleanup(func() {
		r.disk.lift()
		_ = db.Close()
	})
}

// watch keeps what a watcher is given, until the store is closed.
func (r *faultRun) watch(db *DB) {
	r.watchers.Go(func() {
		for c, err := range db.Watch(context.Background(), WatchOptions{}) {
			if err != nil {
				return
			}
			r.mu.Lock()
			r.seen = append(r.seen, c)
			r.mu.Unlock()
		}
	})
	synctest.Wait()
}

// close closes the store.
func (r *faultRun) close() {
	err := r.db.Close()
	r.watchers.Wait()
	synctest.Wait()
	if !r.explained("close", err) {
		r.durable = r.last()
	}
	r.closedAll("the store was closed")
}

// apply makes one commit of a batch.
func (r *faultRun) apply(mutations ...Mutation) {
	r.commit(mutations, func() (uint64, error) {
		if m := mutations[0]; len(mutations) == 1 && m.Kind == MutationPut && m.Deadline.IsZero() {
			return r.db.Put(m.Key, m.Value)
		}
		var b Batch
		for i := range mutations {
			b.add(&mutations[i])
		}
		return r.db.Apply(&b)
	})
}

// commit makes a commit and judges its outcome: done, refused, or unknown.
func (r *faultRun) commit(mutations []Mutation, do func() (uint64, error)) {
	distrusted := r.disk.is(&r.disk.distrusted)
	offset, err := do()
	if errors.Is(err, ErrNoSpace) && !r.disk.fault.lasts {
		r.explained("commit", err)
		r.judge(err)
		if offset, err = do(); errors.Is(err, ErrNoSpace) {
			r.fails("a commit is refused although there is room now: %v", err)
		}
	}
	synctest.Wait()
	made := faultCommit{mutations, maps.Clone(r.pairs())}
	made.after.apply(mutations)
	failed := r.explained("commit", err)
	switch {
	case !failed && (r.failed || distrusted):
		r.fails("commit %d was acknowledged after a sync or a write had failed", offset)
	case !failed && offset != r.last()+1:
		r.fails("the commit after %d has offset %d", r.last(), offset)
	case !failed:
		r.commits = append(r.commits, made)
		if r.opts.Sync == SyncAlways {
			r.durable = r.last()
		}
	case errors.Is(err, ErrUndecided) && r.failed:
		r.fails("a store that has failed took a commit, perhaps: %v", err)
	case errors.Is(err, ErrUndecided):
		r.unknown = &made
	}
	if failed {
		r.judge(err)
	}
	r.shows(r.db, "after a commit", r.last())
}

// judge compares what an error of a commit is with what the store and the disk say.
func (r *faultRun) judge(err error) {
	if full := errors.Is(err, syscall.ENOSPC); errors.Is(err, ErrNoSpace) && !full {
		r.fails("no space is said to be left: %v", err)
	} else if full && !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrFailed) {
		r.fails("a full disk is not said to be full: %v", err)
	}
	if errors.Is(err, ErrUndecided) && !errors.Is(err, ErrFailed) {
		r.fails("a commit is undecided, and the store hasn't failed: %v", err)
	}
	if r.failed = r.failed || errors.Is(err, ErrFailed); r.failed && !errors.Is(r.db.Stats().Failed, ErrFailed) {
		r.fails("the store has failed, and its statistics don't say so")
	}
}

// workload runs the steps on one store, or each on one that is opened for it. It ends early once the store has failed.
func (r *faultRun) workload(reopen bool) {
	r.open()
	for i, step := range faultSteps {
		if i > 0 && reopen {
			r.open()
		}
		step(r)
		synctest.Wait()
		if len(r.cuts) == 0 && r.disk.is(&r.disk.met) {
			r.cutPower("after the step")
		}
		if r.failed {
			r.refusesAll()
		}
		if reopen || r.failed {
			r.close()
		}
		if r.failed && (!reopen || r.disk.fault.lasts) {
			return
		}
	}
	if !reopen {
		r.close()
	}
}

// cutPower keeps what a power cut would leave now. The policy and the seed depend on the point alone.
func (r *faultRun) cutPower(when string) {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(r.says + when))
	seed := hash.Sum64()
	policy := vfs.Policies[seed%uint64(len(vfs.Policies))]
	r.mu.Lock()
	defer r.mu.Unlock()
	cut := faultCut{r.disk.Crash(seed, policy), fmt.Sprintf("the power was cut %s (%v)", when, policy), r.durable}
	if len(r.seen) > 0 && r.opts.Sync == SyncAlways {
		cut.least = max(cut.least, r.seen[len(r.seen)-1].Offset)
	}
	r.cuts = append(r.cuts, cut)
}

// refusesAll requires that a store which has failed takes no more, and goes on with reads.
func (r *faultRun) refusesAll() {
	if _, err := r.db.Put([]byte("more"), nil); !errors.Is(err, ErrFailed) || errors.Is(err, ErrUndecided) {
		r.fails("a put in a store that has failed: %v", err)
	}
	if _, err := r.db.Checkpoint(r.Context()); !errors.Is(err, ErrFailed) {
		r.fails("a checkpoint of a store that has failed: %v", err)
	}
	r.shows(r.db, "after a failure", r.last())
}

// verify lifts the fault and requires that the disk, now and after power cuts, has what was promised.
func (r *faultRun) verify() {
	r.disk.lift()
	r.cutPower("at the end")
	r.requireRestored()
	shown := r.requireWorks(r.disk.Mem, "reopened", r.last(), true)
	r.commits = r.commits[:shown+1]
	for _, c := range r.seen {
		r.sameCommit("a watcher", c)
	}
	for _, cut := range r.cuts {
		r.requireWorks(cut.mem, cut.when, cut.least, false)
	}
}

// requireWorks opens a store and requires a state from an offset on, that a power cut then takes nothing of it, and that it works. It
// returns the offset.
func (r *faultRun) requireWorks(mem *vfs.Mem, when string, least uint64, settles bool) (shown uint64) {
	opts := r.opts
	opts.fs, opts.Sync = mem, SyncAlways
	db, err := Open(storeDir, opts)
	if err != nil {
		r.fails("%s: %v", when, err)
	}
	r.opened(db)
	if settles {
		r.settle(db, least)
	} else {
		r.shows(db, when, least)
	}
	shown = db.Offset()
	r.requireHistory(db, when)
	if settles {
		r.requireDurable(mem.Crash(0, vfs.KeepNone), when)
	}
	if next, err := db.Put([]byte("works"), []byte("again")); err != nil || next != shown+1 {
		r.fails("%s: a put came to %d, %v", when, next, err)
	}
	if _, err := db.Checkpoint(r.Context()); err != nil {
		r.fails("%s: a checkpoint: %v", when, err)
	}
	if err := db.Close(); err != nil {
		r.fails("%s: close: %v", when, err)
	}
	found, err := Check(r.Context(), storeDir, opts)
	if err != nil || len(found) > 0 {
		r.fails("%s: check: %v, %v", when, found, err)
	}
	synctest.Wait() // Close doesn't wait for what reads the log.
	if left := mem.InUse(); len(left) > 0 {
		r.fails("%s: these are still open: %v", when, left)
	}
	return shown
}

// requireDurable requires what a store showed of one whose power was cut then.
func (r *faultRun) requireDurable(mem *vfs.Mem, when string) {
	opts := r.opts
	opts.fs, opts.ReadOnly = mem, true
	db, err := Open(storeDir, opts)
	if err != nil {
		r.fails("%s, and the power was cut: %v", when, err)
	}
	r.opened(db)
	r.shows(db, when+", and the power was cut", r.last())
	if err := db.Close(); err != nil {
		r.fails("%s, and the power was cut: close: %v", when, err)
	}
}

// requireHistory requires that log and archive together have every commit that the store shows.
func (r *faultRun) requireHistory(db *DB, when string) {
	next := uint64(1)
	if db.Offset() == 0 {
		return
	}
	for c, err := range db.Watch(r.Context(), WatchOptions{From: 1}) {
		if err != nil || c.Offset != next {
			r.fails("%s: archive and log have commit %d instead of %d, %v", when, c.Offset, next, err)
		}
		r.sameCommit(when+": the archive or log", c)
		if next++; next > db.Offset() {
			return
		}
	}
}

// sameCommit requires that a commit is the history's.
func (r *faultRun) sameCommit(what string, c Commit) {
	r.Helper()
	if c.Offset > r.last() {
		r.fails("%s has commit %d, the store ends with %d", what, c.Offset, r.last())
	}
	if want := r.commits[c.Offset].mutations; !slices.EqualFunc(want, c.Mutations, equalMutations) {
		r.fails("%s has commit %d as %v, want %v", what, c.Offset, c.Mutations, want)
	}
}

func equalMutations(a, b Mutation) bool {
	return a.Kind == b.Kind && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.End, b.End) && bytes.Equal(a.Value, b.Value) &&
		a.Deadline.Equal(b.Deadline)
}

// requireRestored requires that what was backed up comes back: where the workload has restored it, and again from the start.
func (r *faultRun) requireRestored() {
	if r.backup == nil {
		return
	}
	if !r.restored {
		_, err := r.restore(r.disk.Mem)
		whole := r.disk.fault.lasts && errors.Is(err, ErrNotEmpty) // The first one failed for good, at its last step.
		if err != nil && !whole {
			r.fails("the fault is over, but a restore fails: %v", err)
		}
	}
	r.requireCopy(r.disk.Mem)
	fresh := vfs.NewMem()
	if _, err := r.restore(fresh); err != nil {
		r.fails("a backup that was made can't be restored: %v", err)
	}
	r.requireCopy(fresh)
}

// restore makes a store of the backup and its increment, if there is one.
func (r *faultRun) restore(mem *vfs.Mem) (uint64, error) {
	opts := RestoreOptions{fs: mem}
	if r.increment != nil {
		opts.Increments = append(opts.Increments, bytes.NewReader(r.increment))
	}
	return Restore(r.Context(), bytes.NewReader(r.backup), faultRestored, opts)
}

// requireCopy requires that a restored store has the pairs that were backed up.
func (r *faultRun) requireCopy(mem *vfs.Mem) {
	r.Helper()
	opts := memOptions(mem)
	opts.ReadOnly, opts.Indexes = true, r.opts.Indexes
	db, err := Open(faultRestored, opts)
	if err != nil {
		r.fails("what was restored doesn't open: %v", err)
	}
	r.opened(db)
	want := max(r.backedUp, r.incrementedTo)
	if db.Offset() != want {
		r.fails("%d was restored, want %d", db.Offset(), want)
	}
	r.shows(db, "restored", want)
	require.NoError(r, db.Close())
}
