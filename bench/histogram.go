package main

import (
	"math/bits"
	"time"
)

// Each power of two of nanoseconds has 1<<histogramBits buckets, so that a bucket is a 32nd wide at most.
const histogramBits = 5

// histogram counts latencies. The zero value is empty. It belongs to one goroutine.
type histogram struct {
	counts [(64 - histogramBits + 1) << histogramBits]uint64
	total  uint64
	max    time.Duration
}

func (h *histogram) add(latency time.Duration) {
	nanoseconds := uint64(max(0, latency))
	shift := max(0, bits.Len64(nanoseconds)-1-histogramBits)
	h.counts[shift<<histogramBits+int(nanoseconds>>shift)]++
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

// quantile returns the latency in microseconds that a share of all stays at or below, to a 32nd; 0 where nothing was added.
func (h *histogram) quantile(share float64) float64 {
	seen, wanted := uint64(0), max(1, uint64(share*float64(h.total)))
	for index, count := range h.counts {
		if seen += count; count > 0 && seen >= wanted {
			shift := max(0, index>>histogramBits-1)
			middle := uint64(index-shift<<histogramBits)<<shift + 1<<shift/2
			return microseconds(min(time.Duration(middle), h.max))
		}
	}
	return 0
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
