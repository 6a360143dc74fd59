package kv

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheFirstOfAnythingAreTimedEachAndThenOneInSixteen(t *testing.T) {
	var timed timer
	for range timedAll {
		started := timed.start()
		require.False(t, started.IsZero())
		timed.stop(started)
	}
	const more = 100_000
	for range more {
		timed.stop(timed.start())
	}
	count := float64(timed.spread.Snapshot().Count) - timedAll
	// A standard deviation is 77 here: chance alone stays within ten of them.
	require.InDelta(t, more/timedShare, count, 770)
}

func TestATimerRecordsTheTimeThatPassed(t *testing.T) {
	var timed timer
	timed.stop(time.Now().Add(-time.Minute))
	timed.stop(time.Time{})
	taken := newLatency(timed.spread.Snapshot())
	require.EqualValues(t, 1, taken.Count)
	require.InDelta(t, time.Minute, taken.Max, float64(10*time.Second))
	require.Equal(t, taken.Max, taken.P50)
	require.Equal(t, taken.Max, taken.Mean)
}

// BenchmarkTimer measures what timing costs each commit: all of them are timed at first, then a sample.
func BenchmarkTimer(b *testing.B) {
	for name, before := range map[string]int64{"each": 0, "sample": timedAll} {
		b.Run(name, func(b *testing.B) {
			var timed timer
			for b.Loop() {
				timed.timed.Store(before)
				timed.stop(timed.start())
			}
		})
	}
}
