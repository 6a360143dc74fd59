package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Measurement is what one process has measured: one line of JSON.
type Measurement struct {
	Workload   string  `json:"workload"`
	Goroutines int     `json:"goroutines"`
	Peer       string  `json:"peer"`
	Version    string  `json:"version"`
	Round      int     `json:"round"`       // From 1.
	Pairs      uint64  `json:"pairs"`       // Of the data set.
	Keys       string  `json:"keys"`        // Their shape.
	ValueBytes int     `json:"value_bytes"` // Of each value.
	Figure     float64 `json:"figure"`
	Unit       string  `json:"unit"`

	Operations int64   `json:"operations,omitempty"`
	Seconds    float64 `json:"seconds,omitempty"`
	P50        float64 `json:"p50_us,omitempty"` // Latencies of an operation, in microseconds.
	P99        float64 `json:"p99_us,omitempty"`
	P999       float64 `json:"p99_9_us,omitempty"`
	Max        float64 `json:"max_us,omitempty"`

	DiskBytes int64 `json:"disk_bytes"` // Length of all files once the peer was closed.
	HeapBytes int64 `json:"heap_bytes"` // Live Go heap at the end, with the peer open.
	PeakBytes int64 `json:"peak_bytes"` // The most memory that the process had resident; 0 where that isn't known.

	More []Extra `json:"more,omitempty"` // What the workload tells besides; the same names in the same order each time.

	Weaker string `json:"weaker,omitempty"` // What the peer promises less here than Walnut does.
	Notes  string `json:"notes,omitempty"`
	Error  string `json:"error,omitempty"` // Why there is no figure.

	origin *environment // Where it was measured; a line of its own says so.
}

// Extra is a figure that not every workload has.
type Extra struct {
	Name   string  `json:"name"` // With the unit.
	Figure float64 `json:"figure"`
}

// extra returns the figure of that name, 0 where there is none.
func (m Measurement) extra(name string) float64 {
	for _, extra := range m.More {
		if extra.Name == name {
			return extra.Figure
		}
	}
	return 0
}

// take fills in what a drive has measured.
func (m *Measurement) take(t *tally, recordSize int) {
	m.Operations, m.Seconds = t.operations, t.elapsed.Seconds()
	m.P50, m.P99, m.P999 = microseconds(t.latency.quantile(0.5)), microseconds(t.latency.quantile(0.99)),
		microseconds(t.latency.quantile(0.999))
	m.Max = microseconds(t.latency.max)
	m.Figure = rate(m.Unit, t, recordSize)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// rate is the figure in a unit that counts something a second.
func rate(unit string, t *tally, recordSize int) float64 {
	count := float64(t.operations)
	switch unit {
	case keysRate:
		count = float64(t.keys)
	case bytesRate:
		count = float64(t.operations) * float64(recordSize) / 1e6
	}
	return count / t.elapsed.Seconds()
}

// ID names what was measured, whoever did it.
func (m Measurement) ID() string { return Workload{Name: m.Workload, Goroutines: m.Goroutines}.ID() }

// subject is what was measured, whoever did it: a workload on a data set.
type subject struct {
	id         string // Of the workload.
	pairs      uint64
	keys       string
	valueBytes int
}

// usualPairs is how many pairs a data set has where nothing else is said, and what the bars are about.
const usualPairs = 1_000_000

// subject says what was measured. What a measurement that failed doesn't say of its data set is as usual.
func (m Measurement) subject() subject {
	return subject{m.ID(), cmp.Or(m.Pairs, usualPairs), cmp.Or(m.Keys, randomKeys), cmp.Or(m.ValueBytes, valueSize)}
}

// usualData says whether keys and values are the usual ones.
func (s subject) usualData() bool { return s.keys == randomKeys && s.valueBytes == valueSize }

// String names the workload, and of the data set what isn't as usual.
func (s subject) String() string {
	parts := []string{s.id}
	if s.pairs != usualPairs {
		parts = append(parts, figure(float64(s.pairs))+" pairs")
	}
	if s.keys != randomKeys {
		parts = append(parts, s.keys+" keys")
	}
	if s.valueBytes != valueSize {
		parts = append(parts, fmt.Sprintf("values of %d bytes", s.valueBytes))
	}
	return strings.Join(parts, ", ")
}
