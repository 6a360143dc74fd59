package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestListsMakeEveryCombinationOnce(t *testing.T) {
	for _, test := range []struct {
		about, arguments, workload string
		want                       []extent
	}{
		{"nothing said", "", "W1/durable/goroutines=1", []extent{{usualPairs, randomKeys, 100}}},
		{"nothing said of a workload on a big heap", "", "G/mixed/goroutines=16", []extent{{garbagePairs, randomKeys, 100}}},
		{"pairs said of it", "-pairs 300", "G/mixed/goroutines=16", []extent{{300, randomKeys, 100}}},
		{
			"two lists", "-pairs 10,20 -keys sequential,prefixed", "S/put/goroutines=1",
			[]extent{{10, sequentialKeys, 100}, {10, prefixedKeys, 100}, {20, sequentialKeys, 100}, {20, prefixedKeys, 100}},
		},
		{"one value size lowers nothing", "-value-bytes 65536", "S/put/goroutines=1", []extent{{usualPairs, randomKeys, 65536}}},
		{
			"several value sizes lower the pairs to a gibibyte", "-value-bytes 100,65520 -pairs 100000000", "S/put/goroutines=1",
			[]extent{{1 << 30 / 116, randomKeys, 100}, {1 << 30 / 65536, randomKeys, 65520}},
		},
		{
			"what the lowering makes the same is measured once", "-value-bytes 16,65520 -pairs 100000,200000", "S/put/goroutines=1",
			[]extent{{100000, randomKeys, 16}, {16384, randomKeys, 65520}, {200000, randomKeys, 16}},
		},
		{"a log has records of its own", "-keys random,prefixed -value-bytes 1,2", "L1/durable/goroutines=1", []extent{{usualPairs, randomKeys, 100}}},
	} {
		t.Run(test.about, func(t *testing.T) {
			c, err := parse(strings.Fields(test.arguments), &bytes.Buffer{})
			require.NoError(t, err)
			workload, err := workloadByID(test.workload)
			require.NoError(t, err)
			require.Equal(t, test.want, c.extents(workload))
		})
	}
}

func TestWrongListsAreRefused(t *testing.T) {
	for _, arguments := range []string{
		"-pairs 0", "-pairs 1,x", "-pairs ,", "-pairs 9999999999", "-keys round", "-value-bytes 0", "-value-bytes 100,-1", "-value-bytes 99999999",
	} {
		_, err := parse(strings.Fields(arguments), &bytes.Buffer{})
		require.ErrorContains(t, err, "invalid value", arguments)
	}
}

func TestWorkloadsByNameAreNotPartOfTheDefault(t *testing.T) {
	chosen, err := choices{}.chooseWorkloads()
	require.NoError(t, err)
	for _, workload := range chosen {
		require.False(t, selected([]string{"S", "G"}, workload.ID()), workload.ID())
	}
	chosen, err = choices{workloads: "S,G"}.chooseWorkloads()
	require.NoError(t, err)
	require.Equal(t, []string{
		"S/put/goroutines=1", "S/heap/goroutines=1", "S/get/goroutines=2", "S/checkpoint/goroutines=1", "S/start/goroutines=1",
		"G/mixed/goroutines=16", "G/mixed/durable/goroutines=16",
	}, ids(chosen))
	require.False(t, buntdbPeer.takes(chosen[0]), "unless it is asked for")
	require.True(t, walnutPeer.takes(chosen[0]))
	require.Len(t, staged(chosen), 3, "the stages are one group")
	chosen, err = choices{workloads: "S", peers: "buntdb"}.chooseWorkloads()
	require.NoError(t, err)
	require.True(t, buntdbPeer.takes(chosen[0]))
}

func TestStagesGoThroughWhatTheyNeed(t *testing.T) {
	for _, test := range []struct {
		about, peer string
		asked       []string
	}{
		{"gets need puts", "pebble", []string{"S/get"}},
		{"a start needs a checkpoint", walnutName, []string{"S/start"}},
		{"a start without one to be had", "pebble", []string{"S/start"}},
		{"all of them", walnutName, []string{"S/put", "S/heap", "S/get", "S/checkpoint", "S/start"}},
	} {
		t.Run(test.about, func(t *testing.T) {
			var runs []*run
			for _, stage := range scaleWorkloads() {
				if selected(test.asked, stage.Name) {
					r, err := newRun(Spec{
						Workload: stage.ID(), Peer: test.peer, Pairs: 500, Seed: 1, Keys: prefixedKeys, Value: 200, Time: 10 * time.Millisecond,
					})
					require.NoError(t, err)
					runs = append(runs, r)
				}
			}
			runs[0].Dir = t.TempDir()
			for _, r := range runs {
				r.Dir = runs[0].Dir
			}
			done, err := measureAll(runs)
			require.NoError(t, err)
			require.Len(t, done, len(test.asked))
			for i, m := range done {
				require.Equal(t, test.asked[i], m.Workload)
				requireFigure(t, m)
				require.Equal(t, prefixedKeys, m.Keys)
				require.Equal(t, 200, m.ValueBytes)
				require.Empty(t, m.Notes, "every pair is there")
			}
		})
	}
}

// measuredApart measures a workload as the runner does, in a process that nothing else has left anything in.
func measuredApart(t *testing.T, id string) (m Measurement) {
	t.Helper()
	var lines, progress bytes.Buffer
	arguments := []string{"-workloads", id, "-peers", walnutName, "-rounds", "1", "-pairs", "300", "-seconds", "0.01", "-dir", t.TempDir()}
	require.NoError(t, compare(context.Background(), arguments, &lines, &progress), progress.String())
	_, line, _ := strings.Cut(lines.String(), "\n")
	require.NoError(t, json.NewDecoder(strings.NewReader(line)).Decode(&m), lines.String())
	require.Equal(t, id, m.ID())
	return m
}

func TestStagesTellWhatTheyCost(t *testing.T) {
	for workload, extras := range map[string][]string{
		"S/put/goroutines=1":        {"heap B/pair", "heap / data"},
		"S/heap/goroutines=1":       {"heap / data"},
		"S/checkpoint/goroutines=1": {"file MB", "s/GB of data"},
		"S/start/goroutines=1":      {"s/GB of data", "peak heap / live heap", "peak resident / live heap"},
	} {
		m := measuredApart(t, workload)
		for _, name := range extras {
			require.Positive(t, m.extra(name), "%s: %s", workload, name)
		}
		require.Len(t, m.More, len(extras))
	}
	m := measuredApart(t, "S/heap/goroutines=1")
	require.InDelta(t, 170, m.Figure, 110, "a pair takes its 116 bytes and some more")
}

// TestEveryShapeAndSizeRunsInEveryPeer measures two workloads which between them put, get, load and update.
func TestEveryShapeAndSizeRunsInEveryPeer(t *testing.T) {
	for _, id := range []string{"S/get/goroutines=2", "W6/F/relaxed/goroutines=16", "W2/ordered/goroutines=1", "W8/heap/goroutines=1"} {
		workload, err := workloadByID(id)
		require.NoError(t, err)
		for _, peer := range peers {
			if !peer.takes(workload) {
				continue
			}
			for _, one := range []extent{{300, sequentialKeys, 16}, {20, prefixedKeys, 65536}} {
				r, err := newRun(Spec{
					Workload: id, Peer: peer.Name, Dir: t.TempDir(), Pairs: one.pairs, Keys: one.keys, Value: one.valueBytes,
					Time: 5 * time.Millisecond,
				})
				require.NoError(t, err)
				m, err := r.measure()
				require.NoError(t, err, "%s of %s", id, peer.Name)
				requireFigure(t, m)
			}
		}
	}
}

func TestComparisonMeasuresEveryCombinationByItself(t *testing.T) {
	dir := t.TempDir()
	var lines, progress bytes.Buffer
	arguments := "-workloads S/put,S/start,W7/snapshot -peers walnut -rounds 2 -pairs 30,40 -keys random,sequential -seconds 0.01 -warmup 0"
	err := compare(context.Background(), append(strings.Fields(arguments), "-dir", dir), &lines, &progress)
	require.NoError(t, err, progress.String())
	counts := map[extent]int{}
	for line := range strings.Lines(lines.String()) {
		var m Measurement
		if json.Unmarshal([]byte(line), &m) == nil && m.Workload != "" {
			require.Empty(t, m.Notes, "the store that was prepared is the one for this data set")
			counts[extent{m.Pairs, m.Keys, m.ValueBytes}]++
		}
	}
	require.Equal(t, map[extent]int{
		{30, randomKeys, 100}: 6, {40, randomKeys, 100}: 6, {30, sequentialKeys, 100}: 6, {40, sequentialKeys, 100}: 6,
	}, counts)
	requireEmpty(t, dir)
}
