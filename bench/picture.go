package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// picture shows how a figure depends on something: a curve for each peer.
type picture struct {
	file, title string
	across      string // What is from left to right.
	workloads   string // The pattern of those that are the points.
	figure      string
}

const (
	goroutinesAcross = "goroutines"
	pairsAcross      = "pairs"
	valuesAcross     = "bytes of a value"

	byPairs = "S/life/pairs=x[0-9.]+$"
)

// pictures are all that a page can have. One without a line is left out.
var pictures = []picture{
	{"throughput-by-goroutines", "Durable puts, ops/s", goroutinesAcross, "W1", mainFigure},
	{"latency-by-goroutines", "p99 of durable puts, µs", goroutinesAcross, "W1", "p99 µs"},
	{"recovery-by-pairs", "From opening a store to the first get, s", pairsAcross, byPairs, "start s"},
	{"memory-by-pairs", "Live heap a pair, bytes", pairsAcross, byPairs, "heap B/pair"},
	{"puts-by-pairs", "Relaxed puts, ops/s", pairsAcross, byPairs, mainFigure},
	{"gets-by-pairs", "Gets, ops/s", pairsAcross, byPairs, "gets/s"},
	{"checkpoint-by-pairs", "A checkpoint, s", pairsAcross, byPairs, "checkpoint s"},
	{"gets-by-value-bytes", "Gets, ops/s", valuesAcross, "S/life/value=[0-9]+", "gets/s"},
}

// draw writes the pictures into a directory, and returns their paths from the page's directory.
func (r *report) draw(dir, from string) (links []string, err error) {
	err = os.MkdirAll(dir, 0o755)
	for _, p := range pictures {
		curves := r.curves(p)
		if curves == nil {
			continue
		}
		drawing := plot.New()
		drawing.Title.Text, drawing.X.Label.Text = p.title, p.across
		drawing.Legend.Top, drawing.Legend.Left = true, true
		drawing.X.Scale, drawing.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		drawErr := plotutil.AddLinePoints(drawing, curves...)
		drawing.Y.Min, drawing.Y.Max = 0, 1.4*drawing.Y.Max // The names have their place at the top.
		path := filepath.Join(dir, p.file+".svg")
		saveErr := drawing.Save(18*vg.Centimeter, 10*vg.Centimeter, path)
		link, linkErr := filepath.Rel(from, path)
		links, err = append(links, filepath.ToSlash(link)), errors.Join(err, drawErr, saveErr, linkErr)
	}
	return links, err
}

// curves returns names and points by turns, as the library takes them; nil where there would be no line.
func (r *report) curves(p picture) (curves []any) {
	for _, peer := range r.peers {
		var points plotter.XYs
		for _, l := range r.lines {
			if l.peer.Name == peer.Name && matches(p.workloads, l.workload) && l.median(p.figure) > 0 {
				w, _ := workloadByID(l.workload)
				place := map[string]float64{goroutinesAcross: float64(w.Goroutines), pairsAcross: l.pairs, valuesAcross: float64(w.value)}
				points = append(points, plotter.XY{X: place[p.across], Y: l.median(p.figure)})
			}
		}
		slices.SortFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		if len(points) > 1 {
			curves = append(curves, peer.Name, points)
		}
	}
	return curves
}
