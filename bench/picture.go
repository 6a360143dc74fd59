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

// picture shows how a figure depends on goroutines, pairs or the size of values: a curve for each peer.
type picture struct{ file, title, workloads, figure string }

const byPairs = "S/life/pairs=x[0-9.]+$"

// pictures are all that a page can have. One without a line is left out.
var pictures = []picture{
	{"throughput-by-goroutines", "Durable puts by goroutines, ops/s", "W1", mainFigure},
	{"latency-by-goroutines", "p99 of durable puts by goroutines, µs", "W1", "p99 µs"},
	{"recovery-by-pairs", "From opening a store to the first get by pairs, s", byPairs, "start s"},
	{"memory-by-pairs", "Live heap a pair by pairs, bytes", byPairs, "heap B/pair"},
	{"puts-by-pairs", "Relaxed puts by pairs, ops/s", byPairs, mainFigure},
	{"gets-by-pairs", "Gets by pairs, ops/s", byPairs, "gets/s"},
	{"checkpoint-by-pairs", "A checkpoint by pairs, s", byPairs, "checkpoint s"},
	{"gets-by-value-bytes", "Gets by the bytes of a value, ops/s", "S/life/value=[0-9]+", "gets/s"},
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
		drawing.Title.Text = p.title
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
				points = append(points, plotter.XY{X: l.place(), Y: l.median(p.figure)})
			}
		}
		slices.SortFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		if len(points) > 1 {
			curves = append(curves, peer.Name, points)
		}
	}
	return curves
}

// place is where a line is from left to right.
func (l *line) place() float64 {
	w, _ := workloadByID(l.workload)
	switch {
	case w.value > 0:
		return float64(w.value)
	case l.bar() == "W1":
		return float64(w.Goroutines)
	}
	return l.pairs
}
