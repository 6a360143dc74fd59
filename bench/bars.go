package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// barsFile has a line for each bar, with tabs between, after a line of headings. A dash is none.
//
//go:embed bars.tsv
var barsFile string

// bar is a figure that Walnut has to reach: a multiple of what an opponent does in the same run.
type bar struct {
	workload string // Its ID.
	figure   string
	// against is a peer or several, divided by |, of which the best one counts; "best" is every peer, "limit" every limit.
	// After an @ comes the workload that they do instead. "itself" makes the bar the figure, not a ratio.
	against       string
	atLeast, goal float64 // At most, where less is better. 0 is none.
}

func readBars() (bars []bar) {
	for line := range strings.Lines(barsFile) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		b := bar{workload: fields[0], figure: fields[1], against: fields[2]}
		b.atLeast, _ = strconv.ParseFloat(fields[3], 64)
		b.goal, _ = strconv.ParseFloat(fields[4], 64)
		bars = append(bars, b)
	}
	return bars[1:]
}

// comparedFigures are what an older Walnut is compared by, as far as a workload has them.
var comparedFigures = []string{mainFigure, "p99 µs", "beside / alone", "its worst put ms", peakMultiple}

// notable is the change from an older Walnut, as a share, that is more than noise.
const notable = 0.03

// againstOld returns bars against the older Walnut that has taken turns: that nothing is notably worse.
func (r *report) againstOld() (bars []bar) {
	for _, l := range r.lines {
		for _, figure := range comparedFigures {
			b := bar{workload: l.workload, figure: figure, against: oldName, atLeast: 1 - notable}
			if lessIsBetter(l.unit, figure) {
				b.atLeast = 1 + notable
			}
			if l.peer.Name == oldName {
				bars = append(bars, b)
			}
		}
	}
	return bars
}

// writeBars writes a table of the bars that were measured; nothing where none was.
func (r *report) writeBars(page *strings.Builder, title string, bars []bar) {
	var rows [][]string
	for _, b := range bars {
		if cells := r.judge(b); cells != nil {
			rows = append(rows, cells)
		}
	}
	if rows == nil {
		return
	}
	fmt.Fprintf(page, "\n## %s\n\nRatios of medians. Where less is better, they are to be at most what is given.\n\n", title)
	table(page, []string{"workload", "figure", "walnut", "against", "ratio", "at least", "goal", "outcome"}, rows)
}

// judge returns the cells of a bar, nil where something for it was not measured.
func (r *report) judge(b bar) []string {
	walnut := r.best(b.workload, mainFigure, isWalnut)
	ratio, against := walnut.median(b.figure), "itself"
	if b.against != "itself" {
		other := r.opponent(b)
		if ratio = walnut.over(other, b.figure); ratio != 0 {
			against = strings.TrimSuffix(other.name()+" "+number(other.median(b.figure))+" in "+other.workload, " in "+b.workload)
		}
	}
	if ratio == 0 {
		return nil
	}
	name, value := strings.Replace(b.figure, mainFigure, walnut.unit, 1), number(walnut.median(b.figure))
	outcome := b.outcome(ratio, walnut.unit)
	return []string{b.workload, name, value, against, number(ratio), orDash(b.atLeast), orDash(b.goal), outcome}
}

// opponent returns the line that a bar is compared with, nil where it was not measured.
func (r *report) opponent(b bar) *line {
	names, workload, instead := strings.Cut(b.against, "@")
	if !instead {
		workload = b.workload
	}
	return r.best(workload, b.figure, func(p Peer) bool {
		return names == "best" && isRival(p) || names == "limit" && isLimit(p) || slices.Contains(strings.Split(names, "|"), p.Name)
	})
}

// outcome says whether the bar is reached, or how much of it is missing.
func (b bar) outcome(ratio float64, unit string) string {
	short := func(want float64) float64 {
		if lessIsBetter(unit, b.figure) {
			return 100 * (ratio/want - 1)
		}
		return 100 * (1 - ratio/want)
	}
	switch {
	case b.goal > 0 && short(b.goal) <= 0:
		return "goal reached"
	case b.atLeast > 0 && short(b.atLeast) <= 0:
		return "reached"
	case b.atLeast > 0:
		return fmt.Sprintf("**short by %.3g %%**", short(b.atLeast))
	}
	return fmt.Sprintf("goal short by %.3g %%", short(b.goal))
}
