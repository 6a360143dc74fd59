package histogram

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryValueLiesInsideTheBoundsOfItsBucket(t *testing.T) {
	values := []int64{0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 1000, 1 << 20, 1<<20 + 1, math.MaxInt64 - 1, math.MaxInt64}
	for range 10_000 {
		values = append(values, rand.Int64()>>rand.IntN(63))
	}
	for _, value := range values {
		bucket := bucketOf(value)
		require.Less(t, bucket, buckets, "value %d", value)
		low, high := bounds(bucket)
		require.LessOrEqual(t, float64(value), high, "value %d", value)
		require.True(t, float64(value) > low || value == 0 || value > 1<<52, "value %d is not above %v", value, low)
		require.LessOrEqual(t, high-low, max(1, low/8), "the bucket of %d is too wide", value)
	}
}

func TestBucketsFollowOneAnotherWithoutAGap(t *testing.T) {
	for bucket := 1; bucket < buckets; bucket++ {
		_, before := bounds(bucket - 1)
		low, _ := bounds(bucket)
		require.Equal(t, before, low, "bucket %d", bucket)
	}
}

func TestAnEmptyHistogramAnswersZero(t *testing.T) {
	var h Histogram
	s := h.Snapshot()
	require.Equal(t, Snapshot{}, s)
	require.Zero(t, s.Quantile(0.5))
	require.Zero(t, s.Mean())
	require.Zero(t, s.AtMost(62))
}

func TestSmallValuesAreExact(t *testing.T) {
	var h Histogram
	for value := range int64(10) {
		h.Record(value + 1)
	}
	s := h.Snapshot()
	require.Equal(t, uint64(10), s.Count)
	require.Equal(t, 5.5, s.Mean())
	require.Equal(t, int64(10), s.Max)
	for share, want := range map[float64]int64{0: 1, 0.1: 1, 0.5: 5, 0.51: 6, 0.9: 9, 0.99: 10, 1: 10} {
		require.Equal(t, want, s.Quantile(share), "share %v", share)
	}
}

func TestQuantilesAreWithinAnEighthOfTheTruth(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var h Histogram
	values := make([]int64, 10_000)
	for i := range values {
		values[i] = int64(math.Exp(random.Float64() * 25))
		h.Record(values[i])
	}
	slices.Sort(values)
	s := h.Snapshot()
	for _, share := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		truth := values[int(math.Ceil(share*float64(len(values))))-1]
		require.InEpsilon(t, truth, s.Quantile(share), 0.125, "share %v", share)
	}
	require.Equal(t, values[len(values)-1], s.Quantile(1))
}

func TestAtMostCountsPowersOfTwoExactly(t *testing.T) {
	var h Histogram
	for _, value := range []int64{-5, 0, 1, 2, 3, 4, 5, 1023, 1024, 1025, math.MaxInt64} {
		h.Record(value)
	}
	s := h.Snapshot()
	for power, want := range map[int]uint64{0: 3, 1: 4, 2: 6, 9: 7, 10: 9, 11: 10, 62: 10} {
		require.Equal(t, want, s.AtMost(power), "at most 1<<%d", power)
	}
	require.Equal(t, uint64(11), s.Count)
}

func TestConcurrentRecordsAreAllCounted(t *testing.T) {
	var h Histogram
	var writers sync.WaitGroup
	for writer := range int64(4) {
		writers.Go(func() {
			for i := range int64(1000) {
				h.Record(writer*1000 + i + 1)
				if i%100 == 0 {
					require.LessOrEqual(t, h.Snapshot().Count, uint64(4000))
				}
			}
		})
	}
	writers.Wait()
	s := h.Snapshot()
	require.Equal(t, uint64(4000), s.Count)
	require.Equal(t, int64(4000*4001/2), s.Sum)
	require.Equal(t, int64(4000), s.Max)
}

func TestRecordingAllocatesNothing(t *testing.T) {
	var h Histogram
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Record(12345) }))
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	value := int64(0)
	for b.Loop() {
		h.Record(value & 0xfffff)
		value += 977
	}
}
