package main

import (
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

// task is one thing to measure.
type task struct {
	mode     int
	command  string
	clients  int
	pipeline int
}

// tasks are all of them. How durable writes are doesn't matter to GET, so it is measured once.
func tasks() (all []task) {
	for mode := range modes {
		for _, command := range []string{"SET", "GET"} {
			for _, pipeline := range []int{1, 16} {
				for _, clients := range []int{1, 16, 50} {
					if command == "SET" || mode == 0 {
						all = append(all, task{mode, command, clients, pipeline})
					}
				}
			}
		}
	}
	return all
}

// figures are those of one turn.
type figures struct {
	rate float64       // Commands a second.
	p99  time.Duration // Of one pipeline.
}

// result is what came of a task: the figures of each server, turn by turn.
type result struct {
	task
	turns [2][]figures
}

// keyspace is the range of random keys. All of them are there from the start.
const keyspace = 100_000

// measure measures all tasks. Each mode has its own two servers.
func measure(o options, dir string) (results []result, err error) {
	for _, one := range tasks() {
		results = append(results, result{task: one})
	}
	for number, m := range modes {
		p, err := start(o.kvctl, dir, m)
		if err != nil {
			return nil, err
		}
		if err := measureMode(o, p, number, results); err != nil {
			_ = p.stop()
			return nil, err
		}
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func measureMode(o options, p pair, mode int, results []result) error {
	for _, s := range p {
		if err := load(s, keyspace); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		for i := range results {
			r := &results[i]
			if r.mode != mode {
				continue
			}
			for turn := range p {
				side := (turn + round) % len(p) // In every other round Walnut is first.
				f, err := r.run(p[side], o.limit)
				if err != nil {
					return err
				}
				r.turns[side] = append(r.turns[side], f)
				fmt.Fprintf(os.Stderr, "%s, %s: %s, %d clients, pipeline %d: %.0f/s, p99 %s\n", modes[mode].name,
					p[side].Name, r.command, r.clients, r.pipeline, f.rate, f.p99)
			}
		}
	}
	return nil
}

// run lets redis-benchmark run for about a time: it counts commands, so a short run before says how many.
func (t task) run(s *servers.Server, limit time.Duration) (figures, error) {
	f, err := t.benchmark(s, t.clients*t.pipeline*100)
	if err != nil {
		return f, err
	}
	return t.benchmark(s, max(int(f.rate*limit.Seconds()), t.clients*t.pipeline*100))
}

func (t task) benchmark(s *servers.Server, commands int) (f figures, err error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return f, err
	}
	out, err := exec.Command("redis-benchmark", "-h", host, "-p", port, "--csv", "--precision", "3",
		"-t", strings.ToLower(t.command), "-d", strconv.Itoa(valueSize), "-r", strconv.Itoa(keyspace),
		"-c", strconv.Itoa(t.clients), "-P", strconv.Itoa(t.pipeline), "-n", strconv.Itoa(commands)).Output()
	if err != nil {
		return f, fmt.Errorf("redis-benchmark of %s: %w: %s", s.Name, err, out)
	}
	return parse(string(out))
}

// parse reads redis-benchmark's output: a line of names, and one of figures.
func parse(out string) (f figures, err error) {
	start := strings.Index(out, `"test"`) // A warning may come first.
	if start < 0 {
		return f, fmt.Errorf("redis-benchmark printed no table: %q", out)
	}
	lines, err := csv.NewReader(strings.NewReader(out[start:])).ReadAll()
	if err != nil || len(lines) != 2 {
		return f, fmt.Errorf("redis-benchmark printed no figures: %q, error %w", out, err)
	}
	column := func(name string) (float64, error) {
		at := slices.Index(lines[0], name)
		if at < 0 {
			return 0, fmt.Errorf("redis-benchmark printed no %s: %q", name, out)
		}
		return strconv.ParseFloat(lines[1][at], 64)
	}
	if f.rate, err = column("rps"); err != nil {
		return f, err
	}
	p99, err := column("p99_latency_ms")
	f.p99 = time.Duration(p99 * float64(time.Millisecond))
	return f, err
}
