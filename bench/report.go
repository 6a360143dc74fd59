package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// report makes a page of measurements.
type report struct {
	environments []string
	peers        []Peer  // In the order of the rows.
	lines        []*line // In the order of the page.
}

// line is what one peer did in one workload, over all rounds.
type line struct {
	peer           Peer
	workload, unit string
	pairs          float64
	rounds         []Measurement // Those that have a figure.
	notes          []string      // What a reader has to know.
}

// oldName is what Walnut is called where another build of it takes turns.
const oldName = "walnut-old"

func newReport(all []Measurement) *report {
	r := &report{peers: slices.Insert(allPeers(), 1, Peer{Name: oldName})}
	for _, m := range all {
		r.environments = appendNew(r.environments, m.Environment)
	}
	for _, w := range workloads {
		for _, peer := range r.peers {
			l := &line{peer: peer, workload: w.ID, unit: w.Unit}
			for _, m := range all {
				if m.Workload == w.ID && m.Peer == peer.Name {
					l.add(m)
				}
			}
			if l.rounds != nil || l.notes != nil {
				r.lines = append(r.lines, l)
			}
		}
	}
	return r
}

// appendNew adds what is neither empty nor there already.
func appendNew(list []string, text string) []string {
	if text == "" || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

func (l *line) add(m Measurement) {
	if m.Error == "" {
		l.rounds, l.pairs = append(l.rounds, m), float64(m.Pairs)
	} else {
		m.Error = "failed: " + m.Error
	}
	for _, note := range []string{m.Error, m.Version, m.Weaker, m.Notes} {
		l.notes = appendNew(l.notes, strings.ReplaceAll(strings.Join(strings.Fields(note), " "), "|", "\\|"))
	}
}

// bar is the beginning of the workload's ID: the page has a section for each.
func (l *line) bar() string {
	bar, _, _ := strings.Cut(l.workload, "/")
	return bar
}

// spread returns the least, the middle and the greatest of a figure over the rounds, 0 where nothing was measured. Of an even
// number of rounds, the middle is the mean of two.
func (l *line) spread(figure string) (least, middle, greatest float64) {
	if l == nil || len(l.rounds) == 0 {
		return 0, 0, 0
	}
	var values []float64
	for _, m := range l.rounds {
		values = append(values, m.Figures[figure])
	}
	slices.Sort(values)
	last := len(values) - 1
	return values[0], (values[last/2] + values[(last+1)/2]) / 2, values[last]
}

func (l *line) median(figure string) float64 {
	_, middle, _ := l.spread(figure)
	return middle
}

// best returns the line with the best median of a workload among the wanted peers, nil where there is none.
func (r *report) best(workload, figure string, wanted func(Peer) bool) (found *line) {
	for _, l := range r.lines {
		if l.workload != workload || len(l.rounds) == 0 || !wanted(l.peer) {
			continue
		}
		if found == nil || lessIsBetter(l.unit, figure) == (l.median(figure) < found.median(figure)) {
			found = l
		}
	}
	return found
}

func isWalnut(p Peer) bool { return p.Name == walnutName }
func isRival(p Peer) bool  { return !p.Limit && !isWalnut(p) && p.Name != oldName }
func isLimit(p Peer) bool  { return p.Limit }

// page returns the page, with links to pictures.
func (r *report) page(pictures []string) string {
	var page strings.Builder
	page.WriteString("# Walnut beside its peers\n\n" + strings.Join(r.environments, "\n\n") + "\n\n" +
		"Medians over the rounds. A ratio is a median over another; for times, memory and latencies less is better.\n" +
		"A peer with * promises less there than Walnut: see its notes. bench/README.md explains the workloads.\n")
	r.writeBars(&page, "New and old", r.againstOld())
	r.writeBars(&page, "Bars", readBars())
	for _, path := range pictures {
		fmt.Fprintf(&page, "\n![%s](%s)\n", path, path)
	}
	for from := 0; from < len(r.lines); {
		to := from + 1
		for to < len(r.lines) && r.lines[to].bar() == r.lines[from].bar() {
			to++
		}
		r.writeSection(&page, r.lines[from:to])
		from = to
	}
	return page.String()
}

func (r *report) writeSection(page *strings.Builder, lines []*line) {
	fmt.Fprintf(page, "\n## %s\n\n", lines[0].bar())
	columns := slices.Clone(usualFigures)
	for i, l := range lines {
		if w, err := workloadByID(l.workload); err == nil && (i == 0 || lines[i-1].workload != l.workload) {
			fmt.Fprintf(page, "- %s: %s; %s, goroutines: %d\n", w.ID, w.About, w.Mode, w.Goroutines)
		}
		for _, m := range l.rounds {
			for _, name := range slices.Sorted(maps.Keys(m.Figures)) {
				if name != mainFigure {
					columns = appendNew(columns, name)
				}
			}
		}
	}
	page.WriteString("\n")
	var rows [][]string
	for _, l := range lines {
		least, middle, greatest := l.spread(mainFigure)
		cells := []string{
			l.workload, orDash(l.pairs), l.name(), orDash(middle) + " " + l.unit, orDash(least) + " to " + orDash(greatest),
			orDash(l.over(r.best(l.workload, mainFigure, isRival), mainFigure)),
			orDash(l.over(r.best(l.workload, mainFigure, isLimit), mainFigure)),
		}
		for _, name := range columns {
			cells = append(cells, orDash(l.median(name)))
		}
		rows = append(rows, append(cells, strings.Join(l.notes, "; ")))
	}
	headings := append([]string{"workload", "pairs", "peer", "figure", "min to max", "/ best peer", "/ limit"}, columns...)
	table(page, append(headings, "notes"), rows)
}

// name is the peer's, with a star where it promises less.
func (l *line) name() string {
	if len(l.rounds) > 0 && l.rounds[0].Weaker != "" {
		return l.peer.Name + " *"
	}
	return l.peer.Name
}

// over returns the ratio of a figure's medians, 0 where one wasn't measured.
func (l *line) over(base *line, figure string) float64 {
	if base.median(figure) == 0 {
		return 0
	}
	return l.median(figure) / base.median(figure)
}

// orDash is number, but a dash for what wasn't measured.
func orDash(value float64) string {
	if value == 0 {
		return "–"
	}
	return number(value)
}

// number has three significant digits, or all digits before the point, thousands apart.
func number(value float64) string {
	if value < 100 {
		return fmt.Sprintf("%.3g", value)
	}
	digits := fmt.Sprintf("%.0f", value)
	for place := len(digits) - 3; place > 0; place -= 3 {
		digits = digits[:place] + " " + digits[place:]
	}
	return digits
}

// table writes a table in Markdown.
func table(page *strings.Builder, headings []string, rows [][]string) {
	rule := slices.Repeat([]string{"---"}, len(headings))
	for _, cells := range append([][]string{headings, rule}, rows...) {
		page.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
}
