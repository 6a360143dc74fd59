package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// picture is one of the report's: a file that shows how a figure depends on something.
type picture struct {
	file   string // Without its extension.
	title  string
	across dimension
	up     string // The unit of the curves' figures.
	flat   bool   // The figures begin at zero instead of being on a logarithmic axis.
	curves []curve
}

// curve is drawn for each peer that was measured.
type curve struct {
	workload string // Its ID, or the beginning of it up to a slash.
	figure   string // As a bar's.
	label    string // What tells it from the others of a picture; empty where there is one.
}

// dimension is what a picture shows from left to right. The data set is otherwise as usual.
type dimension struct {
	label  string
	of     func(m Measurement) float64
	fits   func(s subject) bool
	mark   func(x float64) string
	places []string // Where these are names, not amounts: a point for each of latencies from the first on.
}

var (
	acrossGoroutines = dimension{
		label: "goroutines", of: func(m Measurement) float64 { return float64(m.Goroutines) },
		fits: subject.usualData, mark: figure,
	}
	acrossPairs = dimension{
		label: "pairs", of: func(m Measurement) float64 { return float64(m.subject().pairs) },
		fits: subject.usualData, mark: short,
	}
	acrossValueBytes = dimension{
		label: "bytes of a value", of: func(m Measurement) float64 { return float64(m.subject().valueBytes) },
		fits: func(s subject) bool { return s.keys == randomKeys }, mark: bytesShort,
	}
	acrossPercentiles = dimension{
		label: "percentile of the puts", fits: subject.usualData, places: []string{"p50", "p99", "p99.9"},
	}
)

// pictures are all that a report can have. One that would have no line for want of measurements is left out.
var pictures = []picture{
	{
		file: "throughput-by-goroutines", title: "Durable puts by goroutines (W1)", across: acrossGoroutines, up: operationsRate,
		curves: []curve{{workload: "W1/durable"}},
	},
	latencyPicture("latency-w1-16", "Latency of durable puts, 16 goroutines (W1)", "W1/durable/goroutines=16"),
	latencyPicture("latency-w1-64", "Latency of durable puts, 64 goroutines (W1)", "W1/durable/goroutines=64"),
	latencyPicture("latency-w9", "Latency of relaxed puts beside a checkpoint, 16 goroutines (W9)", "W9/checkpoint/relaxed"),
	{
		file: "recovery-by-pairs", title: "From opening a store to the first get (W7, S/start)", across: acrossPairs, up: seconds,
		curves: []curve{
			{workload: "W7/snapshot", label: "W7/snapshot"},
			{workload: "W7/clean", label: "W7/clean"},
			{workload: "S/start", label: "S/start"},
		},
	},
	{
		file: "memory-by-pairs", title: "Live heap by pairs (W8/heap, S/heap)", across: acrossPairs, up: bytesPerPair, flat: true,
		curves: []curve{{workload: "W8/heap", label: "W8/heap"}, {workload: "S/heap", label: "S/heap"}},
	},
	{
		file: "rate-by-pairs", title: "Gets and relaxed puts by pairs (S)", across: acrossPairs, up: operationsRate,
		curves: getsAndPuts,
	},
	{
		file: "rate-by-value-bytes", title: "Gets and relaxed puts by the size of values (S)", across: acrossValueBytes,
		up: operationsRate, curves: getsAndPuts,
	},
	{
		file: "checkpoint-by-pairs", title: "A checkpoint by pairs (S/checkpoint)", across: acrossPairs, up: seconds,
		curves: []curve{{workload: "S/checkpoint"}},
	},
	{
		file: "gc-by-pairs", title: "Garbage collection by pairs (G/mixed)", across: acrossPairs, up: "% of the processor time used",
		flat: true, curves: garbageCurves("gc cpu %"),
	},
	{
		file: "pause-by-pairs", title: "Longest pause of garbage collection by pairs (G/mixed)", across: acrossPairs, up: "ms",
		flat: true, curves: garbageCurves("longest pause ms"),
	},
}

var getsAndPuts = []curve{{workload: "S/get", label: "gets"}, {workload: "S/put", label: "puts"}}

func latencyPicture(file, title, workload string) picture {
	return picture{file: file, title: title, across: acrossPercentiles, up: "µs", curves: []curve{{workload: workload}}}
}

func garbageCurves(figure string) []curve {
	return []curve{
		{workload: "G/mixed/goroutines=16", figure: figure, label: "relaxed"},
		{workload: "G/mixed/durable", figure: figure, label: "durable"},
	}
}

// series is a curve of one peer: its points from left to right.
type series struct {
	peer   Peer
	curve  int // Its place in the picture's.
	label  string
	points []point
}

type point struct {
	x, y   float64
	source subject
	rounds []Measurement
}

// seriesOf returns what a picture shows, or nil where there would be no line.
func (r *report) seriesOf(p picture) (all []series) {
	lines := 0
	for _, peer := range r.measured() {
		for i, c := range p.curves {
			points := r.points(p.across, c, peer.Name)
			if len(points) == 0 {
				continue
			}
			if len(points) > 1 {
				lines++
			}
			all = append(all, series{peer, i, strings.TrimSpace(peer.Name + " " + c.label), points})
		}
	}
	if lines == 0 {
		return nil
	}
	return all
}

// measured returns the peers that took part, in the order of the rows.
func (r *report) measured() (all []Peer) {
	for _, s := range r.order {
		for _, l := range r.lines[s] {
			if !slices.ContainsFunc(all, func(p Peer) bool { return p.Name == l.peer.Name }) {
				all = append(all, l.peer)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Peer) int { return cmp.Compare(r.place(a.Name), r.place(b.Name)) })
	return all
}

// points returns a peer's, from left to right. Where several data sets have the same place, the usual number of pairs is
// shown, or else the greatest one.
func (r *report) points(across dimension, c curve, peer string) (points []point) {
	for _, s := range r.order {
		if !selected([]string{c.workload}, s.id) || !across.fits(s) {
			continue
		}
		for _, l := range r.lines[s] {
			if l.peer.Name != peer || len(l.rounds) == 0 {
				continue
			}
			for _, new := range across.pointsOf(l, c) {
				new.source, new.rounds = s, l.rounds
				points = placed(points, new)
			}
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return points
}

// pointsOf returns the places and heights that a line has in a picture.
func (d dimension) pointsOf(l *line, c curve) (points []point) {
	for i := range d.places {
		points = append(points, point{x: float64(i), y: l.median(latencies[i].of)})
	}
	if d.places == nil {
		points = append(points, point{x: d.of(l.rounds[0]), y: l.median(named(c.figure))})
	}
	return slices.DeleteFunc(points, func(p point) bool { return p.y <= 0 }) // It was not measured.
}

// placed adds a point, or puts it in place of one that is less to the point.
func placed(points []point, new point) []point {
	rank := func(p point) uint64 {
		if p.source.pairs == usualPairs {
			return 1 << 63
		}
		return p.source.pairs
	}
	place := slices.IndexFunc(points, func(p point) bool { return p.x == new.x })
	if place < 0 {
		return append(points, new)
	}
	if rank(new) > rank(points[place]) {
		points[place] = new
	}
	return points
}

// pictureLink is a picture that was written.
type pictureLink struct{ title, path string }

// writePictures writes the pictures that have something to show into a directory.
func (r *report) writePictures(dir string) (links []pictureLink, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, p := range pictures {
		all := r.seriesOf(p)
		if all == nil {
			continue
		}
		content, err := p.draw(all)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", p.file, err)
		}
		path := filepath.Join(dir, p.file+".svg")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return nil, err
		}
		links = append(links, pictureLink{p.title, path})
	}
	return links, nil
}

// writePictureLinks writes the pictures' section of a page in some directory.
func writePictureLinks(page *strings.Builder, dir string, links []pictureLink) {
	if len(links) == 0 {
		return
	}
	page.WriteString("\n## Pictures\n")
	for _, link := range links {
		path := link.path
		if relative, err := filepath.Rel(dir, path); err == nil {
			path = relative
		}
		fmt.Fprintf(page, "\n![%s](%s)\n", link.title, filepath.ToSlash(path))
	}
}
