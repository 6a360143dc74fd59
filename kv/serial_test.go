package kv

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var (
	serialSeed      = flag.Uint64("serial.seed", 1, "the first seed of the serializability test")
	serialHistories = flag.Int("serial.histories", 1000,
		"how many histories the serializability test judges of each kind; under -short and under the race detector a tenth")
)

// serialEnd is how the life of a store ends in a history.
type serialEnd int

const (
	endsClosed       serialEnd = iota // Closed, when all is done.
	endsInDeath                       // The process dies in the middle.
	endsInPowerCut                    // The power goes in the middle.
	endsAfterFailure                  // A write or a sync fails, and all that has followed it is a death or a power cut.
)

// TestConcurrentOperationsAreSerializable has a few goroutines do all kinds of reads and writes at once, and looks for an
// order that explains what they saw (P7). Reads by a new process are the end of each history, so what was acknowledged
// or seen before a power cut or a failed sync has to be there (P1, P2, P3).
func TestConcurrentOperationsAreSerializable(t *testing.T) {
	kinds := []struct {
		sentence string
		modes    []SyncMode
		ends     []serialEnd
	}{
		{"without failures", []SyncMode{SyncAlways}, []serialEnd{endsClosed, endsInDeath, endsInPowerCut}},
		{"with failures", []SyncMode{SyncAlways}, []serialEnd{endsAfterFailure}},
		{"in the relaxed modes", []SyncMode{SyncInterval, SyncNever}, []serialEnd{endsClosed, endsInDeath}},
	}
	for _, kind := range kinds {
		t.Run(kind.sentence, func(t *testing.T) {
			count := *serialHistories
			if testing.Short() || raceDetected() {
				count = max(1, count/10)
			}
			tally := map[string]int{}
			for i := range count {
				seed := *serialSeed + uint64(i)
				mode, end := kind.modes[seed%uint64(len(kind.modes))], kind.ends[seed/2%uint64(len(kind.ends))]
				newSerialRun(t, seed, mode, end).judge(tally)
				if t.Failed() {
					return
				}
			}
			t.Logf("%d histories, all serializable: %v", count, tally)
			if count < 100 {
				return // A replay.
			}
			require.Greater(t, tally["commits that shared a sync"], tally["commits"]/10, "groups are too rare")
			if kind.ends[0] == endsAfterFailure {
				require.Greater(t, tally["failures met"], count*3/4)
				require.Greater(t, tally["unknown outcomes"], count/2)
			} else {
				require.Greater(t, tally["ends in the middle"], count/4)
			}
		})
	}
}

// serialRun is one history.
type serialRun struct {
	t       *testing.T
	replay  string
	end     serialEnd
	mem     *vfs.Mem
	opts    Options
	db      *DB
	clock   atomic.Int64
	clients []*serialClient
	dice    *rand.Rand // Of the test's own goroutine.

	mu      sync.Mutex // Guards all below until calm: calls come from any goroutine.
	random  *rand.Rand
	events  int      // To go until it ends in the middle, or a call fails.
	left    *vfs.Mem // What is left then.
	from    int64    // The end came after this tick of the clock,
	to      int64    // and before this one.
	failure bool
}

func newSerialRun(t *testing.T, seed uint64, mode SyncMode, end serialEnd) *serialRun {
	r := &serialRun{
		t: t, end: end, mem: vfs.NewMem(),
		dice: rand.New(rand.NewPCG(seed, 10)), random: rand.New(rand.NewPCG(seed, 11)),
		// What the scheduler does is no part of the seed, so a replay takes many of the same kind.
		replay: fmt.Sprintf("replay: go test ./kv -run '%s' -serial.seed=%d -count=100 -serial.histories=1", t.Name(), seed),
	}
	r.opts = Options{fs: r.mem, Sync: mode, SegmentSize: 4 << 10, SyncInterval: time.Millisecond}
	db, err := Open(storeDir, r.opts)
	require.NoError(t, err, r.replay)
	r.db = db
	for number := range 4 + r.dice.IntN(5) {
		r.clients = append(r.clients, &serialClient{
			t: t, number: number, db: db, clock: &r.clock, between: r.between,
			random: rand.New(rand.NewPCG(seed, 100+uint64(number))),
		})
	}
	within := 40 // So many calls, and so many operations, there are at least.
	if end == endsAfterFailure {
		within = 12
	}
	r.events = 1 + r.dice.IntN(within)
	r.mem.SetHook(r.call)
	return r
}

// call is the hook of the disk. A sync takes its time first, in which others see what they must not see yet.
func (r *serialRun) call(c vfs.Call) error {
	if !c.Op.Changes() {
		return nil
	}
	if c.Op == vfs.OpSync {
		r.pause()
	}
	return r.event(c)
}

func (r *serialRun) pause() {
	r.mu.Lock()
	pause := r.random.IntN(60)
	r.mu.Unlock()
	for range pause % 8 {
		runtime.Gosched()
	}
	if pause%2 == 0 {
		time.Sleep(time.Duration(pause) * time.Microsecond)
	}
}

// between is called by the clients: in the relaxed modes there are few calls, and a process may die between any two.
func (r *serialRun) between() {
	if r.end == endsInDeath || r.end == endsInPowerCut {
		_ = r.event(vfs.Call{})
	}
}

// event counts down to the end in the middle or the call that fails.
func (r *serialRun) event(c vfs.Call) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events--; r.events != 0 {
		return nil
	}
	switch r.end {
	case endsInDeath, endsInPowerCut:
		r.from = r.clock.Add(1)
		r.left = r.leave(r.end == endsInPowerCut, r.random)
		r.to = r.clock.Add(1)
	case endsAfterFailure:
		r.failure = true
		if c.Op == vfs.OpWrite && r.random.IntN(2) == 0 {
			return &vfs.ShortWrite{Bytes: r.random.IntN(int(c.Len) + 1), Err: errDisk}
		}
		return errDisk
	}
	return nil
}

// leave returns what a power cut or a death leaves.
func (r *serialRun) leave(powerCut bool, random *rand.Rand) *vfs.Mem {
	if powerCut {
		return r.mem.Crash(random.Uint64(), vfs.Policies[random.IntN(len(vfs.Policies))])
	}
	return r.mem.Exit()
}

// calm takes the disk's events away. Whatever calls are still in progress, nothing happens from then on.
func (r *serialRun) calm() {
	r.mem.SetHook(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = 0
}

// serialOperations is how many operations a client makes. What the checker has to try grows quickly with them.
const serialOperations = 8

// judge lets the clients run, ends the store's life and judges the histories: of those who lived to see the end, and of
// the world in which it came in the middle.
func (r *serialRun) judge(tally map[string]int) {
	var done sync.WaitGroup
	for _, client := range r.clients {
		done.Go(func() { client.run(serialOperations) })
	}
	done.Wait()
	r.calm()
	var history []*serialOp
	for _, client := range r.clients {
		history = append(history, client.history...)
	}
	r.count(tally, history)
	r.requireSerializable(history, r.finish())
	if r.left != nil {
		tally["ends in the middle"]++
		r.requireSerializable(r.before(history), r.left)
	}
}

// count adds up what shows that a history was worth its while.
func (r *serialRun) count(tally map[string]int, history []*serialOp) {
	tally["operations"] += len(history)
	for _, op := range history {
		if op.unknown() {
			tally["unknown outcomes"]++
		}
	}
	if r.failure {
		tally["failures met"]++
	}
	stats := r.db.Stats()
	tally["commits"] += int(stats.Commits)
	tally["commits that shared a sync"] += int(stats.Commits - min(stats.Commits, stats.Syncs))
}

// finish closes the store and returns what is left.
func (r *serialRun) finish() *vfs.Mem {
	if !r.failure {
		require.NoError(r.t, r.db.Close(), r.replay)
		return r.mem
	}
	left := r.leave(r.dice.IntN(2) == 0, r.dice)
	_ = r.db.Close()
	if r.dice.IntN(2) == 0 {
		left = r.leave(r.dice.IntN(2) == 0, r.dice)
	}
	return left
}

// before returns the history of the world that ended in the middle. Of what was in progress then the outcome is not known.
func (r *serialRun) before(history []*serialOp) []*serialOp {
	var before []*serialOp
	for _, op := range history {
		cut := *op
		switch {
		case op.called > r.to || op.dropped:
			continue
		case op.returned > r.from:
			cut.returned = unknownReturn
		}
		before = append(before, &cut)
	}
	return before
}

// requireSerializable reads all from what is left, as the last operation of a history, and requires an order of it.
func (r *serialRun) requireSerializable(history []*serialOp, left *vfs.Mem) {
	opts := r.opts
	opts.fs, opts.Sync = left, SyncAlways
	db, err := Open(storeDir, opts)
	require.NoError(r.t, err, r.replay)
	last := &serialClient{t: r.t, number: len(r.clients), db: db, clock: &r.clock, random: r.dice}
	op := &serialOp{client: last.number, name: "read by the next process", called: r.clock.Add(1)}
	last.readAll(op, db.Scan(Range{}))
	op.returned = r.clock.Add(1)
	history = append(slices.Clone(history), op)
	require.NoError(r.t, db.Close(), r.replay)
	if result := checkSerial(history); result != porcupine.Ok {
		r.t.Fatalf("the history is %v\n%s\n%s", result, r.replay, serialText(history))
	}
}
