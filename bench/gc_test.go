package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGarbageCollectionIsToldOfMixedLoad(t *testing.T) {
	for _, workload := range []string{"G/mixed/goroutines=16", "G/mixed/durable/goroutines=16"} {
		m := measured(t, workload, 50*time.Millisecond)
		var names []string
		for _, extra := range m.More {
			names = append(names, extra.Name)
		}
		require.Equal(t, []string{"gc cpu %", "gc assist %", "gc cycles", "longest pause ms", "longest cycle's pauses ms"}, names)
		require.Equal(t, m.extra("gc cycles") == 0, m.Notes == "no collection ended while it was measured")
		require.Less(t, m.extra("gc cpu %"), 100.0)
		require.GreaterOrEqual(t, m.extra("gc cpu %"), m.extra("gc assist %"))
	}
}

func TestMixedLoadIsMeasuredForTenSecondsAtLeast(t *testing.T) {
	workload, err := workloadByID("G/mixed/goroutines=16")
	require.NoError(t, err)
	r := &runner{spec: Spec{Time: time.Second}}
	require.Equal(t, 10*time.Second, r.specs(workload)[0].Time)
	r.spec.Time = time.Minute
	require.Equal(t, time.Minute, r.specs(workload)[0].Time)
}

// TestBothAccountsOfPausesAgree collects garbage by force; the histogram's buckets are a quarter wide.
func TestBothAccountsOfPausesAgree(t *testing.T) {
	before, count := readCollected(), collections()
	require.Zero(t, readCollected().longestPause(before))
	require.Zero(t, longestCollection(count))
	for range 10 {
		runtime.GC()
	}
	after := readCollected()
	cycle, pause := longestCollection(count).Seconds(), after.longestPause(before)
	require.Positive(t, pause)
	require.LessOrEqual(t, pause, 1.3*cycle, "one pause is no longer than all of its collection")
	require.GreaterOrEqual(t, pause, 0.45*cycle, "a collection has two pauses")
	require.Equal(t, before.cycles, after.cycles, "forced collections are not counted")
	require.Greater(t, after.collector, before.collector)
}

func TestLongestPauseIsThatOfTheLastBucketWithMore(t *testing.T) {
	of := func(counts ...uint64) collected {
		return collected{pauses: &metrics.Float64Histogram{Counts: counts, Buckets: []float64{0, 1, 2, 3}}}
	}
	require.Zero(t, of(1, 2, 3).longestPause(of(1, 2, 3)))
	require.Equal(t, 2.0, of(1, 3, 3).longestPause(of(1, 2, 3)))
	require.Equal(t, 3.0, of(1, 3, 4).longestPause(of(1, 2, 3)))
}
