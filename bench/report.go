package main

import (
	"slices"
)

// report is what measurements come to: a Markdown page, and pictures.
type report struct {
	environments []*environment // Where they were made; several where files were read.
	peers        []Peer         // In the order of the rows.
	lines        map[subject][]*line
	order        []subject // In the order of the page.
}

// line is what one peer did on one subject, over all rounds.
type line struct {
	peer   Peer
	unit   string
	rounds []Measurement // Those that have a figure.
	errors []string
}

func newReport(peers []Peer, measurements []Measurement) *report {
	r := &report{environments: origins(measurements), peers: peers, lines: map[subject][]*line{}}
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
	s := m.subject()
	for _, l := range r.lines[s] {
		if l.peer.Name == m.Peer {
			return l
		}
	}
	if len(r.lines[s]) == 0 {
		r.order = append(r.order, s)
	}
	l := &line{unit: m.Unit, peer: Peer{Name: m.Peer}}
	if place := r.place(m.Peer); place < len(r.peers) {
		l.peer = r.peers[place]
	}
	r.lines[s] = append(r.lines[s], l)
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
