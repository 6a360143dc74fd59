// Package promtext writes metrics in Prometheus' text format, version 0.0.4.
//
// The format wants all samples of a name together, after one HELP and one TYPE. So a caller writes a head, then its samples, and goes on to
// the next name.
package promtext

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/walnutkv/walnut/internal/histogram"
)

// Page is text in the making. The zero value is an empty one. Labels in its methods are texts that Labels and Text return, "" for none.
type Page struct{ bytes.Buffer }

// Head begins a number: a counter if its name ends in _total, otherwise a gauge.
func (p *Page) Head(name, help string) {
	kind := "gauge"
	if strings.HasSuffix(name, "_total") {
		kind = "counter"
	}
	p.head(name, kind, help)
}

// HistogramHead begins a histogram.
func (p *Page) HistogramHead(name, help string) { p.head(name, "histogram", help) }

func (p *Page) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// Sample writes the value that a name has with some labels.
func (p *Page) Sample(name string, value float64, labels ...string) {
	p.sample(name, Number(value), labels...)
}

func (p *Page) sample(name, value string, labels ...string) {
	p.WriteString(name)
	opening := "{"
	for _, one := range labels {
		if one != "" {
			p.WriteString(opening)
			p.WriteString(one)
			opening = ","
		}
	}
	if opening == "," {
		p.WriteString("}")
	}
	fmt.Fprintf(p, " %s\n", value)
}

// Scale says how a histogram is shown: with buckets whose bounds are 1<<From to 1<<To. Unit is how many of what was recorded make one of what
// is shown.
type Scale struct {
	From, To int
	Unit     float64
}

// Histogram writes the samples of a histogram with some labels.
func (p *Page) Histogram(name string, spread histogram.Snapshot, scale Scale, labels ...string) {
	count := strconv.FormatUint(spread.Count, 10)
	with := func(bound string) []string { return append(labels[:len(labels):len(labels)], `le="`+bound+`"`) }
	for power := scale.From; power <= scale.To; power++ {
		bound := Number(float64(uint64(1)<<power) / scale.Unit)
		p.sample(name+"_bucket", strconv.FormatUint(spread.AtMost(power), 10), with(bound)...)
	}
	p.sample(name+"_bucket", count, with("+Inf")...)
	p.sample(name+"_sum", Number(float64(spread.Sum)/scale.Unit), labels...)
	p.sample(name+"_count", count, labels...)
}

// Number writes whole numbers, up to what a float64 holds exactly, without an exponent.
func Number(value float64) string {
	if whole := int64(value); float64(whole) == value && whole < 1<<53 {
		return strconv.FormatInt(whole, 10)
	}
	return strconv.FormatFloat(value, 'g', -1, 64)
}
