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

func ids(workloads []Workload) (ids []string) {
	for _, workload := range workloads {
		ids = append(ids, workload.ID())
	}
	return ids
}

func TestWorkloadsThatShareAStoreComeInTheOrderOfWhatTheyChange(t *testing.T) {
	chosen, err := choices{workloads: "W1/durable/goroutines=1,W4/uniform,W5,W6,W8/heap,W11/held/relaxed"}.chooseWorkloads()
	require.NoError(t, err)
	var groups [][]string
	for _, group := range sharing(chosen) {
		groups = append(groups, ids(group))
	}
	require.Equal(t, [][]string{
		{"W1/durable/goroutines=1"},
		{
			"W4/uniform/goroutines=1", "W4/uniform/goroutines=2", "W5/full/goroutines=1", "W5/short/goroutines=1",
			"W6/B/relaxed/goroutines=16", "W6/A/relaxed/goroutines=16", "W6/F/relaxed/goroutines=16",
		},
		{"W5/full/restarted/goroutines=1", "W5/short/restarted/goroutines=1"},
		{"W6/B/durable/goroutines=16", "W6/A/durable/goroutines=16", "W6/F/durable/goroutines=16"},
		{"W8/heap/goroutines=1"},
		{"W11/held/relaxed/goroutines=1"},
	}, groups)
	require.Len(t, apart(chosen), len(chosen))
}

func TestEveryPeerMeasuresWhatSharesItsStore(t *testing.T) {
	for _, group := range sharing(workloads) {
		for _, peer := range peers {
			taken := peer.taken(group)
			if len(taken) < 2 {
				continue
			}
			t.Run(taken[0].ID()+"/"+peer.Name, func(t *testing.T) {
				runs, err := newRuns(Spec{
					Workload: taken[0].ID(), After: ids(taken[1:]), Peer: peer.Name, Dir: t.TempDir(), Pairs: 300, Seed: 1, Round: 1,
					Time: 50 * time.Millisecond, Warmup: 4 * time.Millisecond,
				})
				require.NoError(t, err)
				require.Equal(t, time.Millisecond, runs[1].Warmup)
				all, err := measureAll(runs)
				require.NoError(t, err)
				require.Len(t, all, len(taken))
				for i, m := range all {
					require.Equal(t, taken[i].ID(), m.ID())
					requireFigure(t, m)
					require.Equal(t, all[0].DiskBytes, m.DiskBytes)
				}
			})
		}
	}
}

func TestComparisonOfWhatSharesAStoreHasALineForEachWorkload(t *testing.T) {
	dir := t.TempDir()
	var lines, progress bytes.Buffer
	arguments := "-together -workloads W4/uniform,W6/A,W8/heap -peers walnut,limit -rounds 1 -pairs 300 -seconds 0.01 -warmup 0.01"
	err := compare(context.Background(), append(strings.Fields(arguments), "-dir", dir), &lines, &progress)
	require.NoError(t, err, progress.String())
	var measured []string
	for line := range strings.Lines(lines.String()) {
		var m Measurement
		if json.Unmarshal([]byte(line), &m) == nil && m.Workload != "" {
			measured = append(measured, m.ID()+" "+m.Peer)
		}
	}
	require.Equal(t, []string{
		"W4/uniform/goroutines=1 walnut", "W4/uniform/goroutines=2 walnut", "W6/A/relaxed/goroutines=16 walnut",
		"W4/uniform/goroutines=1 bare-btree", "W4/uniform/goroutines=2 bare-btree",
		"W6/A/durable/goroutines=16 walnut",
		"W8/heap/goroutines=1 walnut", "W8/heap/goroutines=1 bare-btree",
	}, measured)
	requireEmpty(t, dir)
}

func TestWhatWasMeasuredBeforeAFailureIsKept(t *testing.T) {
	runs, err := newRuns(Spec{
		Workload: "W4/uniform/goroutines=1", After: []string{"W4/uniform/goroutines=2"}, Peer: walnutName, Dir: t.TempDir(), Pairs: 10,
		Time: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	runs[1].workload.repeated = func(Store) operation {
		return func(*worker) (int, error) { return 0, errUnsupported }
	}
	all, err := measureAll(runs)
	require.ErrorIs(t, err, errUnsupported)
	require.Equal(t, "W4/uniform/goroutines=1", all[0].ID())
	require.Len(t, all, 1)
}

func TestAGroupThatFailedHasALineForEachWorkload(t *testing.T) {
	chosen, err := choices{workloads: "W4/uniform"}.chooseWorkloads()
	require.NoError(t, err)
	chosen = append(chosen, Workload{Name: "W4/unheard", Goroutines: 1, Unit: operationsRate})
	var lines bytes.Buffer
	r := &runner{
		spec: Spec{Pairs: 10, Time: time.Millisecond}, rounds: 1, groups: [][]Workload{chosen}, peers: []Peer{walnutPeer},
		dir: t.TempDir(), out: &lines, progress: &lines,
	}
	all, err := r.run(context.Background())
	require.NoError(t, err)
	require.Equal(t, ids(chosen), []string{all[0].ID(), all[1].ID(), all[2].ID()})
	for _, m := range all {
		require.Contains(t, m.Error, `no workload "W4/unheard`)
	}
}
