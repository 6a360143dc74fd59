package main

import (
	"math/bits"
	"time"
)

// Each power of two of nanoseconds is divided into 1<<histogramBits buckets, so that a bucket is a 32nd wide at most.
const histogramBits = 5

// histogram counts latencies. The zero value is empty. It belongs to one goroutine.
type histogram struct {
	counts [(64 - histogramBits + 1) << histogramBits]uint64
	total  uint64
	max    time.Duration
}

func bucket(nanoseconds uint64) int {
	shift := max(0, bits.Len64(nanoseconds)-1-histogramBits)
	return shift<<histogramBits + int(nanoseconds>>shift)
}

// middle returns the latency in the middle of a bucket.
func middle(index int) time.Duration {
	shift := max(0, index>>histogramBits-1)
	low := uint64(index-shift<<histogramBits) << shift
	return time.Duration(low + 1<<shift/2)
}

func (h *histogram) add(latency time.Duration) {
	h.counts[bucket(uint64(max(0, latency)))]++
	h.total++
	h.max = max(h.max, latency)
}

func (h *histogram) merge(other *histogram) {
	for i, count := range other.counts {
		h.counts[i] += count
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile returns the latency that a share of all stays at or below, to a 32nd; 0 where nothing was added.
func (h *histogram) quantile(share float64) time.Duration {
	seen, wanted := uint64(0), uint64(share*float64(h.total))
	for index, count := range h.counts {
		seen += count
		if count > 0 && seen >= max(wanted, 1) {
			return min(middle(index), h.max)
		}
	}
	return 0
}
