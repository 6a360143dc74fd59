package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestShuffledNumbersComeOnceEachInAnotherOrder(t *testing.T) {
	for _, pairs := range []uint64{1, 2, 3, 255, 256, 257, 10_000} {
		data := dataset{pairs: pairs, seed: pairs}
		seen, inPlace := make([]bool, pairs), 0
		for i := range pairs {
			n := data.shuffled(i)
			require.False(t, seen[n], "%d of %d comes again", n, pairs)
			seen[n] = true
			if n == i {
				inPlace++
			}
			require.Equal(t, n, data.shuffled(i+3*pairs))
		}
		if pairs > 100 {
			require.Less(t, inPlace, 10, "of %d", pairs)
		}
	}
}

// TestWhatIsHeldStaysWhileTheStoreChanges also holds those to it who are no peers' but limits'.
func TestWhatIsHeldStaysWhileTheStoreChanges(t *testing.T) {
	for _, peer := range peers {
		if peer.OpenStore == nil {
			continue
		}
		store, err := peer.OpenStore(t.TempDir(), Settings{Mode: Relaxed, Writers: 1})
		require.NoError(t, err)
		holder, holds := store.(Holder)
		workload, err := workloadByID("W11/held/relaxed/goroutines=1")
		require.NoError(t, err)
		require.Equal(t, peer.takes(workload), holds, peer.Name)
		if holds {
			t.Run(peer.Name, func(t *testing.T) { requireHolding(t, holder) })
		}
		require.NoError(t, store.Close())
	}
}

func requireHolding(t *testing.T, store Holder) {
	require.NoError(t, store.Put([]byte("key"), []byte("before")))
	held, err := store.Hold()
	require.NoError(t, err)
	require.NoError(t, store.Put([]byte("key"), []byte("after")))
	require.NoError(t, store.Put([]byte("another"), []byte("after")))
	found := ""
	require.NoError(t, held.Get([]byte("key"), func(value []byte) { found = string(value) }))
	require.Equal(t, "before", found)
	require.ErrorIs(t, held.Get([]byte("another"), nil), errNotFound)
	require.NoError(t, held.Close())
	require.Equal(t, "after", get(t, store, "key"))
}

func TestOverwritingGoesOverEveryPairOnceAndTellsTheHeap(t *testing.T) {
	for _, name := range []string{"W11/free/durable", "W11/held/durable"} {
		t.Run(name, func(t *testing.T) {
			m := measured(t, name+"/goroutines=64", time.Minute)
			require.EqualValues(t, 300, m.Operations)
			require.Empty(t, m.Notes)
			require.Positive(t, m.extra("heap MB before"))
			require.Positive(t, m.extra("heap MB after"))
		})
	}
}

func TestReadersBesideAWriterTellItsRate(t *testing.T) {
	m := measured(t, "W12/gets/beside/goroutines=2", 300*time.Millisecond)
	require.Positive(t, m.extra("writers ops/s"))
	require.Positive(t, m.extra("writers p99 µs"))
	require.Empty(t, measured(t, "W12/gets/alone/goroutines=2", 300*time.Millisecond).More)
}

func measured(t *testing.T, id string, most time.Duration) Measurement {
	t.Helper()
	r, err := newRun(Spec{
		Workload: id, Peer: walnutName, Dir: t.TempDir(), Pairs: 300, Seed: 1, Round: 1, Time: most, Warmup: 5 * time.Millisecond,
	})
	require.NoError(t, err)
	m, err := r.measure()
	require.NoError(t, err)
	return m
}

// requireFigure holds that something was measured. What a store takes of the heap is a difference, and the test's own
// process frees what stores before it left behind: with few pairs the difference may be below zero. The runner weighs a
// store in a process of its own.
func requireFigure(t *testing.T, m Measurement) {
	t.Helper()
	if m.Unit == bytesPerPair {
		require.NotZero(t, m.Figure)
		return
	}
	require.Positive(t, m.Figure)
}

func TestReportHasAColumnForWhatAWorkloadTellsBesides(t *testing.T) {
	with := made("walnut", 10, 20, 30)
	for i := range with {
		with[i].More = []Extra{{"writers ops/s", float64(i)}}
	}
	page := pageOf(t, with)
	require.Contains(t, page, "| disk MB | writers ops/s | notes |")
	require.Contains(t, page, "| 0 | 1 |  |", "the median, in front of no notes")
	require.NotContains(t, pageOf(t, made("walnut", 10)), "writers")
}
