package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// write writes the page, which is to lie in a directory, with links to pictures.
func (r *report) write(out io.Writer, dir string, pictures []pictureLink) error {
	var page strings.Builder
	page.WriteString("# Walnut beside its peers\n\n")
	for _, environment := range r.environments {
		fmt.Fprintf(&page, "%s\n", environment)
	}
	if len(r.environments) > 1 {
		page.WriteString("Several runs are joined here: ratios between figures of different runs say less than those within one.\n\n")
	}
	fmt.Fprint(&page, "Medians over the rounds. A ratio is a median over another; where the unit is s, B/pair or live heaps, less is\n",
		"better. A peer with * promises less there than Walnut does: see its row. README.md says what the workloads are.\n\n")
	r.writeSummary(&page)
	r.writeBars(&page)
	writePictureLinks(&page, dir, pictures)
	for _, s := range r.order {
		r.writeSubject(&page, s)
	}
	_, err := io.WriteString(out, page.String())
	return err
}

// writeSummary has columns for the data set only where something of it isn't as usual.
func (r *report) writeSummary(page *strings.Builder) {
	unusual := unusualColumns(r.order)
	headings := []string{"workload"}
	for _, column := range unusual {
		headings = append(headings, column.heading)
	}
	table(page, append(headings, "unit", "walnut", "best peer", "walnut / best peer", "limit", "walnut / limit")...)
	for _, s := range r.order {
		lines := r.lines[s]
		walnut, rival, limit := best(lines, isWalnut), best(lines, isRival), best(lines, isLimit)
		cells := []string{s.id}
		for _, column := range unusual {
			cells = append(cells, column.of(s))
		}
		row(page, append(cells, lines[0].unit, walnut.cell(), rival.namedCell(), ratio(walnut, rival), limit.cell(), ratio(walnut, limit))...)
	}
}

// column is one of the summary's that tell of the data set.
type column struct {
	heading string
	of      func(subject) string
	usual   string
}

func unusualColumns(subjects []subject) []column {
	columns := []column{
		{"pairs", func(s subject) string { return figure(float64(s.pairs)) }, figure(usualPairs)},
		{"keys", func(s subject) string { return s.keys }, randomKeys},
		{"value bytes", func(s subject) string { return figure(float64(s.valueBytes)) }, figure(valueSize)},
	}
	return slices.DeleteFunc(columns, func(c column) bool {
		return !slices.ContainsFunc(subjects, func(s subject) bool { return c.of(s) != c.usual })
	})
}

func (r *report) writeSubject(page *strings.Builder, s subject) {
	lines := r.lines[s]
	about := ""
	if workload, err := workloadByID(s.id); err == nil {
		about = workload.About
	}
	fmt.Fprintf(page, "\n## %s\n\n%s\n\n", s, about)
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
