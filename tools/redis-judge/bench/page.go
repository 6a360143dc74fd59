package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// write writes the page.
func write(w io.Writer, o options, results []result, memory [2]float64) error {
	var page strings.Builder
	page.WriteString("# kvctl serve beside redis-server, measured\n\n")
	fmt.Fprintf(&page, "%s\n\n", environment())
	fmt.Fprintf(&page, "Command: `go run ./bench -rounds %d -for %s` in `tools/redis-judge`. ", o.rounds, o.limit)
	fmt.Fprintf(&page, "redis-benchmark, values of %d\nbytes, ", valueSize)
	fmt.Fprintf(&page, "random keys of %d, all of which are there. ", keyspace)
	page.WriteString("The servers take turns; medians, minima\nand maxima of all turns. ")
	page.WriteString("A p99 is that of a whole pipeline.\n")
	for number, m := range modes {
		fmt.Fprintf(&page, "\n## Writes %s\n\n", m.name)
		fmt.Fprintf(&page, "`redis-server %s`, ", strings.Join(m.redis, " "))
		fmt.Fprintf(&page, "`kvctl serve %s`.\n\n", strings.Join(m.walnut, " "))
		if o.picture != "" && number == 0 {
			fmt.Fprintf(&page, "![Times as many commands a second as Redis](%s)\n\n", filepath.Base(o.picture))
		}
		page.WriteString("| command | clients | pipeline | Redis, a second | Walnut, a second | ratio ")
		page.WriteString("| Redis' p99 | Walnut's p99 |\n|---|---|---|---|---|---|---|---|\n")
		for _, r := range results {
			if r.mode == number {
				page.WriteString(r.line())
			}
		}
	}
	page.WriteString("\n## Memory\n\n")
	page.WriteString("Resident memory for a pair, after all are loaded and some seconds of rest: ")
	fmt.Fprintf(&page, "%d bytes, %d pairs,\nRedis %.0f B, Walnut %.0f B, ratio %.2f.\n",
		len(key(0))+valueSize, o.pairs, memory[redis], memory[walnut], memory[walnut]/memory[redis])
	_, err := io.WriteString(w, page.String())
	return err
}

// ratio is how many times as fast as Redis the server is.
func (r result) ratio() float64 {
	return median(rates(r.turns[walnut])) / median(rates(r.turns[redis]))
}

func (r result) line() string {
	return fmt.Sprintf("| %s | %d | %d | %s | %s | %.2f | %s | %s |\n", r.command, r.clients, r.pipeline,
		spread(rates(r.turns[redis])), spread(rates(r.turns[walnut])), r.ratio(),
		slow(r.turns[redis]), slow(r.turns[walnut]))
}

func rates(turns []figures) (all []float64) {
	for _, f := range turns {
		all = append(all, f.rate)
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func spread(values []float64) string {
	low, high := slices.Min(values), slices.Max(values)
	return fmt.Sprintf("%s (%s to %s)", thousands(median(values)), thousands(low), thousands(high))
}

// thousands writes a number with commas.
func thousands(value float64) string {
	digits := fmt.Sprintf("%.0f", value)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// slow returns the median of the turns' p99.
func slow(turns []figures) string {
	var all []float64
	for _, f := range turns {
		all = append(all, float64(f.p99))
	}
	return time.Duration(median(all)).Round(10 * time.Microsecond).String()
}

// environment says where this was measured.
func environment() string {
	version := "unknown"
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		if fields := strings.Fields(string(out)); len(fields) > 2 {
			version = strings.TrimPrefix(fields[2], "v=")
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, redis-server %s,\nload average %s at the end, %s.",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), version,
		load1(), time.Now().Format(time.DateOnly))
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func load1() string {
	text, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(text), " ")
	return load
}
