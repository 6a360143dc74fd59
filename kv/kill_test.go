package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	killRounds = flag.Int("kill.rounds", 200, "how many processes the kill test kills in each sync mode")
	killSeed   = flag.Uint64("kill.seed", 0, "the seed of the kill test; 0 takes one from the clock")
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDirEnv); dir != "" {
		runKillChild(dir, os.Getenv(killSyncEnv), os.Getenv(killDoneEnv))
	}
	if spec := os.Getenv(killSweepEnv); spec != "" {
		runKillSweepChild(spec)
	}
	if spec := os.Getenv(soakEnv); spec != "" {
		runSoakChild(spec)
	}
	if dir := os.Getenv(followDirEnv); dir != "" {
		runFollowedChild(dir)
	}
	if spec := os.Getenv(consumerEnv); spec != "" {
		runConsumer(spec)
	}
	os.Exit(m.Run())
}

// killRoundsPerStore is how often the processes of one store are killed: more make its log long, and opening it slow.
const killRoundsPerStore = 10

// TestKilledProcessLosesNothingAcknowledged kills processes with SIGKILL, some while they open the store and most while
// eight writers commit to it in every way that there is. What is there afterwards is the outcome of whole commits (P3), as
// many of them as the last offset says, each with all that came before it and all that were acknowledged (P1, P4), as if
// each had run alone (P7).
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	seed, rounds := *killSeed, *killRounds
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if testing.Short() {
		rounds = min(rounds, 2*killRoundsPerStore)
	}
	t.Logf("go test ./kv -run %s -kill.seed=%d -kill.rounds=%d (but the instants are the scheduler's too)", t.Name(), seed, rounds)
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			killAll(t, mode, rand.New(rand.NewPCG(seed, uint64(mode))), rounds)
		})
	}
}

func killAll(t *testing.T, mode SyncMode, random *rand.Rand, rounds int) {
	commits, opening := uint64(0), 0
	for killed := 0; killed < rounds; {
		store := newKillStore(t, mode)
		for ; killed < rounds && store.killed < killRoundsPerStore; killed++ {
			if !store.killOne(random) {
				opening++
			}
			store.requirePromised(random.IntN(4) != 0)
		}
		store.requirePromised(false)
		commits += store.last
	}
	t.Logf("%d kills, %d of them before the store was open; %d commits survived", rounds, opening, commits)
	require.Positive(t, commits)
	if rounds >= 100 {
		require.Positive(t, opening, "no process died while it opened a store")
		require.Less(t, opening, rounds/2, "too few processes died while they wrote")
	}
}

// killStore is a store whose processes die, and what has to be in it.
//
// Invariant: pairs, accounts and counter are the outcome of the first done steps of each writer. Offsets are known of the
// steps that were acknowledged, which are all but the last of a writer before each death.
type killStore struct {
	t        *testing.T
	mode     SyncMode
	dir      string
	writers  [killWriters]killedWriter
	accounts [killAccounts]int64
	counter  int64
	steps    map[uint64]killStep // By the offset of the commit.
	newest   uint64              // The last offset that was acknowledged.
	last     uint64              // The store's last offset.
	killed   int
}

// killedWriter is what one writer did.
type killedWriter struct {
	acknowledged, done int64
	offset             uint64 // Of the last step that has one.
	offsets            map[int64]uint64
	pairs              map[string]string // Of copies, of which the steps don't say the values, the keys alone.
}

func newKillStore(t *testing.T, mode SyncMode) *killStore {
	s := &killStore{t: t, mode: mode, dir: t.TempDir(), steps: map[uint64]killStep{}}
	for w := range s.writers {
		s.writers[w].offsets, s.writers[w].pairs = map[int64]uint64{}, map[string]string{}
	}
	for a := range s.accounts {
		s.accounts[a] = killBalance
	}
	return s
}

// killOne starts a child, kills it, and takes down what it had acknowledged. It reports whether the store was open by then.
func (s *killStore) killOne(random *rand.Rand) (opened bool) {
	done := make([]string, killWriters)
	for w := range s.writers {
		done[w] = fmt.Sprint(s.writers[w].done)
	}
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), killDirEnv+"="+s.dir, killSyncEnv+"="+s.mode.String(), killDoneEnv+"="+strings.Join(done, " "))
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, child.Start())
	s.killed++
	at, after := int64(killOpened), time.Duration(random.IntN(30_000))*time.Microsecond
	if random.IntN(4) == 0 {
		at, after = killOpening, time.Duration(random.IntN(4_000))*time.Microsecond
	}
	for said := bufio.NewReader(stdout); ; {
		var word killWord
		err := binary.Read(said, binary.LittleEndian, &word)
		if err == io.EOF {
			break
		}
		require.NoError(s.t, err)
		if word.Writer == at {
			time.AfterFunc(after, func() { _ = child.Process.Kill() })
		}
		opened = opened || word.Writer != killOpening
		if word.Writer < killWriters {
			s.acknowledge(word)
		}
	}
	err = child.Wait()
	require.Empty(s.t, stderr.String())
	require.EqualError(s.t, err, "signal: killed")
	if opened {
		s.newest = max(s.newest, 1) // The accounts.
	}
	return opened
}

func (s *killStore) acknowledge(word killWord) {
	w := &s.writers[word.Writer]
	require.Equal(s.t, w.acknowledged+1, word.I, "writer %d", word.Writer)
	require.Greater(s.t, word.Offset, w.offset, "writer %d's commits are out of order", word.Writer)
	require.Zero(s.t, s.steps[word.Offset], "%+v has the offset of another step", word)
	w.offset, s.newest = word.Offset, max(s.newest, word.Offset)
	w.acknowledged = word.I
	w.offsets[word.I] = word.Offset
	s.steps[word.Offset] = word.killStep
}

// requirePromised opens the store and requires what was promised of it. A store that was opened for reading is still to be
// recovered: by the next child, which may be killed at it.
func (s *killStore) requirePromised(readOnly bool) {
	opts := killOptions(s.mode)
	opts.ReadOnly = readOnly
	db, err := Open(s.dir, opts)
	if readOnly && s.newest == 0 && errors.Is(err, ErrNotStore) {
		return // Its maker died before there was anything to read.
	}
	require.NoError(s.t, err)
	s.last = db.Offset()
	if s.last > 0 || s.newest > 0 {
		s.requireWhole(db)
	}
	require.NoError(s.t, db.Close())
	requireSound(s.t, s.dir, Options{})
}

func (s *killStore) requireWhole(db *DB) {
	commits := uint64(1) // The accounts.
	for w := range s.writers {
		s.settle(db, int64(w))
		commits += uint64(s.writers[w].done)
	}
	require.Equal(s.t, commits, s.last, "there are more offsets than commits, or fewer")
	require.LessOrEqual(s.t, s.newest, s.last, "an acknowledged commit is gone")
	s.requireShared(db)
	for w := range s.writers {
		s.requireCopies(db, int64(w))
	}
}

// requireShared requires the outcome of every transaction on what the writers share.
func (s *killStore) requireShared(db *DB) {
	sum := int64(0)
	for a, want := range s.accounts {
		balance := numberAt(db, string(killAccount(int64(a))))
		require.Equal(s.t, want, balance, "account %d", a)
		sum += balance
	}
	require.EqualValues(s.t, killAccounts*killBalance, sum)
	require.Equal(s.t, s.counter, numberAt(db, string(killCounter)), "the counter")
}

// settle finds out whether the step that a writer was killed in has happened: its pairs are those of the one state or the
// other, and of nothing in between.
func (s *killStore) settle(db *DB, number int64) {
	w := &s.writers[number]
	found := map[string]string{}
	for key, value := range db.Scan(Range{Prefix: killKey(number, "")}) {
		found[string(key)] = string(value)
		if strings.Contains(string(key), "/copy/") {
			found[string(key)] = ""
		}
	}
	for w.done < w.acknowledged {
		s.step(number)
	}
	if !maps.Equal(w.pairs, found) {
		s.step(number)
	}
	require.Equal(s.t, w.pairs, found, "writer %d, step %d, %d of them acknowledged", number, w.done, w.acknowledged)
	w.acknowledged = w.done // The next child goes on from here.
}

// step does a writer's next step with what has to be in the store.
func (s *killStore) step(number int64) {
	w := &s.writers[number]
	w.done++
	step := killStep{number, w.done}
	switch step.kind() {
	case killPut, killPutAgain:
		w.pairs[string(killNth(number, "pair", step.I))] = string(step.value())
	case killDelete:
		delete(w.pairs, string(killNth(number, "pair", step.I-1)))
	case killBatch:
		w.batch(step)
	case killTransfer:
		from, to, amount := step.transfer()
		s.accounts[from] -= amount
		s.accounts[to] += amount
	case killCount:
		s.counter++
	case killCopy, killCopySeen:
		w.pairs[string(killNth(number, "copy", step.I))] = ""
	}
	if step.numbers() {
		w.pairs[string(killKey(number, "number"))] = string(step.value())
	}
}

func (w *killedWriter) batch(step killStep) {
	for _, name := range []string{"pair", "copy"} {
		oldest := string(killNth(step.Writer, name, step.oldest()))
		maps.DeleteFunc(w.pairs, func(key, _ string) bool {
			return strings.Contains(key, name) && key < oldest
		})
	}
	w.pairs[string(killKey(step.Writer, "left"))] = string(step.value())
	w.pairs[string(killKey(step.Writer, "right"))] = string(step.value())
}

// requireCopies requires that what a writer copied was committed before the copy, and that what it copied in an Update
// was the newest by then.
func (s *killStore) requireCopies(db *DB, number int64) {
	for key, value := range db.Scan(Range{Prefix: killKey(number, "copy/")}) {
		copier, original := killStep{Writer: number}, killStep{}
		_, err := fmt.Sscanf(string(key[len(killKey(number, "copy/")):]), "%d", &copier.I)
		require.NoError(s.t, err)
		_, err = fmt.Sscan(string(value), &original.I)
		require.NoError(s.t, err)
		original.Writer = copier.other()
		require.LessOrEqual(s.t, original.I, s.writers[original.Writer].done, "%+v copied what is lost: %+v", copier, original)
		at := s.offsetOf(copier)
		if at == 0 {
			continue
		}
		require.Less(s.t, s.offsetOf(original), at, "%+v copied %+v", copier, original)
		if next := s.offsetOf(original.nextNumber()); next > 0 && copier.kind() == killCopy {
			require.Less(s.t, at, next, "%+v copied %+v, which was not the newest", copier, original)
		}
	}
}

// offsetOf returns the offset of the step's commit, 0 where nobody was told.
func (s *killStore) offsetOf(step killStep) uint64 { return s.writers[step.Writer].offsets[step.I] }
