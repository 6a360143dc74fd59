// Package histogram counts values in buckets of fixed bounds, cheaply enough to stand in the path of a commit: recording
// is a few atomic additions, takes no lock and allocates nothing.
//
// Each power of two is divided into eight buckets of one width, so that what a quantile says is at most an eighth off.
package histogram

import (
	"math/bits"
	"sync/atomic"
)

// Each power of two has 1<<detail buckets.
const detail = 3

// buckets is how many it takes to hold every positive int64.
const buckets = (63 - detail + 1) << detail

// Histogram counts values; what they measure, and in which unit, is its owner's business. The zero value is empty and
// ready. It must not be copied. Its methods may be called concurrently.
type Histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
	max    atomic.Int64
}

// Record counts a value. Less than 0 counts as 0.
func (h *Histogram) Record(value int64) {
	value = max(value, 0)
	h.counts[bucketOf(value)].Add(1)
	h.sum.Add(value)
	for {
		highest := h.max.Load()
		if value <= highest || h.max.CompareAndSwap(highest, value) {
			return
		}
	}
}

// bucketOf returns the bucket that a value falls into. A bucket's upper bound belongs to it, so that powers of two are
// bounds that "at most" can be asked of. The first one has 0 and 1.
func bucketOf(value int64) int {
	below := uint64(max(value, 1) - 1)
	shift := max(0, bits.Len64(below)-1-detail)
	return shift<<detail + int(below>>shift)
}

// bounds returns what the values of a bucket are more than, and what they are at most. The first bucket's 0 is its too.
func bounds(bucket int) (low, high float64) {
	shift := max(0, bucket>>detail-1)
	below := float64(bucket - shift<<detail)
	width := float64(uint64(1) << shift)
	return below * width, (below + 1) * width
}
