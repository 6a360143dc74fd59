package kv

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var (
	crashSeed      = flag.Uint64("crash.seed", 1, "the first seed of the crash tests")
	crashWorkloads = flag.Int("crash.workloads", 30, "how many workloads the crash tests run")
)

// crashNow is the clock of the crash tests. It stands still, so that the model needs no clock.
const crashNow = 1_000_000

// history is what a crashed store is held against: the state after each offset, and what was promised.
type history struct {
	after        [][]string // After offset i, at i: the pairs as key=value.
	acknowledged uint64     // The last offset that a caller was told.
	durable      uint64     // The last offset that a power cut must not take.
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
	states  int
}

// TestCrashLeavesAStateThatWas is the promises P1, P3 and P4: whatever instant the power goes or the process dies, what is
// recovered is the state after one of the commits, and not one in front of the last that had been promised.
func TestCrashLeavesAStateThatWas(t *testing.T) {
	states := 0
	for i := range uint64(*crashWorkloads) {
		states += runCrashWorkload(t, *crashSeed+i)
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

func runCrashWorkload(t *testing.T, seed uint64) int {
	random := rand.New(rand.NewPCG(seed, 5))
	run := &crashRun{
		t: t, random: random, dice: rand.New(rand.NewPCG(seed, 6)), model: model{},
		// The log's background makes calls of its own, so a replay takes the same workload, and nearly the same crashes.
		replay:  fmt.Sprintf("replay: go test ./kv -run TestCrashLeavesAStateThatWas -crash.seed=%d -crash.workloads=1", seed),
		history: history{after: [][]string{nil}},
	}
	mem := vfs.NewMem()
	run.opts = memOptions(mem)
	run.opts.Sync = SyncMode(seed % 3)
	run.opts.SyncInterval = time.Hour
	mem.SetHook(func(c vfs.Call) error {
		run.mu.Lock()
		defer run.mu.Unlock()
		if c.Op.Changes() && run.dice.IntN(4) == 0 {
			run.crash(mem, c)
		}
		return nil
	})
	for range 1 + random.IntN(3) {
		run.session()
	}
	mem.SetHook(nil)
	return run.states
}

// session opens the store, writes to it and closes it.
func (r *crashRun) session() {
	db, err := Open(storeDir, r.opts)
	require.NoError(r.t, err, r.replay)
	for range r.random.IntN(30) {
		b := randomBatch(r.random, crashNow)
		if r.random.IntN(8) == 0 {
			b.Put([]byte("large"), randomBytes(r.random, 1000, 6000))
		}
		r.model.apply(b.mutations)
		r.note(func(h *history) { h.after = append(h.after, r.model.lines(Range{}, crashNow)) })
		offset, err := db.Apply(b)
		require.NoError(r.t, err, r.replay)
		synced := r.opts.Sync == SyncAlways
		r.note(func(h *history) { h.acknowledged = offset })
		if r.random.IntN(10) == 0 {
			require.NoError(r.t, db.Sync(), r.replay)
			synced = true
		}
		if synced {
			r.note(func(h *history) { h.durable = offset })
		}
	}
	require.NoError(r.t, db.Close(), r.replay)
	r.note(func(h *history) { h.durable = h.acknowledged })
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
	seed, policy := r.dice.Uint64(), vfs.Policies[r.dice.IntN(len(vfs.Policies))]
	r.requirePromised(mem.Crash(seed, policy), r.history.durable, fmt.Sprintf("%v before call %d, %v %s", policy, c.N, c.Op, c.Name))
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
	opts.FS, opts.Sync = mem, SyncAlways
	db, err := Open(storeDir, opts)
	require.NoError(r.t, err, says)
	db.now = func() int64 { return crashNow }
	offset := db.Offset()
	require.GreaterOrEqual(r.t, offset, from, says)
	require.Less(r.t, offset, uint64(len(r.history.after)), says)
	require.Equal(r.t, r.history.after[offset], lines(db.Scan(Range{})), "%s, recovered %d", says, offset)

	next, err := db.Put([]byte("zz"), []byte("after the crash"))
	require.NoError(r.t, err, says)
	require.Equal(r.t, offset+1, next, says)
	want := lines(db.Scan(Range{}))

	// What was acknowledged after a crash is as safe as what was before: the power goes again.
	again := opts
	again.FS = mem.Crash(r.dice.Uint64(), vfs.Policies[r.dice.IntN(len(vfs.Policies))])
	require.NoError(r.t, db.Close(), says)
	db, err = Open(storeDir, again)
	require.NoError(r.t, err, says)
	db.now = func() int64 { return crashNow }
	require.Equal(r.t, want, lines(db.Scan(Range{})), "%s, after a second crash", says)
	require.NoError(r.t, db.Close(), says)
	requireSound(r.t, storeDir, again)
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
			state := concurrentCrash{says: fmt.Sprintf("seed %d, %v, call %d", seed, policy, c.N)}
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
		var done sync.WaitGroup
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
		require.NoError(t, db.Close())
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
	says        string
}

// requirePromised requires that the store has, for each writer, both pairs of a commit between least and most.
func (c *concurrentCrash) requirePromised(t *testing.T) {
	t.Helper()
	says := c.says
	db, err := Open(storeDir, memOptions(c.mem))
	require.NoError(t, err, says)
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

// TestFailureOfAnyCallIsNotSilent fails each changing call of a workload in turn: every commit that was acknowledged is
// there when the store is opened again, and no other change is.
func TestFailureOfAnyCallIsNotSilent(t *testing.T) {
	for n := 1; ; n++ {
		mem := vfs.NewMem()
		var seen atomic.Int64 // The log's background makes calls too.
		mem.SetHook(func(c vfs.Call) error {
			if c.Op.Changes() && seen.Add(1) == int64(n) {
				return errDisk
			}
			return nil
		})
		m, states, acknowledged := model{}, [][]string{nil}, 0
		db, err := Open(storeDir, memOptions(mem))
		if err == nil {
			random := rand.New(rand.NewPCG(uint64(n), 8))
			for range 25 {
				b := randomBatch(random, crashNow)
				b.Put([]byte("filler"), make([]byte, 600))
				_, err := db.Apply(b)
				if err == nil {
					acknowledged = len(states)
				} else {
					require.ErrorIs(t, err, ErrFailed, "call %d", n)
				}
				if err == nil || len(states) == acknowledged+1 {
					m.apply(b.mutations)
					states = append(states, m.lines(Range{}, crashNow))
				}
			}
			_ = db.Close()
		}
		mem.SetHook(nil)
		if seen.Load() < int64(n) {
			require.Greater(t, n, 40)
			return
		}
		requireOneOf(t, mem.Exit(), states, acknowledged, fmt.Sprintf("call %d failed", n))
		requireOneOf(t, mem.Crash(uint64(n), vfs.Policies[n%len(vfs.Policies)]), states, acknowledged, fmt.Sprintf("call %d failed, then a power cut", n))
	}
}

// requireOneOf opens a store and requires the state after an offset from one on.
func requireOneOf(t *testing.T, mem *vfs.Mem, states [][]string, from int, says string) {
	t.Helper()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err, says)
	db.now = func() int64 { return crashNow }
	offset := int(db.Offset())
	require.GreaterOrEqual(t, offset, from, says)
	require.Less(t, offset, len(states), says)
	require.Equal(t, states[offset], lines(db.Scan(Range{})), says)
	require.NoError(t, db.Close(), says)
}
