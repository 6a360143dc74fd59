// Walnut-bench measures Walnut beside other stores and logs, and beside what the bare parts can do. Each measurement is
// made in a process of its own, and the peers take turns; README.md has the method and each peer's settings.
//
//	go run . -workloads W1,W4 -peers walnut,bbolt,pebble,limit -rounds 5
//
// It prints one line of JSON for each measurement and then a Markdown page of medians and ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if specification := os.Getenv(childVariable); specification != "" {
		if err := child(specification); err != nil {
			fatal("%v", err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := compare(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "walnut-bench:", err)
		os.Exit(2)
	default:
		fatal("%v", err)
	}
}

// errUsage is in the error about arguments that can't be meant. The program's exit code is 2 then.
var errUsage = errors.New("-h lists the flags, workloads and peers")

func usageError(format string, args ...any) error {
	return fmt.Errorf("%w (%w)", fmt.Errorf(format, args...), errUsage)
}

// choices are the program's flags.
type choices struct {
	workloads, peers, dir, out, markdown string
	rounds                               int
	pairs                                []uint64 // None is what is usual for a workload.
	keys                                 []string
	valueBytes                           []int
	seed                                 uint64
	seconds, warmup                      float64
	together                             bool
	from, pictures, about                string
}

func parse(arguments []string, stderr io.Writer) (choices, error) {
	var c choices
	flags := flag.NewFlagSet("walnut-bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // An error needs no page of flags behind it.
	flags.StringVar(&c.workloads, "workloads", "", "workloads to run, commas between, by the beginnings of their names:\n"+
		strings.Join(workloadNames(), ", ")+" (default all)")
	flags.StringVar(&c.peers, "peers", "", "peers to measure, commas between; limit is every limit:\n"+
		strings.Join(peerNames(), ", ")+" (default all);\none takes part only in the workloads behind a colon: pebble:W1+W9/checkpoint")
	flags.IntVar(&c.rounds, "rounds", 5, "how often to measure each")
	c.extentFlags(flags)
	flags.Float64Var(&c.seconds, "seconds", 5, "how long to measure what doesn't end by itself, in seconds")
	flags.Float64Var(&c.warmup, "warmup", 10, "how long to warm up where a store was loaded first, in seconds")
	flags.BoolVar(&c.together, "together", false, "measure W4 to W6 one after another on one loaded store for each mode, so that\n"+
		"loading takes less of the time; see README.md for what is less comparable then")
	flags.Uint64Var(&c.seed, "seed", 1, "where keys, values and choices come from; round n adds n")
	flags.StringVar(&c.dir, "dir", os.TempDir(), "directory in which to make a directory for data, removed at the end")
	flags.StringVar(&c.out, "out", "", "file for the lines of JSON (default standard output)")
	flags.StringVar(&c.markdown, "markdown", "", "file for the Markdown page (default standard output)")
	flags.StringVar(&c.pictures, "pictures", "", "directory for the pictures that belong to the page (default none)")
	flags.StringVar(&c.about, "about", "", "a sentence about the run, for the page")
	flags.StringVar(&c.from, "from", "", "measure nothing: write the page and the pictures from files that -out has written, commas between")
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
		return c, err
	case err != nil:
		return c, usageError("%w", err)
	case flags.NArg() > 0:
		return c, usageError("there are flags only, %q is none", flags.Arg(0))
	case c.rounds < 1:
		return c, usageError("-rounds is %d, out of range: at least 1", c.rounds)
	case c.seconds <= 0:
		return c, usageError("-seconds is %v, out of range: more than 0", c.seconds)
	case c.warmup < 0:
		return c, usageError("-warmup is %v, out of range: at least 0", c.warmup)
	}
	return c, nil
}

func workloadNames() (names []string) {
	for _, workload := range workloads {
		names = append(names, workload.Name)
	}
	return slices.Compact(names)
}

func peerNames() (names []string) {
	for _, peer := range peers {
		names = append(names, peer.Name)
	}
	return names
}

// chooseWorkloads returns the workloads that a list of names selects; an empty list selects all.
func (c choices) chooseWorkloads() (chosen []Workload, err error) {
	names := split(c.workloads)
	for _, workload := range workloads {
		if len(names) == 0 && !workload.byName || selected(names, workload.ID()) {
			chosen = append(chosen, c.withPeers(workload))
		}
	}
	return chosen, knowWorkloads(names)
}

// knowWorkloads is an error where a name selects no workload.
func knowWorkloads(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(workloads, func(w Workload) bool { return selected([]string{name}, w.ID()) }) {
			return usageError("no workload is called %q", name)
		}
	}
	return nil
}

// choosePeers returns the peers that a list of names selects, each with the workloads behind its name's colon; an empty list
// selects all.
func (c choices) choosePeers() (chosen []Peer, err error) {
	names := split(c.peers)
	for _, peer := range peers {
		asked := len(names) == 0
		for _, name := range names {
			name, only, limited := strings.Cut(name, ":")
			if name != peer.Name && !(peer.Limit && name == "limit") {
				continue
			}
			asked = true
			if limited {
				peer.chosen = append(peer.chosen, strings.Split(only, "+")...)
			}
		}
		if asked {
			chosen = append(chosen, peer)
		}
	}
	return chosen, knowPeers(names)
}

// knowPeers is an error where a name is no peer's, or what is behind its colon no workload's.
func knowPeers(names []string) error {
	for _, name := range names {
		name, only, limited := strings.Cut(name, ":")
		if name != "limit" && !slices.Contains(peerNames(), name) {
			return usageError("no peer is called %q", name)
		}
		if !limited {
			continue
		}
		if err := knowWorkloads(strings.Split(only, "+")); err != nil {
			return err
		}
	}
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// compare does what the arguments say. The directory with the data is gone when it returns, whatever ended it.
func compare(ctx context.Context, arguments []string, stdout, stderr io.Writer) (err error) {
	c, err := parse(arguments, stderr)
	if err != nil {
		return err
	}
	if c.from != "" {
		return c.publishAgain(stdout)
	}
	r := &runner{rounds: c.rounds, progress: stderr, extents: c.extents, spec: Spec{
		Seed: c.seed, Time: inSeconds(c.seconds), Warmup: inSeconds(c.warmup),
	}}
	chosen, err := c.chooseWorkloads()
	if err != nil {
		return err
	}
	r.groups = staged(chosen)
	if c.together {
		r.groups = sharing(chosen)
	}
	if r.peers, err = c.choosePeers(); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp(c.dir, "walnut-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	where := newEnvironment(r.dir)
	where.About = c.about
	if where.keepsInMemory() {
		fmt.Fprintf(stderr, "walnut-bench: %s is in memory: durable writes mean nothing there; see -dir\n", r.dir)
	}
	out, closeOut, err := create(c.out, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	r.out = out
	if err := writeHeading(out, where); err != nil {
		return err
	}
	measurements, err := r.run(ctx)
	if err != nil {
		return err
	}
	for i := range measurements {
		measurements[i].origin = &where
	}
	return errors.Join(c.publish(stdout, measurements), failures(measurements))
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// create opens a file for writing, or takes what stands in for no name.
func create(name string, standard io.Writer) (io.Writer, func() error, error) {
	if name == "" {
		return standard, func() error { return nil }, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, nil, err
	}
	return file, file.Close, nil
}

// publish writes the page, and the pictures if they are asked for.
func (c choices) publish(stdout io.Writer, measurements []Measurement) error {
	page := newReport(peers, measurements)
	var links []pictureLink
	var err error
	if c.pictures != "" {
		links, err = page.writePictures(c.pictures)
	}
	out, closeOut, createErr := create(c.markdown, stdout)
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	return errors.Join(err, page.write(out, filepath.Dir(c.markdown), links), closeOut())
}

// publishAgain publishes what was measured before. What failed then is no error now.
func (c choices) publishAgain(stdout io.Writer) error {
	measurements, err := readMeasurements(strings.Split(c.from, ","))
	if err != nil {
		return err
	}
	for _, m := range measurements {
		if c.about != "" {
			m.origin.About = c.about
		}
	}
	return c.publish(stdout, measurements)
}

// failures is an error where a measurement has no figure.
func failures(measurements []Measurement) error {
	failed := 0
	for _, m := range measurements {
		if m.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d measurements failed", failed, len(measurements))
	}
	return nil
}
