package kv

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killSweepEnv tells the test binary that it is the child of the kill test of sweeps: it has the directory, the mode, and the number
// of the first session of each writer.
const killSweepEnv = "WALNUT_TEST_KILL_SWEEP"

const (
	killSweepWriters = 4
	killSweepStays   = 3 // The share of sessions that outlive the test: one in this number.
)

// killSession is the key of a writer's session i, which is put once.
func killSession(w, i int64) []byte { return killNth(w, "session", i) }

// killSessionTTL returns how long a session lives.
func killSessionTTL(i int64) time.Duration {
	if i%killSweepStays == 0 {
		return time.Hour
	}
	return time.Duration(1+i%7) * time.Millisecond
}

// runKillSweepChild puts sessions with all writers, and sweeps all the time, until it is killed.
func runKillSweepChild(spec string) {
	var dir string
	var mode int
	var first int64
	if _, err := fmt.Sscan(spec, &dir, &mode, &first); err != nil {
		panic(err)
	}
	opts := killOptions(SyncMode(mode))
	opts.sweepByHand = true
	db, err := Open(dir, opts)
	if err != nil {
		panic(err)
	}
	for w := range int64(killSweepWriters) {
		go func() {
			for i := first; ; i++ {
				offset, err := db.PutTTL(killSession(w, i), nil, killSessionTTL(i))
				if err != nil {
					panic(err)
				}
				killWord{killStep{w, i}, offset}.say()
			}
		}()
	}
	for err == nil {
		err = db.sweepAll()
	}
	panic(err)
}

// TestKilledProcessSweptOnlyWhatHadExpired kills processes with SIGKILL while sessions are put and swept. The log then says of
// each sweep that its pairs had expired by its time; nothing that was swept is back, and no session is gone in any other way.
func TestKilledProcessSweptOnlyWhatHadExpired(t *testing.T) {
	seed, rounds := *killSeed, max(2, *killRounds/10)
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if testing.Short() {
		rounds = min(rounds, 4)
	}
	t.Logf("go test ./kv -run %s -kill.seed=%d -kill.rounds=%d (but the instants are the scheduler's too)", t.Name(), seed, *killRounds)
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, uint64(mode)))
			k := killedSweep{t: t, dir: t.TempDir(), mode: mode, acknowledged: map[string]uint64{}}
			for range rounds {
				k.kill(time.Duration(random.IntN(40_000)) * time.Microsecond)
				k.requirePromised()
			}
			t.Logf("%d kills, %d sessions, %d of them swept", rounds, k.sessions, k.swept)
			require.Positive(t, k.swept)
		})
	}
}

// killedSweep is a store whose processes die.
type killedSweep struct {
	t               *testing.T
	dir             string
	mode            SyncMode
	first           int64             // Of each writer in the next process.
	acknowledged    map[string]uint64 // The sessions' offsets.
	sessions, swept int
}

// kill starts a process, and kills it some time after the first session that it acknowledged.
func (k *killedSweep) kill(after time.Duration) {
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", killSweepEnv, k.dir, k.mode, k.first+1))
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, child.Start())
	for said, words := bufio.NewReader(stdout), 0; ; words++ {
		var word killWord
		err := binary.Read(said, binary.LittleEndian, &word)
		if err == io.EOF {
			break
		}
		require.NoError(k.t, err)
		if words == 0 {
			time.AfterFunc(after, func() { _ = child.Process.Kill() })
		}
		k.acknowledged[string(killSession(word.Writer, word.I))] = word.Offset
		k.first = max(k.first, word.I)
	}
	err = child.Wait()
	require.Empty(k.t, stderr.String())
	require.EqualError(k.t, err, "signal: killed")
	k.first += 2 // The next process puts none that this one was killed at.
}

// requirePromised opens the store, and holds it against every commit of its log.
func (k *killedSweep) requirePromised() {
	opts := killOptions(k.mode)
	opts.sweepByHand = true
	db, err := Open(k.dir, opts)
	require.NoError(k.t, err)
	held, put := map[string]time.Time{}, map[string]uint64{}
	k.swept = 0
	for commit, err := range db.Commits(0) {
		require.NoError(k.t, err)
		for _, m := range commit.Mutations {
			key := string(m.Key)
			deadline, found := held[key]
			if m.Kind == MutationPut {
				require.Zero(k.t, put[key], "%s is back", key)
				put[key], held[key] = commit.Offset, m.Deadline
				continue
			}
			require.Equal(k.t, MutationDelete, m.Kind)
			require.True(k.t, found, "%s was swept and isn't there", key)
			require.False(k.t, deadline.After(commit.Time), "%s was swept at %v, and expires at %v", key, commit.Time, deadline)
			delete(held, key)
			k.swept++
		}
	}
	k.sessions = len(put)
	for key, offset := range k.acknowledged {
		require.Equal(k.t, offset, put[key], "%s was acknowledged", key)
	}
	require.Equal(k.t, len(held), pairsHeld(db), "what was swept is back, or what wasn't is gone")
	for key, deadline := range held {
		if time.Until(deadline) > time.Minute {
			found, err := db.Deadline([]byte(key))
			require.NoError(k.t, err)
			require.True(k.t, deadline.Equal(found))
		}
	}
	require.NoError(k.t, db.Close())
	requireSound(k.t, k.dir, Options{})
}
