package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runnerVariable makes the test binary a runner that a test can interrupt: it holds the arguments.
const runnerVariable = "WALNUT_BENCH_RUNNER"

// TestMain lets the test binary be a child of the runner under test, which starts its own program again.
func TestMain(m *testing.M) {
	arguments := os.Getenv(runnerVariable)
	if arguments != "" {
		os.Args = append(os.Args[:1], strings.Fields(arguments)...)
	}
	if arguments != "" || os.Getenv(childVariable) != "" || os.Getenv(damageVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// measured runs workloads with few pairs, and returns the measurements and the page.
func measured(t *testing.T, arguments string) (all []Measurement, page string, err error) {
	t.Helper()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out.jsonl")
	var stdout, progress bytes.Buffer
	flags := append(strings.Fields("-pairs 300 -seconds 0.01 -warmup 0.01 "+arguments), "-dir", dir, "-out", out)
	err = compare(context.Background(), flags, &stdout, &progress)
	requireEmpty(t, dir)
	content, readErr := os.ReadFile(out)
	require.NoError(t, readErr)
	all, readErr = decodeAll(bytes.NewReader(content))
	require.NoError(t, readErr)
	var again bytes.Buffer
	_ = compare(context.Background(), []string{"-from", out}, &again, &progress)
	require.Equal(t, stdout.String(), again.String(), "the page is the same from the file")
	return all, stdout.String(), err
}

func TestEveryWorkloadIsMeasuredWithEveryPeer(t *testing.T) {
	all, page, err := measured(t, "-rounds 1 -workloads [A-Z0-9]+")
	for _, m := range all {
		require.Empty(t, m.Error, "%s of %s", m.Workload, m.Peer)
		require.NotZero(t, m.Figures[mainFigure], "%s of %s", m.Workload, m.Peer)
		if m.Peer != "pebble" { // Relaxed commits in its memory end with the process.
			require.NotContains(t, m.Notes, "lost", "%s of %s", m.Workload, m.Peer)
		}
	}
	require.NoError(t, err)
	for _, w := range workloads {
		for _, peer := range allPeers() {
			count := 0
			for _, m := range all {
				if m.Workload == w.ID && m.Peer == peer.Name {
					count++
				}
			}
			require.Equal(t, w.takes(peer), count == 1, "%s of %s", w.ID, peer.Name)
		}
	}
	require.Contains(t, page, "\n## Bars\n")
	require.Contains(t, page, "\n## W10\n")
}

func TestTwoBuildsTakeTurns(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	all, page, err := measured(t, "-rounds 2 -workloads W1/durable/1,W7/snapshot$ -peers walnut -against "+program)
	require.NoError(t, err)
	var order []string
	for _, m := range all {
		order = append(order, m.Workload+" "+m.Peer)
	}
	require.Equal(t, []string{
		"W1/durable/1 walnut", "W1/durable/1 walnut-old", "W7/snapshot walnut", "W7/snapshot walnut-old",
		"W1/durable/1 walnut-old", "W1/durable/1 walnut", "W7/snapshot walnut-old", "W7/snapshot walnut",
	}, order)
	section := page[strings.Index(page, "\n## New and old\n"):strings.Index(page, "\n## Bars\n")]
	for _, want := range []string{"| W1/durable/1 | ops/s | ", "| W1/durable/1 | p99 µs | ", "| W7/snapshot | s | "} {
		require.Contains(t, section, want)
	}
}

func TestAFailedMeasurementIsReportedAndTheOthersGoOn(t *testing.T) {
	all, page, err := measured(t, "-rounds 1 -workloads W4/uniform/[12]$ -peers walnut -against false")
	require.Error(t, err)
	require.Len(t, all, 4)
	failed := slices.DeleteFunc(slices.Clone(all), func(m Measurement) bool { return m.Error == "" })
	require.Len(t, failed, 2)
	require.Equal(t, oldName, failed[0].Peer)
	require.Contains(t, page, "| W4/uniform/1 | – | walnut-old | – ops/s | – to – |")
	require.Contains(t, page, "failed: exit status 1")
}

func TestAnInterruptedRunLeavesNothing(t *testing.T) {
	for _, interrupt := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(interrupt.String(), func(t *testing.T) {
			dir := t.TempDir()
			command := exec.Command(os.Args[0])
			command.Env = append(os.Environ(), runnerVariable+"=-workloads W1/durable/1 -peers walnut -seconds 60 -dir "+dir)
			require.NoError(t, command.Start())
			require.Eventually(t, func() bool {
				stores, _ := filepath.Glob(filepath.Join(dir, "*", "store", "wal", "*.store"))
				return len(stores) > 0
			}, 30*time.Second, 10*time.Millisecond, "the child never opened its store")
			require.NoError(t, command.Process.Signal(interrupt))
			require.Error(t, command.Wait(), "an interrupted run is no success")
			requireEmpty(t, dir)
		})
	}
}
