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

// TestAStoreOfPagesIsLoadedOnceForAllRoundsAndWorkloads looks at how many times the runner says that it had one loaded.
func TestAStoreOfPagesIsLoadedOnceForAllRoundsAndWorkloads(t *testing.T) {
	for _, test := range []struct {
		about, arguments string
		loads, measured  int
	}{
		{"apart, in both modes", "-workloads W5/short,W6/B,W9/checkpoint,W10 -peers bbolt -rounds 2", 1, 14},
		{"together", "-together -workloads W4/uniform,W5,W6/B -peers bbolt -rounds 2", 1, 16},
		{"another data set is loaded too", "-workloads W4/uniform/goroutines=2 -peers bbolt -rounds 2 -pairs 100,200", 2, 4},
		{"in memory", "-workloads W4/uniform/goroutines=2 -peers walnut -rounds 2", 0, 2},
		{"from an empty store", "-workloads W2 -peers bbolt -rounds 2", 0, 4},
	} {
		t.Run(test.about, func(t *testing.T) {
			dir := t.TempDir()
			var lines, progress bytes.Buffer
			arguments := append(strings.Fields("-pairs 100 -seconds 0.01 -warmup 0.01 "+test.arguments), "-dir", dir)
			require.NoError(t, compare(context.Background(), arguments, &lines, &progress), progress.String())
			require.Equal(t, test.loads, strings.Count(progress.String(), " is loaded, once for all rounds\n"), progress.String())
			measured := 0
			for line := range strings.Lines(lines.String()) {
				var m Measurement
				if json.Unmarshal([]byte(line), &m) == nil && m.Workload != "" {
					require.Positive(t, m.Figure, line)
					measured++
				}
			}
			require.Equal(t, test.measured, measured)
			requireEmpty(t, dir)
		})
	}
}

// TestEveryWorkloadFindsTheLoadedStore would fail if one loaded again: then there would be batches.
func TestEveryWorkloadFindsTheLoadedStore(t *testing.T) {
	for _, peer := range peers {
		if !peer.Pages {
			continue
		}
		dir := t.TempDir()
		one := Spec{
			Peer: peer.Name, Dir: dir, Pairs: 300, Seed: 1, Round: 1, Time: 5 * time.Millisecond, Warmup: time.Millisecond, Loaded: true,
		}
		for _, workload := range workloads {
			if !workload.loaded || !peer.takes(workload) {
				continue
			}
			t.Run(peer.Name+"/"+workload.ID(), func(t *testing.T) {
				spec := one
				spec.Workload = workload.ID()
				r, err := newRun(spec)
				require.NoError(t, err)
				if entries, err := sizeOf(dir); err == nil && entries == 0 {
					require.NoError(t, prepareLoaded(r))
				}
				open := peer.OpenStore
				r.peer.OpenStore = func(dir string, settings Settings) (Store, error) {
					store, err := open(dir, settings)
					if err != nil {
						return nil, err
					}
					requirePairs(t, store, r.data)
					return unbatched(store), nil
				}
				m, err := r.measure()
				require.NoError(t, err)
				requireFigure(t, m)
			})
		}
	}
}

// requirePairs holds that the store has the keys of the data set and no others.
func requirePairs(t *testing.T, store Store, data dataset) {
	t.Helper()
	w, pairs := newWorker(data, 0, 1), uint64(0)
	for i := range data.pairs {
		_, err := w.get(store, i)
		require.NoError(t, err)
	}
	require.NoError(t, store.Scan(nil, 0, func([]byte, []byte) { pairs++ }))
	require.Equal(t, data.pairs, pairs)
}

// unbatched is a store that refuses batches, as only loading makes them where a store is loaded.
func unbatched(store Store) Store {
	if backuper, can := store.(Backuper); can {
		return refusingBackuper{backuper}
	}
	return refusing{store}
}

type refusing struct{ Store }

func (refusing) Batch([]Pair) error { return errUnsupported }

type refusingBackuper struct{ Backuper }

func (refusingBackuper) Batch([]Pair) error { return errUnsupported }

func TestPeersTakePartInTheWorkloadsBehindTheirColon(t *testing.T) {
	for _, test := range []struct {
		about, peers string
		workload     string
		want         []string
	}{
		{"those without a colon take part in all", "walnut,pebble", "W4/uniform/goroutines=1", []string{"walnut", "pebble"}},
		{"one of its two", "walnut,pebble:W1+W9,bbolt:W4", "W9/checkpoint/relaxed/goroutines=16", []string{"walnut", "pebble"}},
		{"the whole of a part", "pebble:W9/checkpoint", "W9/checkpoint/durable/goroutines=16", []string{"pebble"}},
		{"another part", "pebble:W9/checkpoint/relaxed", "W9/checkpoint/durable/goroutines=16", nil},
		{"its adapter's own limits stay", "walnut,bare-btree:W1+W4", "W1/durable/goroutines=1", []string{"walnut"}},
		{"every limit", "limit:W1", "W4/uniform/goroutines=1", nil},
		{"the limit that does it", "limit:W4", "W4/uniform/goroutines=1", []string{"bare-btree"}},
		{"named twice, it takes part in both", "pebble:W1,pebble:W4", "W4/uniform/goroutines=1", []string{"pebble"}},
	} {
		t.Run(test.about, func(t *testing.T) {
			chosen, err := choices{peers: test.peers}.choosePeers()
			require.NoError(t, err)
			workload, err := workloadByID(test.workload)
			require.NoError(t, err)
			var names []string
			for _, peer := range chosen {
				if peer.takes(workload) {
					names = append(names, peer.Name)
				}
			}
			require.Equal(t, test.want, names)
		})
	}
}
