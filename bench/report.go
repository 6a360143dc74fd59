package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// report is a Markdown page about measurements.
type report struct {
	environment environment
	peers       []Peer // In the order of the rows.
	lines       map[string][]*line
	order       []string // The workloads' IDs in the order of the page.
}

// line is what one peer did in one workload, over all rounds.
type line struct {
	peer   Peer
	unit   string
	rounds []Measurement // Those that have a figure.
	errors []string
}

func newReport(environment environment, peers []Peer, measurements []Measurement) *report {
	r := &report{environment: environment, peers: peers, lines: map[string][]*line{}}
	for _, m := range measurements {
		l := r.line(m)
		if m.Error != "" {
			l.errors = append(l.errors, m.Error)
		} else {
			l.rounds = append(l.rounds, m)
		}
	}
	for _, lines := range r.lines {
		slices.SortStableFunc(lines, func(a, b *line) int { return r.place(a.peer.Name) - r.place(b.peer.Name) })
	}
	return r
}

// line returns the line that a measurement belongs to.
func (r *report) line(m Measurement) *line {
	id := m.ID()
	for _, l := range r.lines[id] {
		if l.peer.Name == m.Peer {
			return l
		}
	}
	if len(r.lines[id]) == 0 {
		r.order = append(r.order, id)
	}
	l := &line{unit: m.Unit, peer: Peer{Name: m.Peer}}
	if place := r.place(m.Peer); place < len(r.peers) {
		l.peer = r.peers[place]
	}
	r.lines[id] = append(r.lines[id], l)
	return l
}

func (r *report) place(name string) int {
	for place, peer := range r.peers {
		if peer.Name == name {
			return place
		}
	}
	return len(r.peers)
}

// median returns the middle of what the rounds have; of an even number the mean of the two in the middle.
func (l *line) median(of func(Measurement) float64) float64 {
	values := make([]float64, len(l.rounds))
	for i, m := range l.rounds {
		values[i] = of(m)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func byFigure(m Measurement) float64 { return m.Figure }

func (l *line) figure() float64 { return l.median(byFigure) }

// spread returns the least and the greatest figure.
func (l *line) spread() (low, high float64) {
	for i, m := range l.rounds {
		if i == 0 {
			low, high = m.Figure, m.Figure
		}
		low, high = min(low, m.Figure), max(high, m.Figure)
	}
	return low, high
}

// best returns the line with the best median among those that are wanted, nil where there is none.
func best(lines []*line, wanted func(Peer) bool) (found *line) {
	for _, l := range lines {
		if len(l.rounds) == 0 || !wanted(l.peer) {
			continue
		}
		if found == nil || lowerIsBetter(l.unit) == (l.figure() < found.figure()) {
			found = l
		}
	}
	return found
}

func isLimit(p Peer) bool  { return p.Limit }
func isWalnut(p Peer) bool { return p.Name == walnutName }
func isRival(p Peer) bool  { return !p.Limit && p.Name != walnutName }

// write writes the page.
func (r *report) write(out io.Writer) error {
	var page strings.Builder
	fmt.Fprintf(&page, "# Walnut beside its peers\n\n%s\n", r.environment)
	fmt.Fprint(&page, "Medians over the rounds. A ratio is a median over another; where the unit is s, B/pair or live heaps, less is\n",
		"better. A peer with * promises less there than Walnut does: see its row. README.md says what the workloads are.\n\n")
	r.writeSummary(&page)
	for _, id := range r.order {
		r.writeWorkload(&page, id)
	}
	_, err := io.WriteString(out, page.String())
	return err
}

func (r *report) writeSummary(page *strings.Builder) {
	table(page, "workload", "unit", "walnut", "best peer", "walnut / best peer", "limit", "walnut / limit")
	for _, id := range r.order {
		lines := r.lines[id]
		walnut, rival, limit := best(lines, isWalnut), best(lines, isRival), best(lines, isLimit)
		row(page, id, lines[0].unit, walnut.cell(), rival.namedCell(), ratio(walnut, rival), limit.cell(), ratio(walnut, limit))
	}
}

func (r *report) writeWorkload(page *strings.Builder, id string) {
	lines := r.lines[id]
	about := ""
	if workload, err := workloadByID(id); err == nil {
		about = workload.About
	}
	fmt.Fprintf(page, "\n## %s\n\n%s\n\n", id, about)
	more := extras(lines)
	table(page, slices.Concat([]string{
		"peer", "version", lines[0].unit, "min to max", "/ best peer", "/ limit",
		"p50 µs", "p99 µs", "p99.9 µs", "max µs", "heap MB", "peak MB", "disk MB",
	}, more, []string{"notes"})...)
	rival, limit := best(lines, isRival), best(lines, isLimit)
	for _, l := range lines {
		low, high := l.spread()
		cells := []string{
			l.name(), l.version(), l.cell(), figure(low) + " to " + figure(high), ratio(l, rival), ratio(l, limit),
			l.latency(func(m Measurement) float64 { return m.P50 }),
			l.latency(func(m Measurement) float64 { return m.P99 }),
			l.latency(func(m Measurement) float64 { return m.P999 }),
			l.latency(func(m Measurement) float64 { return m.Max }),
			l.megabytes(func(m Measurement) int64 { return m.HeapBytes }),
			l.megabytes(func(m Measurement) int64 { return m.PeakBytes }),
			l.megabytes(func(m Measurement) int64 { return m.DiskBytes }),
		}
		for _, name := range more {
			cells = append(cells, figure(l.median(func(m Measurement) float64 { return m.extra(name) })))
		}
		row(page, append(cells, l.notes())...)
	}
}

// extras are the names of the figures that only some workloads have.
func extras(lines []*line) (names []string) {
	for _, l := range lines {
		for _, m := range l.rounds {
			for _, extra := range m.More {
				if !slices.Contains(names, extra.Name) {
					names = append(names, extra.Name)
				}
			}
		}
	}
	return names
}

// name is the peer's, with a star where it promises less.
func (l *line) name() string {
	if len(l.rounds) > 0 && l.rounds[0].Weaker != "" {
		return l.peer.Name + " *"
	}
	return l.peer.Name
}

func (l *line) version() string {
	if len(l.rounds) == 0 {
		return ""
	}
	return l.rounds[0].Version
}

func (l *line) cell() string {
	if l == nil || len(l.rounds) == 0 {
		return "–"
	}
	return figure(l.figure())
}

func (l *line) namedCell() string {
	if l == nil {
		return "–"
	}
	return l.name() + " " + l.cell()
}

func (l *line) latency(of func(Measurement) float64) string {
	if value := l.median(of); value > 0 {
		return figure(value)
	}
	return "–"
}

func (l *line) megabytes(of func(Measurement) int64) string {
	return figure(l.median(func(m Measurement) float64 { return float64(of(m)) / 1e6 }))
}

// notes says what the reader has to know of a row: each thing once, errors first.
func (l *line) notes() string {
	notes := []string{}
	for _, err := range l.errors {
		notes = append(notes, "failed: "+strings.Join(strings.Fields(err), " "))
	}
	for _, m := range l.rounds {
		notes = append(notes, m.Weaker, m.Notes)
	}
	notes = slices.DeleteFunc(notes, func(note string) bool { return note == "" })
	distinct := notes[:0]
	for _, note := range notes {
		if !slices.Contains(distinct, note) {
			distinct = append(distinct, note)
		}
	}
	return strings.ReplaceAll(strings.Join(distinct, "; "), "|", "\\|")
}

func ratio(l, base *line) string {
	if l == nil || base == nil || len(l.rounds) == 0 || base.figure() == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", l.figure()/base.figure())
}

// figure writes a number with three digits that matter, or all of them where it is larger, thousands apart.
func figure(value float64) string {
	if value < 100 {
		return fmt.Sprintf("%.3g", value)
	}
	digits := fmt.Sprintf("%.0f", value)
	for place := len(digits) - 3; place > 0; place -= 3 {
		digits = digits[:place] + " " + digits[place:]
	}
	return digits
}

func table(page *strings.Builder, headings ...string) {
	row(page, headings...)
	page.WriteString(strings.Repeat("|---", len(headings)) + "|\n")
}

func row(page *strings.Builder, cells ...string) {
	page.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
