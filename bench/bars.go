package main

import (
	"fmt"
	"slices"
	"strings"
)

// bar is a figure that Walnut has to reach, and one that is its goal: so many times what another one does in the same run.
// A row of the list of bars is several of these where it names several workloads, figures or others.
type bar struct {
	row      string // What the list of bars calls it.
	workload string // Its ID.
	figure   string // Empty is the workload's own; otherwise one of latencies, or the name of an extra.
	against  opponent
	atLeast  float64 // How many times the opponent's figure; at most, where less is better. 0 is missing.
	goal     float64
}

// opponent is who a figure is compared with: one peer, or the best of some, or Walnut itself with fewer pairs. With none
// of these the bar is the figure itself.
type opponent struct {
	peer     string
	best     func(Peer) bool
	workload string // Where the opponent does another one; its ID.
	pairs    uint64 // Walnut's own, of both sides, in multiples of usualPairs: the bar is about how cost grows.
}

// latencies are the figures that every workload can have besides its own, all in microseconds.
var latencies = []struct {
	name string
	of   func(Measurement) float64
}{
	{"p50 µs", func(m Measurement) float64 { return m.P50 }},
	{"p99 µs", func(m Measurement) float64 { return m.P99 }},
	{"p99.9 µs", func(m Measurement) float64 { return m.P999 }},
	{"max µs", func(m Measurement) float64 { return m.Max }},
}

// named returns how to get a figure by its name; that of the workload itself has none.
func named(name string) func(Measurement) float64 {
	for _, latency := range latencies {
		if latency.name == name {
			return latency.of
		}
	}
	if name == "" {
		return byFigure
	}
	return func(m Measurement) float64 { return m.extra(name) }
}

// lessIsBetter says so of the bar's figure. All that have a name are times that somebody waits.
func (b bar) lessIsBetter(unit string) bool { return b.figure != "" || lowerIsBetter(unit) }

// verdict is what became of a bar in a run.
type verdict struct {
	bar
	subject subject
	walnut  *line
	other   *line // nil where the bar is the figure itself.
	figure  float64
	ratio   float64 // Of medians; the figure itself where there is no other.
}

// judge returns what became of each bar, and the rows of which something was not measured.
func (r *report) judge(bars []bar) (verdicts []verdict, missing []string) {
	for _, b := range bars {
		v, ok := r.judgeOne(b)
		if ok {
			verdicts = append(verdicts, v)
		} else if name := b.String(); !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return verdicts, missing
}

func (r *report) judgeOne(b bar) (v verdict, ok bool) {
	s, ok := r.subjectOf(b.workload, b.against.pairs)
	if !ok {
		return v, false
	}
	v = verdict{bar: b, subject: s, walnut: best(r.lines[s], isWalnut)}
	if v.walnut == nil {
		return v, false
	}
	of := named(b.figure)
	v.figure = v.walnut.median(of)
	v.ratio = v.figure
	if b.against.absolute() {
		return v, v.figure > 0
	}
	if v.other = r.opponent(b, s); v.other == nil || v.other.median(of) == 0 {
		return v, false
	}
	v.ratio /= v.other.median(of)
	return v, v.figure > 0
}

func (o opponent) absolute() bool { return o.peer == "" && o.best == nil && o.pairs == 0 }

// opponent returns the line that a bar is compared with, nil where it was not measured.
func (r *report) opponent(b bar, s subject) *line {
	switch {
	case b.against.pairs != 0:
		s.pairs = usualPairs
		return best(r.lines[s], isWalnut)
	case b.against.workload != "":
		s.id = b.against.workload
	}
	if b.against.best != nil {
		return best(r.lines[s], b.against.best)
	}
	return best(r.lines[s], func(p Peer) bool { return p.Name == b.against.peer })
}

// subjectOf returns on which data a bar is judged: the usual keys and values, and the usual number of pairs if it was
// measured, otherwise the first one that was. Where multiple isn't 0 it has to be that many times the usual one.
func (r *report) subjectOf(id string, multiple uint64) (found subject, ok bool) {
	for _, s := range r.order {
		if s.id != id || !s.usualData() {
			continue
		}
		if s.pairs == max(multiple, 1)*usualPairs {
			return s, true
		}
		if !ok && multiple == 0 {
			found, ok = s, true
		}
	}
	return found, ok
}

// outcome says whether the bar is reached, or by how much of it the figure falls short.
func (v verdict) outcome() string {
	short := func(want float64) float64 {
		if v.lessIsBetter(v.walnut.unit) {
			return v.ratio/want - 1
		}
		return 1 - v.ratio/want
	}
	switch {
	case v.goal > 0 && short(v.goal) <= 0:
		return "goal reached"
	case v.atLeast > 0 && short(v.atLeast) <= 0:
		return "reached"
	case v.atLeast > 0:
		return fmt.Sprintf("**short by %s %%**", figure(100*short(v.atLeast)))
	}
	return fmt.Sprintf("goal short by %s %%", figure(100*short(v.goal)))
}

// cells are the bar's in the table.
func (v verdict) cells() []string {
	against, times := "the figure itself", figure(v.ratio)
	if v.other != nil {
		against = v.other.name() + " " + figure(v.other.median(named(v.bar.figure)))
		if v.against.pairs != 0 {
			against += fmt.Sprintf(" with %s pairs", figure(usualPairs))
		}
		if v.against.workload != "" {
			against += " in " + v.against.workload
		}
		times = fmt.Sprintf("%.2f", v.ratio)
	}
	return []string{v.row, v.subject.String(), v.told(), against, times, wanted(v.atLeast), wanted(v.goal), v.outcome()}
}

// told is Walnut's figure, with its name before it and its unit behind.
func (v verdict) told() string {
	name, unit := "", v.walnut.unit
	if last := strings.LastIndex(v.bar.figure, " "); last >= 0 {
		name, unit = v.bar.figure[:last+1], v.bar.figure[last+1:]
	}
	return name + figure(v.figure) + " " + unit
}

// wanted is a bar's number, if it has one.
func wanted(ratio float64) string {
	if ratio == 0 {
		return "–"
	}
	return fmt.Sprintf("%g", ratio)
}

// String names a bar where there is no figure to show.
func (b bar) String() string {
	parts := []string{b.workload}
	if b.figure != "" {
		parts = append(parts, b.figure)
	}
	switch {
	case b.against.peer != "":
		parts = append(parts, "against "+b.against.peer)
	case b.against.best != nil && b.against.best(Peer{Limit: true}):
		parts = append(parts, "against the limit")
	case b.against.best != nil:
		parts = append(parts, "against the best peer")
	case b.against.pairs != 0:
		parts = append(parts, fmt.Sprintf("with %d times the pairs", b.against.pairs))
	}
	return strings.Join(parts, " ")
}

// writeBars writes the table of bars; nothing where the run has none of them.
func (r *report) writeBars(page *strings.Builder) {
	verdicts, missing := r.judge(bars)
	if len(verdicts) == 0 {
		return
	}
	page.WriteString("\n## Bars\n\nWhat Walnut is to reach, as ratios of medians to the one it is compared with; where less is better, at most.\n\n")
	table(page, "row", "workload", "figure", "against", "ratio (median)", "at least", "goal", "outcome")
	for _, v := range verdicts {
		row(page, v.cells()...)
	}
	if len(missing) > 0 {
		fmt.Fprintf(page, "\nNot measured in this run: %s.\n", strings.Join(missing, "; "))
	}
}
