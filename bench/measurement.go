package main

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// Measurement is what one process has measured of one workload: a line of JSON.
type Measurement struct {
	Workload string             `json:"workload"` // Its ID.
	Peer     string             `json:"peer"`
	Version  string             `json:"version,omitempty"`
	Round    int                `json:"round"` // From 1.
	Pairs    uint64             `json:"pairs"` // Of the data set.
	Figures  map[string]float64 `json:"figures"`

	Weaker      string `json:"weaker,omitempty"` // What the peer promises less here than Walnut.
	Notes       string `json:"notes,omitempty"`
	Error       string `json:"error,omitempty"` // Why there are no figures.
	Environment string `json:"environment"`     // Where and how it was measured.
}

func (m Measurement) outcome() string {
	if m.Error != "" {
		return "failed: " + m.Error
	}
	w, _ := workloadByID(m.Workload)
	return number(m.Figures[mainFigure]) + " " + w.Unit
}

// The names of figures end with their unit. One is what the workload is for, in the workload's unit.
const (
	mainFigure   = "figure"
	peakMultiple = "peak resident / live heap"
)

// usualFigures are those that most workloads have besides.
var usualFigures = []string{"p50 µs", "p99 µs", "p99.9 µs", "max µs", "gc cpu %", "heap MB", "peak MB", "disk MB"}

// lessIsBetter reports which of two figures is better: all but rates are times or sizes.
func lessIsBetter(unit, figure string) bool {
	if figure == mainFigure {
		return !slices.Contains([]string{operationsRate, keysRate, bytesRate}, unit)
	}
	return !strings.HasSuffix(figure, "/s") && !strings.HasPrefix(figure, "share ")
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
