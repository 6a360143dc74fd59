package main

import (
	"encoding/json"
	"io"
	"strings"
)

// Measurement is what one process has measured of one workload: a line of JSON.
type Measurement struct {
	Workload string  `json:"workload"` // Its ID.
	Peer     string  `json:"peer"`
	Version  string  `json:"version,omitempty"`
	Round    int     `json:"round"` // From 1.
	Pairs    uint64  `json:"pairs"` // Of the data set.
	Figure   float64 `json:"figure"`
	Unit     string  `json:"unit"`

	P50  float64 `json:"p50_us,omitempty"` // Latencies of an operation, in microseconds.
	P99  float64 `json:"p99_us,omitempty"`
	P999 float64 `json:"p99_9_us,omitempty"`
	Max  float64 `json:"max_us,omitempty"`

	Collector float64 `json:"collector_percent,omitempty"` // What garbage collection took of the processor time used.
	HeapBytes int64   `json:"heap_bytes,omitempty"`        // Live Go heap at the end, with the peer open.
	PeakBytes int64   `json:"peak_bytes,omitempty"`        // The most memory that the process had resident.
	DiskBytes int64   `json:"disk_bytes,omitempty"`        // Length of all files after the peer was closed.

	More map[string]float64 `json:"more,omitempty"` // What only some workloads report, by name and unit.

	Weaker string `json:"weaker,omitempty"` // What the peer promises less here than Walnut.
	Notes  string `json:"notes,omitempty"`
	Error  string `json:"error,omitempty"` // Why there is no figure.

	Environment string `json:"environment"` // Where and how it was measured.
}

// usualFigures are the names of those that every workload can have besides its own.
var usualFigures = []string{"p50 µs", "p99 µs", "p99.9 µs", "max µs", "gc cpu %", "heap MB", "peak MB", "disk MB"}

// named returns the figure of a name; that of the workload has none.
func (m Measurement) named(name string) float64 {
	usual := map[string]float64{
		"": m.Figure, "p50 µs": m.P50, "p99 µs": m.P99, "p99.9 µs": m.P999, "max µs": m.Max, "gc cpu %": m.Collector,
		"heap MB": float64(m.HeapBytes) / 1e6, "peak MB": float64(m.PeakBytes) / 1e6, "disk MB": float64(m.DiskBytes) / 1e6,
	}
	if value, found := usual[name]; found {
		return value
	}
	return m.More[name]
}

// lessIsBetter reports which of two figures is better. All that have a name are times or sizes, but for rates.
func lessIsBetter(unit, name string) bool {
	if name != "" {
		return !strings.HasSuffix(name, "/s")
	}
	return unit != operationsRate && unit != keysRate && unit != bytesRate
}

// decodeAll reads measurements, one line of JSON after another.
func decodeAll(from io.Reader) (all []Measurement, err error) {
	for decoder := json.NewDecoder(from); ; {
		var m Measurement
		if err := decoder.Decode(&m); err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}
