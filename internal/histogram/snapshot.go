package histogram

import "math"

// Snapshot is what a Histogram held at one moment. Values that were recorded during that moment may be in some of its
// numbers and not yet in others. The zero value is that of an empty one.
type Snapshot struct {
	Count uint64
	Sum   int64
	Max   int64 // 0 where Count is.

	counts []uint64 // As far as the last bucket that isn't empty.
}

// Snapshot returns what the histogram holds.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: h.sum.Load(), Max: h.max.Load()}
	var counts [buckets]uint64
	used := 0
	for i := range counts {
		if counts[i] = h.counts[i].Load(); counts[i] > 0 {
			s.Count += counts[i]
			used = i + 1
		}
	}
	if used > 0 {
		s.counts = append(s.counts, counts[:used]...)
	}
	return s
}

// Mean returns the mean of all values, 0 where there is none.
func (s Snapshot) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	return float64(s.Sum) / float64(s.Count)
}

// Quantile returns the value that a share of all values, from 0 to 1, stays at or below: inside a bucket, the values are
// taken to lie evenly spread. It is never more than Max, and 0 where there are no values.
func (s Snapshot) Quantile(share float64) int64 {
	rank := max(1, math.Ceil(share*float64(s.Count)))
	passed := 0.0
	for i, count := range s.counts {
		if passed+float64(count) < rank {
			passed += float64(count)
			continue
		}
		low, high := bounds(i)
		value := math.Ceil(low + (high-low)*(rank-passed)/float64(count))
		if value >= float64(s.Max) {
			break
		}
		return int64(value)
	}
	return s.Max
}

// AtMost returns how many values are at most 1<<power. That is exact, since powers of two are bounds of buckets.
func (s Snapshot) AtMost(power int) uint64 {
	var total uint64
	last := bucketOf(1 << power)
	for i, count := range s.counts {
		if i <= last {
			total += count
		}
	}
	return total
}
