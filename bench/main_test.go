package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var benchmarkPairs = flag.Uint64("pairs", 100_000, "pairs in a loaded store, for the benchmarks")

// interruptedVariable makes the test binary a runner that a test can interrupt: it holds the arguments.
const interruptedVariable = "WALNUT_BENCH_INTERRUPTED"

// TestMain lets the test binary be the child of the runner under test, which starts whatever it is itself.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
		os.Exit(0)
	}
	if arguments := os.Getenv(interruptedVariable); arguments != "" {
		os.Args = append(os.Args[:1], strings.Fields(arguments)...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestComparisonMeasuresInChildrenAndCleansUp(t *testing.T) {
	dir := t.TempDir()
	var lines, progress bytes.Buffer
	page := filepath.Join(t.TempDir(), "page.md")
	arguments := "-workloads W1/durable/goroutines=1,W7,W8 -peers walnut,buntdb,limit -rounds 2 -pairs 300 -seconds 0.01 -warmup 0.01"
	err := compare(context.Background(), append(strings.Fields(arguments), "-dir", dir, "-markdown", page), &lines, &progress)
	require.NoError(t, err, progress.String())
	counts := map[string]int{}
	first, rest, _ := strings.Cut(lines.String(), "\n")
	require.Contains(t, first, `{"environment":{"processor":`)
	for line := range strings.Lines(rest) {
		var m Measurement
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		require.Empty(t, m.Error)
		require.Positive(t, m.Figure, line)
		counts[m.ID()+" "+m.Peer]++
	}
	require.Equal(t, map[string]int{
		"W1/durable/goroutines=1 walnut": 2, "W1/durable/goroutines=1 buntdb": 2, "W1/durable/goroutines=1 bare-file": 2,
		"W7/snapshot/goroutines=1 walnut": 2, "W7/snapshot/goroutines=1 buntdb": 2,
		"W7/both/goroutines=1 walnut": 2, "W7/both/goroutines=1 buntdb": 2,
		"W7/clean/goroutines=1 walnut": 2, "W7/clean/goroutines=1 buntdb": 2,
		"W7/killed/goroutines=1 walnut": 2, "W7/killed/goroutines=1 buntdb": 2,
		"W8/start/goroutines=1 walnut": 2, "W8/start/goroutines=1 buntdb": 2,
		"W8/checkpoint/goroutines=1 walnut": 2, "W8/checkpoint/goroutines=1 buntdb": 2,
		"W8/heap/goroutines=1 walnut": 2, "W8/heap/goroutines=1 buntdb": 2, "W8/heap/goroutines=1 bare-btree": 2,
	}, counts)
	requireEmpty(t, dir)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(text), "## W7/killed/goroutines=1")
	require.NotContains(t, string(text), "lost", "a store that was synced lost nothing")
}

func TestFailedMeasurementIsReportedAndTheOthersGoOn(t *testing.T) {
	broken := Peer{Name: "broken", OpenStore: openBuntdb} // The child, another process, knows no such peer.
	var lines, progress bytes.Buffer
	workload, err := workloadByID("W2/random/goroutines=1")
	require.NoError(t, err)
	r := &runner{
		spec: Spec{Pairs: 10, Time: time.Second}, rounds: 1, groups: apart([]Workload{workload}),
		peers: []Peer{broken, walnutPeer}, dir: t.TempDir(), out: &lines, progress: &progress,
	}
	all, err := r.run(context.Background())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Contains(t, all[0].Error, `no peer "broken"`)
	require.Empty(t, all[1].Error)
	require.EqualError(t, failures(all), "1 of 2 measurements failed")
	requireEmpty(t, r.dir)
}

func TestInterruptedComparisonLeavesNothingBehind(t *testing.T) {
	for _, interrupt := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(interrupt.String(), func(t *testing.T) {
			dir := t.TempDir()
			command := exec.Command(os.Args[0])
			command.Env = append(os.Environ(), interruptedVariable+
				"=-workloads W1/durable/goroutines=1 -peers walnut -seconds 60 -dir "+dir)
			var output bytes.Buffer
			command.Stdout, command.Stderr = &output, &output
			require.NoError(t, command.Start())
			require.Eventually(t, func() bool {
				stores, _ := filepath.Glob(filepath.Join(dir, "*", "store", "wal", "*.store"))
				return len(stores) > 0
			}, 30*time.Second, 10*time.Millisecond, "the child never opened its store")
			require.NoError(t, command.Process.Signal(interrupt))
			require.Error(t, command.Wait(), "an interrupted comparison is not a success")
			requireEmpty(t, dir)
		})
	}
}

func TestChildEndsWithItsRunner(t *testing.T) {
	spec, err := json.Marshal(Spec{
		Workload: "W1/durable/goroutines=1", Peer: "walnut", Dir: t.TempDir(), Pairs: 1, Time: time.Hour,
	})
	require.NoError(t, err)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"="+string(spec))
	input, err := command.StdinPipe()
	require.NoError(t, err)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	require.NoError(t, command.Start())
	require.NoError(t, input.Close(), "the system does this when the runner dies")
	require.Error(t, command.Wait())
	require.Contains(t, complaint.String(), "the runner is gone")
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, test := range []struct{ arguments, complaint string }{
		{"-workloads W99", `no workload is called "W99"`},
		{"-workloads W", `no workload is called "W"`},
		{"-peers redis", `no peer is called "redis"`},
		{"-peers redis:W1", `no peer is called "redis"`},
		{"-peers walnut:W1+W99", `no workload is called "W99"`},
		{"-peers walnut:", `no workload is called ""`},
		{"-rounds 0", "out of range"},
		{"-pairs 0", `"0" is no number from 1 to 4294967296`},
		{"-keys odd", `"odd" is none of random, sequential, prefixed`},
		{"-value-bytes 1e3", `"1e3" is no number from 1 to 16777216`},
		{"-unheard 1", "-unheard"},
		{"-seconds 0", "out of range"},
		{"W1", `"W1" is none`},
	} {
		t.Run(test.arguments, func(t *testing.T) {
			var nothing bytes.Buffer
			err := compare(context.Background(), strings.Fields(test.arguments), &nothing, &nothing)
			require.ErrorContains(t, err, test.complaint)
			require.ErrorIs(t, err, errUsage)
			require.Empty(t, nothing.String(), "the complaint is all that there is to read")
		})
	}
}

func TestOnlyWrongArgumentsAreAMatterOfUsage(t *testing.T) {
	var help bytes.Buffer
	err := compare(context.Background(), []string{"-dir", "/nowhere/at/all"}, &help, &help)
	require.ErrorContains(t, err, "no such file")
	require.NotErrorIs(t, err, errUsage)
	require.ErrorIs(t, compare(context.Background(), []string{"-h"}, &help, &help), flag.ErrHelp)
	require.Contains(t, help.String(), "-workloads")
}

func TestSelectorsAreBeginningsUpToASlash(t *testing.T) {
	for _, test := range []struct {
		selector string
		want     bool
	}{
		{"W1", true},
		{"W1/durable", true},
		{"W1/durable/goroutines=16", true},
		{"W1/durable/goroutines=1", false},
		{"W1/dur", false},
		{"W", false},
		{"W2", false},
	} {
		require.Equal(t, test.want, selected([]string{"X", test.selector}, "W1/durable/goroutines=16"), test.selector)
	}
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, fmt.Sprintf("%s should be empty", dir))
}
