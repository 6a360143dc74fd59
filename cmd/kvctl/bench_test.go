package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/histogram"
	"github.com/walnutkv/walnut/kv"
)

func TestMeasurementCountsEveryOperationAndTimesASample(t *testing.T) {
	var done atomic.Uint64
	m, err := runWorkers(t.Context(), "op", 20*time.Millisecond, 4, 10, func(*rand.Rand) error {
		done.Add(1)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, done.Load(), m.count)
	require.GreaterOrEqual(t, m.latency.Count, m.count/10)
	require.LessOrEqual(t, m.latency.Count, m.count/10+4)
	require.GreaterOrEqual(t, m.elapsed, 20*time.Millisecond)
}

func TestMeasurementEndsWithTheFirstFailure(t *testing.T) {
	start, broken := time.Now(), errors.New("broken disk")
	_, err := runWorkers(t.Context(), "op", time.Hour, 4, 1, func(random *rand.Rand) error {
		if random.IntN(1000) == 0 {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)
	require.Less(t, time.Since(start), time.Minute)
}

func TestSyncInMicrosecondsIsSuspect(t *testing.T) {
	for _, c := range []struct {
		name string
		took time.Duration
		want bool
	}{
		{"a file system in memory", time.Microsecond, true},
		{"a disk that keeps data without power", 20 * time.Microsecond, false},
		{"a disk", time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var latency histogram.Histogram
			latency.Record(int64(c.took))
			m := measurement{name: syncName, count: 1, elapsed: time.Second, latency: latency.Snapshot()}
			require.Equal(t, c.want, m.suspect())
			require.Equal(t, c.want, m.json().Suspect)
			m.name = "put"
			require.False(t, m.suspect(), "only a sync is expected to reach the disk")
		})
	}
}

func TestBenchNamesTheDiskThatIsFull(t *testing.T) {
	require.ErrorContains(t, benchError("store", fmt.Errorf("put: %w", kv.ErrNoSpace)), "bench: the disk of store is full: put: ")
	require.ErrorContains(t, benchError("store", fmt.Errorf("write: %w", syscall.ENOSPC)), "bench: the disk of store is full: ")
	output := outputError{fmt.Errorf("write to standard output: %w", syscall.ENOSPC)}
	require.Equal(t, output, benchError("store", output), "another disk is full")
}

func TestLatenciesAndRatesHaveThreeDigits(t *testing.T) {
	for nanoseconds, want := range map[int64]string{0: "0s", 7: "7ns", 1234: "1.23µs", 45678901: "45.7ms", 1234567890: "1.23s"} {
		require.Equal(t, want, shortLatency(nanoseconds))
	}
	for rate, want := range map[float64]string{0: "0", 2.1534: "2.15", 99.94: "99.9", 12345.6: "12346"} {
		require.Equal(t, want, shortRate(rate))
	}
}
