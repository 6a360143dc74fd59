package histogram

import "math"

// Snapshot is the content of a Histogram at one moment. A value recorded during that moment may be in some of its numbers and
// not yet in others. The zero value is that of an empty Histogram.
type Snapshot struct {
	Count uint64
	Sum   int64
	Max   int64 // 0 if Count is 0.

	counts []uint64 // Up to the last bucket that isn't empty.
}

// Snapshot returns the current content.
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

// Mean returns the mean of all values, or 0 without values.
func (s Snapshot) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	return float64(s.Sum) / float64(s.Count)
}

// Quantile returns the value that the given share of all values, from 0 to 1, doesn't exceed. It assumes that the values of a
// bucket are evenly spread. It is never more than Max, and 0 without values.
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

// AtMost returns the number of values up to 1<<power. It is exact, since powers of two are bounds of buckets.
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
