// Package histogram counts values in buckets of fixed bounds, cheaply enough for the path of a commit: recording a value takes
// a few atomic additions, no lock and no allocation.
//
// Each power of two is divided into eight buckets of one width, so that a quantile is at most an eighth off.
package histogram

import (
	"math/bits"
	"sync/atomic"
)

// Each power of two has 1<<detail buckets.
const detail = 3

// buckets is the number of buckets for all positive int64.
const buckets = (63 - detail + 1) << detail

// Histogram counts values of any unit. The zero value is empty and ready. A Histogram must not be copied. Its methods may be
// called concurrently.
type Histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
	max    atomic.Int64
}

// Record counts a value. Less than 0 counts as 0.
func (h *Histogram) Record(value int64) { h.RecordMany(value, 1) }

// RecordMany counts a value some number of times.
func (h *Histogram) RecordMany(value, times int64) {
	value = max(value, 0)
	h.counts[bucketOf(value)].Add(uint64(times))
	h.sum.Add(value * times)
	for {
		highest := h.max.Load()
		if value <= highest || h.max.CompareAndSwap(highest, value) {
			return
		}
	}
}

// bucketOf returns the bucket of a value. A bucket includes its upper bound, so that AtMost is exact for powers of two. The
// first bucket holds 0 and 1.
func bucketOf(value int64) int {
	below := uint64(max(value, 1) - 1)
	shift := max(0, bits.Len64(below)-1-detail)
	return shift<<detail + int(below>>shift)
}

// bounds returns the bounds of a bucket: its values are greater than low and at most high. The first bucket also holds 0.
func bounds(bucket int) (low, high float64) {
	shift := max(0, bucket>>detail-1)
	below := float64(bucket - shift<<detail)
	width := float64(uint64(1) << shift)
	return below * width, (below + 1) * width
}
