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
	measured := 0
	for range more {
		started := timed.start()
		if !started.IsZero() {
			measured++
		}
		timed.stop(started)
	}
	// A standard deviation is 77 here: chance alone stays within ten of them.
	require.InDelta(t, more/timedShare, measured, 770)
	require.EqualValues(t, timedAll+more, timed.snapshot().Count, "each one measured stands for those before it")
	require.EqualValues(t, timedAll+more, timed.snapshot().Count)
}

func TestATimerRecordsTheTimeThatPassed(t *testing.T) {
	var timed timer
	timed.stop(time.Now().Add(-time.Minute))
	taken := newLatency(timed.snapshot())
	require.EqualValues(t, 1, taken.Count)
	require.InDelta(t, time.Minute, taken.Max, float64(10*time.Second))
	require.Equal(t, taken.Max, taken.P50)
	require.Equal(t, taken.Max, taken.Mean)
	timed.stop(time.Time{})
	again := newLatency(timed.snapshot())
	require.EqualValues(t, 2, again.Count, "one that wasn't timed counts as the last one")
	require.Equal(t, taken.Mean, again.Mean)
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
