package kv

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

var (
	crashSeed      = flag.Uint64("crash.seed", 1, "the first seed of the crash tests")
	crashWorkloads = flag.Int("crash.workloads", 30, "how many workloads the crash tests run")
)

const (
	// crashNow is the time at which the crash tests begin. Sessions let it pass, and the crashes stand still at an instant.
	crashNow = 1_000_000
	// crashTick is as much as passes at once, at least: more than a unit of the index by deadline.
	crashTick = 2 * deadlineKeyMask
)

func fixedClock(now int64) func() time.Time { return func() time.Time { return time.Unix(0, now) } }

// history is what a crashed store is held against: the state after each offset, and what was promised.
type history struct {
	after        []model // After offset i, at i: the pairs, those that have expired and weren't swept included.
	at           []int64 // The time of the commit.
	acknowledged uint64  // The last offset that was returned to a caller.
	durable      uint64  // The last offset that a power cut must not take.
}

// crashRun is one workload with a power cut, and a death of the process, at random calls.
type crashRun struct {
	t       *testing.T
	replay  string
	random  *rand.Rand // Of the workload.
	dice    *rand.Rand // Of the crashes, so that taking one doesn't change the workload.
	opts    Options
	mu      sync.Mutex // Guards history, dice and states: the log's background makes calls too.
	history history
	model   model
	now     atomic.Int64
	states  int

	checkpoints bool // Sessions take checkpoints, and every policy is tried before every call.
}

// TestCrashLeavesAStateThatWas is the promises P1, P3 and P4: whatever instant the power goes or the process dies, what is
// recovered is the state after one of the commits, and not one before the last that had been promised. What was swept doesn't come
// back, and a sweep takes nothing that has not expired, whatever the clock is.
func TestCrashLeavesAStateThatWas(t *testing.T) {
	states := 0
	for i := range uint64(*crashWorkloads) {
		run := newCrashRun(t, *crashSeed+i)
		states += run.workload()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d states", states)
	require.Positive(t, states)
	if *crashWorkloads >= 10 {
		require.Greater(t, states, 10**crashWorkloads, "the crashes are too rare to find anything")
	}
}

// TestCrashDuringCheckpointsLeavesAStateThatWas is TestCrashLeavesAStateThatWas for checkpoints, with every policy before
// every call. Besides, damage to the newest snapshot must never be more than a longer start.
func TestCrashDuringCheckpointsLeavesAStateThatWas(t *testing.T) {
	states, share := 0, 5
	if testing.Short() { // Under the race detector a workload takes three times as long.
		share = 10
	}
	for i := range uint64(max(1, *crashWorkloads/share)) {
		run := newCrashRun(t, *crashSeed+i)
		run.checkpoints = true
		run.opts.SegmentSize, run.opts.CheckpointFactor = 4<<10, -1
		if i%3 == 2 { // They start by themselves.
			run.opts.CheckpointFactor, run.opts.CheckpointFloor = 0.1, 2000
		}
		states += run.workload()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d states", states)
	require.Greater(t, states, 100)
}

func newCrashRun(t *testing.T, seed uint64) *crashRun {
	run := &crashRun{
		t: t, random: rand.New(rand.NewPCG(seed, 5)), dice: rand.New(rand.NewPCG(seed, 6)), model: model{},
		// The log's background makes calls of its own, so a replay takes the same workload, and nearly the same crashes.
		replay:  fmt.Sprintf("replay: go test ./kv -run %s -crash.seed=%d -crash.workloads=1", t.Name(), seed),
		history: history{after: []model{{}}, at: []int64{0}},
	}
	run.opts = memOptions(vfs.NewMem())
	run.opts.Sync = SyncMode(seed % 3)
	run.now.Store(crashNow)
	run.opts.SyncInterval, run.opts.sweepByHand = time.Hour, true
	run.opts.Clock = func() time.Time { return time.Unix(0, run.now.Load()) }
	return run
}

// workload writes to a store in several sessions, crashes it meanwhile, and returns the number of crashes.
func (r *crashRun) workload() int {
	mem := r.opts.fs.(*vfs.Mem)
	mem.SetHook(func(c vfs.Call) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if c.Op.Changes() {
			r.crash(mem, c)
		}
		return nil
	})
	for range 1 + r.random.IntN(3) {
		r.session()
	}
	mem.SetHook(nil)
	return r.states
}

// session opens the store, writes to it and closes it.
func (r *crashRun) session() {
	db, err := Open(storeDir, r.opts)
	require.NoError(r.t, err, r.replay)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	if r.opts.Sync == SyncAlways {
		commits := db.Watch(r.t.Context(), WatchOptions{})
		watcher.Go(func() { r.watch(commits) })
	}
	for range r.random.IntN(30) {
		offset := r.commit(db)
		synced := r.opts.Sync == SyncAlways
		r.note(func(h *history) { h.acknowledged = offset })
		if r.random.IntN(10) == 0 {
			require.NoError(r.t, db.Sync(), r.replay)
			synced = true
		}
		if r.checkpoints && r.random.IntN(6) == 0 {
			_, err := db.Checkpoint(r.t.Context())
			require.NoError(r.t, err, r.replay)
			synced = true
		}
		if synced {
			r.note(func(h *history) { h.durable = max(h.durable, offset) })
		}
	}
	require.NoError(r.t, db.Close(), r.replay)
	r.note(func(h *history) { h.durable = h.acknowledged })
}

// commit applies a batch or makes a step of a sweep, and returns the offset. Sometimes time passes before.
func (r *crashRun) commit(db *DB) (offset uint64) {
	if r.random.IntN(4) == 0 {
		r.now.Add(crashTick * int64(1+r.random.IntN(3)))
	}
	now := r.now.Load()
	if r.random.IntN(4) == 0 {
		return r.sweep(db, now)
	}
	b := randomBatch(r.random, now)
	if r.random.IntN(8) == 0 {
		b.Put([]byte("large"), randomBytes(r.random, 1000, 6000))
	}
	if r.random.IntN(2) == 0 {
		b.PutDeadline(randomKey(r.random), []byte("session"), time.Unix(0, now+crashTick*int64(r.random.IntN(5))))
	}
	r.foresee(b, now)
	offset, err := db.Apply(b)
	require.NoError(r.t, err, r.replay)
	return offset
}

// sweep makes a step of a sweep. It must delete as many as it may of what has expired, and nothing else.
func (r *crashRun) sweep(db *DB, now int64) (offset uint64) {
	var step Batch
	keys := 1 + r.random.IntN(3)
	step.deleteExpired(headOf(db), now, keys, DefaultMaxCommitSize, nil)
	require.Equal(r.t, min(keys, r.model.swept(now)), step.count, r.replay)
	for _, m := range mutationsOf(&step) {
		pair, found := r.model[string(m.Key)]
		require.True(r.t, found && pair.deadline != 0 && pair.deadline <= now, "%s: swept %q: %+v", r.replay, m.Key, pair)
	}
	if step.count > 0 {
		r.foresee(&step, now)
	}
	offset, _, err := db.sweep(keys, false)
	require.NoError(r.t, err, r.replay)
	require.Len(r.t, r.history.after, int(offset)+1, r.replay)
	require.Equal(r.t, len(r.model), headOf(db).tree.len(), r.replay)
	return offset
}

// foresee notes what a commit will make of the pairs.
func (r *crashRun) foresee(b *Batch, now int64) {
	r.model.apply(mutationsOf(b))
	r.note(func(h *history) { h.after, h.at = append(h.after, maps.Clone(r.model)), append(h.at, now) })
}

// swept counts the pairs that sweeps delete at an instant.
func (m model) swept(now int64) (count int) {
	for _, pair := range m {
		if pair.deadline != 0 && pair.deadline|deadlineKeyMask <= now {
			count++
		}
	}
	return count
}

// watch takes what a watcher was given for promised, until the store is closed.
func (r *crashRun) watch(commits iter.Seq2[Commit, error]) {
	for c, err := range commits {
		if err != nil {
			assert.ErrorIs(r.t, err, ErrClosed)
			return
		}
		r.note(func(h *history) { h.durable = max(h.durable, c.Offset) })
	}
}

// note changes the history, which the log's background reads when a crash is taken under it.
func (r *crashRun) note(change func(h *history)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.history)
}

// crash takes a state that a power cut could leave before this call, and one that the death of the process leaves, and
// requires each to be what was promised.
func (r *crashRun) crash(mem *vfs.Mem, c vfs.Call) {
	policies := vfs.Policies
	if !r.checkpoints {
		if r.dice.IntN(4) != 0 {
			return
		}
		policies = policies[r.dice.IntN(len(policies)):][:1]
	}
	for _, policy := range policies {
		r.requirePromised(mem.Crash(r.dice.Uint64(), policy), r.history.durable, fmt.Sprintf("%v before call %d, %v %s", policy, c.N, c.Op, c.Name))
	}
	if r.dice.IntN(4) == 0 {
		exited := mem.Exit()
		r.requirePromised(exited, r.history.acknowledged, fmt.Sprintf("death before call %d, %v %s", c.N, c.Op, c.Name))
	}
}

// requirePromised opens a store that crashed, requires a state of its history from an offset on, and that it goes on.
func (r *crashRun) requirePromised(mem *vfs.Mem, from uint64, crash string) {
	r.states++
	says := fmt.Sprintf("%s\n%s, promised %d", r.replay, crash, from)
	opts := r.opts
	opts.fs, opts.Sync, opts.CheckpointFactor = mem, SyncAlways, -1
	opts.Clock = fixedClock(r.now.Load())
	if r.dice.IntN(4) == 0 { // It was set back.
		opts.Clock = fixedClock(crashNow)
	}
	if r.checkpoints && r.dice.IntN(8) == 0 {
		r.crashRecovery(opts, r.history.durable, says) // What a death left in the page cache alone, a power cut takes.
	}
	before := opts
	before.fs = mem.Clone()
	reading := opts
	reading.fs = mem.Clone()
	db := r.requireState(opts, from, says)
	if r.dice.IntN(3) == 0 {
		shown := r.requireReading(reading, from, says)
		require.Equal(r.t, lines(db.Scan(Range{})), shown, "%s: open for reading and for writing show different states", says)
	}
	r.damageNewest(before, lines(db.Scan(Range{})), says)
	if r.dice.IntN(2) == 0 {
		r.requireSwept(db, says)
	}
	if r.checkpoints && r.dice.IntN(2) == 0 { // Of what the start found, too, which may not be durable yet.
		_, err := db.Checkpoint(r.t.Context())
		require.NoError(r.t, err, says)
	}
	offset := db.Offset()
	next, err := db.Put([]byte("zz"), []byte("after the crash"))
	require.NoError(r.t, err, says)
	require.Equal(r.t, offset+1, next, says)
	want := lines(db.Scan(Range{}))

	// What was acknowledged after a crash is as safe as what was before: the power goes again.
	again := opts
	again.fs = mem.Crash(r.dice.Uint64(), vfs.Policies[r.dice.IntN(len(vfs.Policies))])
	before.fs = again.fs.(*vfs.Mem).Clone()
	r.damageNewest(before, want, says+", after a second crash")
	require.NoError(r.t, db.Close(), says)
	db, err = Open(storeDir, again)
	require.NoError(r.t, err, says)
	require.Equal(r.t, want, lines(db.Scan(Range{})), "%s, after a second crash", says)
	require.NoError(r.t, db.Close(), says)
	requireSound(r.t, storeDir, again)
}

// requireSwept sweeps a store that crashed: all goes that has expired, as far as sweeps see it, and nothing that is visible.
func (r *crashRun) requireSwept(db *DB, says string) {
	seen, held, swept := lines(db.Scan(Range{})), pairsHeld(db), r.history.after[db.Offset()].swept(db.now())
	for more := true; more; {
		var err error
		_, more, err = db.sweep(1+r.dice.IntN(4), false)
		require.NoError(r.t, err, says)
	}
	require.Equal(r.t, seen, lines(db.Scan(Range{})), "%s, and was swept", says)
	require.Equal(r.t, held-swept, pairsHeld(db), "%s, and was swept", says)
}

// requireState opens a store that crashed and requires a state of its history from an offset on.
func (r *crashRun) requireState(opts Options, from uint64, says string) *DB {
	db, err := Open(storeDir, opts)
	require.NoError(r.t, err, says)
	offset := db.Offset()
	require.GreaterOrEqual(r.t, offset, from, says)
	require.Less(r.t, offset, uint64(len(r.history.after)), says)
	now := max(unixNano(opts.Clock()), r.history.at[offset]) // The store's time is never before its last commit.
	require.Equal(r.t, r.history.after[offset].lines(Range{}, now), lines(db.Scan(Range{})), "%s, recovered %d", says, offset)
	require.Equal(r.t, len(r.history.after[offset]), pairsHeld(db), "%s, recovered %d: what was swept is back, or what wasn't is gone", says, offset)
	return db
}

// requireReading requires that Check finds no damage in the snapshots of a store that crashed, and that it opens for reading with
// a state of its history. It returns the pairs. What Check says of the log is tested where the log is.
func (r *crashRun) requireReading(opts Options, from uint64, says string) []string {
	if places, err := opts.fs.List(storeDir); err != nil || len(places) == 0 {
		return nil // The first open died before it made anything.
	}
	opts.ReadOnly = true
	found, err := Check(r.t.Context(), storeDir, opts)
	if errors.Is(err, ErrNotStore) {
		return nil
	}
	require.NoError(r.t, err, says)
	for _, violation := range found {
		require.False(r.t, violation.Damage, "%s: check: %+v", says, violation)
	}
	db := r.requireState(opts, from, says)
	defer func() { require.NoError(r.t, db.Close(), says) }()
	return lines(db.Scan(Range{}))
}

// crashRecovery lets the power go before each call that an opening makes.
func (r *crashRun) crashRecovery(opts Options, from uint64, says string) {
	mem := opts.fs.(*vfs.Mem).Clone()
	var crashed []*vfs.Mem
	mem.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() {
			crashed = append(crashed, mem.Crash(r.dice.Uint64(), vfs.Policies[r.dice.IntN(len(vfs.Policies))]))
		}
		return nil
	})
	opts.fs = mem
	require.NoError(r.t, r.requireState(opts, from, says).Close(), says)
	mem.SetHook(nil)
	for i, state := range crashed {
		r.states++
		opts.fs = state
		says := fmt.Sprintf("%s, then crashed before call %d of the recovery", says, i)
		require.NoError(r.t, r.requireState(opts, from, says).Close(), says)
	}
}

// damageNewest flips a bit of the newest snapshot: an older one and a longer piece of the log must do.
func (r *crashRun) damageNewest(opts Options, want []string, says string) {
	mem := opts.fs.(*vfs.Mem)
	places, err := snapshot.List(mem, filepath.Join(storeDir, snapshotName))
	require.NoError(r.t, err, says)
	if len(places) == 0 {
		return
	}
	flipBit(r.t, mem, places[0].Path, r.dice.Int64N(8*places[0].Bytes))
	db, err := Open(storeDir, opts)
	require.NoError(r.t, err, "%s, and the newest snapshot was damaged", says)
	require.Equal(r.t, want, lines(db.Scan(Range{})), "%s, and the newest snapshot was damaged", says)
	require.Len(r.t, db.Recovery().Skipped, 1, says)
	require.NoError(r.t, db.Close(), says)
}

// flipBit changes one bit of a file.
func flipBit(t *testing.T, mem *vfs.Mem, path string, bit int64) {
	t.Helper()
	file, err := mem.Open(path)
	require.NoError(t, err)
	var b [1]byte
	_, err = file.ReadAt(b[:], bit/8)
	require.NoError(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = file.WriteAt(b[:], bit/8)
	require.NoError(t, err)
	require.NoError(t, errors.Join(file.Sync(), file.Close()))
}

// TestCrashUnderConcurrentWriters lets several writers share groups, and cuts the power under them. Each writer counts up
// in commits of two pairs, so a recovered store shows for each how far it came.
func TestCrashUnderConcurrentWriters(t *testing.T) {
	const writers, commits = 6, 40
	for seed := *crashSeed; seed < *crashSeed+4; seed++ {
		random := rand.New(rand.NewPCG(seed, 7))
		mem := vfs.NewMem()
		db, err := Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		var started, acknowledged [writers]atomic.Int64
		var seen atomic.Uint64 // By a watcher.
		var mu sync.Mutex
		var states []concurrentCrash
		mem.SetHook(func(c vfs.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if !c.Op.Changes() || random.IntN(2) != 0 || !db.mu.TryLock() {
				return nil // Where a commit is being submitted, its stores into the mapped index would race with the crash.
			}
			defer db.mu.Unlock()
			policy := vfs.Policies[random.IntN(len(vfs.Policies))]
			state := concurrentCrash{seen: seen.Load(), says: fmt.Sprintf("seed %d, %v, call %d", seed, policy, c.N)}
			for w := range writers {
				state.least = append(state.least, acknowledged[w].Load())
			}
			state.mem = mem.Crash(random.Uint64(), policy)
			for w := range writers {
				state.most = append(state.most, started[w].Load())
			}
			states = append(states, state)
			return nil
		})
		var done, watcher sync.WaitGroup
		watched := db.Watch(t.Context(), WatchOptions{})
		watcher.Go(func() {
			for c, err := range watched {
				if err != nil {
					assert.ErrorIs(t, err, ErrClosed)
					return
				}
				seen.Store(c.Offset)
			}
		})
		for w := range writers {
			done.Go(func() {
				for i := int64(1); i <= commits; i++ {
					started[w].Store(i)
					var b Batch
					b.Put(fmt.Appendf(nil, "%d/left", w), fmt.Append(nil, i))
					b.Put(fmt.Appendf(nil, "%d/right", w), fmt.Append(nil, i))
					if _, err := db.Apply(&b); err != nil {
						t.Error(err)
						return
					}
					acknowledged[w].Store(i)
				}
			})
		}
		done.Wait()
		mem.SetHook(nil)
		waitUntil(t, func() bool { return seen.Load() > 0 }) // On a busy machine the watcher may begin only now.
		require.NoError(t, db.Close())
		watcher.Wait()
		require.Greater(t, len(states), 20)
		for _, state := range states {
			state.requirePromised(t)
		}
	}
}

// concurrentCrash is a crashed store, and how far each writer had come for sure and at most.
type concurrentCrash struct {
	mem         *vfs.Mem
	least, most []int64
	seen        uint64 // The last commit that a watcher was given.
	says        string
}

// requirePromised requires that the store has, for each writer, both pairs of a commit between least and most.
func (c *concurrentCrash) requirePromised(t *testing.T) {
	t.Helper()
	says := c.says
	db, err := Open(storeDir, memOptions(c.mem))
	require.NoError(t, err, says)
	require.GreaterOrEqual(t, db.Offset(), c.seen, "%s: a watcher was given a commit that is gone", says)
	for w := range c.least {
		left, right := numberAt(db, fmt.Sprintf("%d/left", w)), numberAt(db, fmt.Sprintf("%d/right", w))
		require.Equal(t, left, right, "%s: writer %d has half a commit", says, w)
		require.GreaterOrEqual(t, left, c.least[w], "%s: writer %d lost an acknowledged commit", says, w)
		require.LessOrEqual(t, left, c.most[w], says)
	}
	require.NoError(t, db.Close(), says)
}

// numberAt returns the number that is the value of a key, 0 where it is absent.
func numberAt(db *DB, key string) (number int64) {
	if value, err := db.Get([]byte(key)); err == nil {
		_, _ = fmt.Sscan(string(value), &number)
	}
	return number
}
