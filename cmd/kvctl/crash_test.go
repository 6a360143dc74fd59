package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// newTestedCrashes returns a crash test whose rounds a test runs one by one.
func newTestedCrashes(t *testing.T) *crashTest {
	a := &app{stderr: io.Discard, sync: newChoice("always"), dirFlag: filepath.Join(t.TempDir(), "store")}
	c := &crashTest{app: a, ctx: t.Context(), dir: a.dirFlag, program: "kvctl", random: rand.New(rand.NewPCG(1, 2))}
	c.seed = 1
	return c
}

// round kills a worker that has acknowledged something.
func (c *crashTest) round(t *testing.T) {
	for len(c.acked) == 0 {
		require.NoError(t, c.kill())
		if len(c.acked) == 0 {
			violations, err := c.judge(false)
			require.NoError(t, err)
			require.Empty(t, violations)
		}
	}
}

// TestStoreThatLostARoundIsFound puts an older copy in the place of the store, as a disk would that had only said that it synced.
func TestStoreThatLostARoundIsFound(t *testing.T) {
	c := newTestedCrashes(t)
	c.round(t)
	violations, err := c.judge(false)
	require.NoError(t, err)
	require.Empty(t, violations)
	older := filepath.Join(t.TempDir(), "older")
	require.NoError(t, os.CopyFS(older, os.DirFS(c.dir)))

	c.crashRound.acked = nil
	c.round(t)
	require.NoError(t, os.RemoveAll(c.dir))
	require.NoError(t, os.Rename(older, c.dir))
	violations, err = c.judge(false)
	require.NoError(t, err)
	promises := map[string]bool{}
	for _, violation := range violations {
		promises[violation.promise] = true
	}
	require.True(t, promises["P1"] && promises["P4"], "%v", violations)
}

func TestPairThatWasTakenOutIsFound(t *testing.T) {
	c := newTestedCrashes(t)
	c.round(t)
	db, err := kv.Open(c.dir, kv.Options{})
	require.NoError(t, err)
	_, err = db.Delete(crashKey(c.acked[0].writer, "left"))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	violations, err := c.judge(true)
	require.NoError(t, err)
	require.NotEmpty(t, violations)
}

func TestDamageIsAViolation(t *testing.T) {
	c := newTestedCrashes(t)
	c.round(t)
	left, err := filepath.Glob(filepath.Join(c.dir, "snapshots", "*"))
	require.NoError(t, err)
	violations, err := c.judge(false) // It closes the store, so that all of it was durable.
	require.NoError(t, err)
	require.Empty(t, violations)
	found, err := filepath.Glob(filepath.Join(c.dir, "snapshots", "*"))
	require.NoError(t, err)
	require.Equal(t, left, found, "after a checkpoint the next worker would not read the log")
	segments, err := filepath.Glob(filepath.Join(c.dir, "wal", "*.store"))
	require.NoError(t, err)
	data, err := os.ReadFile(segments[0])
	require.NoError(t, err)
	at := bytes.Index(data, crashKey(c.acked[0].writer, "step/"))
	require.Positive(t, at)
	data[at] ^= 1
	require.NoError(t, os.WriteFile(segments[0], data, 0o600))
	violations, err = c.judge(false)
	require.NoError(t, err)
	require.Len(t, violations, 1)
	require.Equal(t, "P5", violations[0].promise)
	for range 20 { // Some are killed before they meet it.
		if require.NoError(t, c.kill()); c.damage != "" {
			break
		}
	}
	require.Contains(t, c.damage, segments[0], "the next worker meets it, too")
}

func TestViolationIsPrintedAndItsStoreIsKept(t *testing.T) {
	for _, c := range []struct{ name, output, want string }{
		{
			"text", outputText, "violation  round 1, P1: gone\n" +
				"1 worker killed, 0 of them before the store was open; 0 commits acknowledged; 1 violation\n",
		},
		{
			"json", outputJSON, `{"kind":"broken","round":1,"promise":"P1","problem":"gone"}` + "\n" + `{"kind":"crash_test","seed":1,` +
				`"sync":"always","rounds":5,"killed":1,"opening":0,"acknowledged":0,"offset":0,"violations":1}` + "\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			test := newTestedCrashes(t)
			test.round(t)
			test.killed, test.opening, test.acknowledged, test.after = 1, 0, 0, crashState{}
			var out bytes.Buffer
			test.app.output, test.app.stdout = newChoice(c.output), newOutput(&out)
			err := test.finish(5, true, []crashViolation{{"P1", "gone"}}, nil)
			require.Equal(t, exitDamage, exitCode(err))
			require.ErrorContains(t, err, test.dir+" is kept; to replay: kvctl --dir "+test.dir+" crash-test --rounds 5 --seed 1 --sync always")
			require.NoError(t, test.app.stdout.Flush())
			require.Equal(t, c.want, out.String())
			require.DirExists(t, filepath.Join(test.dir, "wal"))
			require.NoError(t, test.finish(5, true, nil, nil))
			require.NoDirExists(t, test.dir)
		})
	}
}

func TestOnlyTheStoreIsRemoved(t *testing.T) {
	c := newTestedCrashes(t)
	c.round(t)
	mine := filepath.Join(c.dir, "mine")
	require.NoError(t, os.WriteFile(mine, nil, 0o600))
	require.NoError(t, removeStore(c.dir, false))
	left, err := os.ReadDir(c.dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Error(t, removeStore(c.dir, true), "the directory isn't empty")
	require.FileExists(t, mine)
}

func TestWorkerThatFailsByItselfIsNoViolation(t *testing.T) {
	c := newTestedCrashes(t)
	require.NoError(t, os.WriteFile(c.dir, nil, 0o600))
	require.ErrorContains(t, c.kill(), "a worker failed: ")
	c.program = "true"
	require.ErrorContains(t, c.kill(), "a worker ended before it was killed")
}

func TestHalfAWordOfAWorkerIsAnError(t *testing.T) {
	word, err := binary.Append(nil, binary.LittleEndian, crashWord{crashAcked, 1, 2, 3})
	require.NoError(t, err)
	c := &crashTest{}
	require.NoError(t, readCrashWords(bytes.NewReader(word), c.note))
	require.Equal(t, []crashAck{{1, 2, 3}}, c.acked)
	require.ErrorContains(t, readCrashWords(bytes.NewReader(word[:31]), c.note), "read what a worker reports")
	word[8] = crashWriters
	require.ErrorContains(t, readCrashWords(bytes.NewReader(word), c.note), "which is nothing that one reports")
}

func TestPairsOfAStoreAreTakenAsTheWorkersPutThem(t *testing.T) {
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	w := &crashWorkload{out: io.Discard, seed: 3, steps: 2 * crashKept}
	require.NoError(t, w.run(db))
	state, err := readCrashState(db)
	require.NoError(t, err)
	round := crashRound{seed: 3, before: state, after: state}
	require.Empty(t, round.violations())
	require.Equal(t, uint64(2*crashKept*crashWriters), state.total)
	for _, key := range []string{"", "x", "4/left", "0/middle", "0/step/x", "total/"} {
		require.False(t, new(crashState).take(key, []byte("1")), key)
	}
	require.False(t, new(crashState).take("0/left", []byte("one")))
	require.NoError(t, db.Close())
}

// TestAnInterruptBeforeAWorkerStartsIsOne: it was reported as a worker that could not be started.
func TestAnInterruptBeforeAWorkerStartsIsOne(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newTestedCrashes(t)
	c.ctx = ctx
	require.Equal(t, errInterrupted, c.kill())
}
