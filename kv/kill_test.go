package kv

import (
	"bufio"
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

// killDirEnv tells the test binary that it is the child of a kill test, and where its store is; killSyncEnv in what mode.
const (
	killDirEnv  = "WALNUT_TEST_KILL_DIR"
	killSyncEnv = "WALNUT_TEST_KILL_SYNC"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDirEnv); dir != "" {
		runKillChild(dir, os.Getenv(killSyncEnv))
	}
	os.Exit(m.Run())
}

// runKillChild writes with several writers until it is killed. Each counts up from what the store has, in commits of two
// pairs, and says on standard output what was acknowledged.
func runKillChild(dir, mode string) {
	sync, err := ParseSyncMode(mode)
	if err != nil {
		panic(err)
	}
	db, err := Open(dir, Options{Sync: sync, SegmentSize: 64 << 10})
	if err != nil {
		panic(err)
	}
	for w := range killWriters {
		go func() {
			for i := numberAt(db, fmt.Sprintf("%d/left", w)) + 1; ; i++ {
				var b Batch
				b.Put(fmt.Appendf(nil, "%d/left", w), fmt.Append(nil, i))
				b.Put(fmt.Appendf(nil, "%d/right", w), fmt.Append(nil, i))
				b.Put(fmt.Appendf(nil, "%d/each/%d", w, i), make([]byte, 100))
				if _, err := db.Apply(&b); err != nil {
					panic(err)
				}
				_, _ = os.Stdout.WriteString(fmt.Sprintf("%d %d\n", w, i))
			}
		}()
	}
	select {}
}

const killWriters = 4

// TestKilledProcessLosesNothingAcknowledged kills a process with SIGKILL under concurrent writers, several times over one
// directory: in every mode, what it had said to be in the store is.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d (the instants of death are the scheduler's too)", seed)
	random := rand.New(rand.NewPCG(seed, 9))
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := t.TempDir()
			acknowledged := make([]int64, killWriters)
			for range 4 {
				killOnce(t, dir, mode, time.Duration(random.IntN(60))*time.Millisecond, acknowledged)
				requireKilled(t, dir, acknowledged)
			}
		})
	}
}

// killOnce starts the child, lets it write for a while, kills it, and takes down what it had acknowledged.
func killOnce(t *testing.T, dir string, mode SyncMode, after time.Duration, acknowledged []int64) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), killDirEnv+"="+dir, killSyncEnv+"="+mode.String())
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	said := bufio.NewReader(stdout)
	heard := 0
	for {
		line, err := said.ReadString('\n')
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		var w int
		var i int64
		_, err = fmt.Sscan(line, &w, &i)
		require.NoError(t, err, "%q", line)
		acknowledged[w] = max(acknowledged[w], i)
		if heard++; heard == 1 {
			time.AfterFunc(after, func() { _ = child.Process.Kill() })
		}
	}
	_ = child.Wait()
	require.Positive(t, heard, "the child wrote nothing: %s", stderr.String())
	require.Empty(t, stderr.String())
}

func requireKilled(t *testing.T, dir string, acknowledged []int64) {
	t.Helper()
	db, err := Open(dir, Options{ReadOnly: true})
	require.NoError(t, err)
	for w, least := range acknowledged {
		last := numberAt(db, fmt.Sprintf("%d/left", w))
		require.Equal(t, last, numberAt(db, fmt.Sprintf("%d/right", w)), "writer %d has half a commit", w)
		require.GreaterOrEqual(t, last, least, "writer %d lost an acknowledged commit", w)
		require.LessOrEqual(t, last, least+1, "writer %d has more than it ever began", w)
		each := lines(db.Scan(Range{Prefix: fmt.Appendf(nil, "%d/each/", w)}))
		require.Len(t, each, int(last), "writer %d has a gap", w)
		acknowledged[w] = last // The next child counts on from here.
	}
	require.NoError(t, db.Close())
	requireSound(t, dir, Options{})
}
