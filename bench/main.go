// Walnut-bench measures Walnut beside other stores and logs, and beside what the bare parts can do. Each measurement runs in
// its own process, and the peers take turns; README.md has the method and each peer's settings.
//
//	go run . -workloads W1,W4 -peers walnut,bbolt,pebble,limit -rounds 5
//
// It writes a Markdown page of medians and ratios. `go run . damage` shows instead what each does with damaged files.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if specification := os.Getenv(childVariable); specification != "" {
		child(specification)
		return
	}
	if specification := os.Getenv(damageVariable); specification != "" {
		damageChild(specification)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	command, arguments := compare, os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "damage" {
		command, arguments = damageMatrix, arguments[1:]
	}
	err := command(ctx, arguments, os.Stdout, os.Stderr)
	stop()
	if !errors.Is(err, flag.ErrHelp) {
		check(err)
	}
}

// check ends the process at an error.
func check(err error) {
	if err != nil {
		fatal("%v", err)
	}
}

func fatal(format string, args ...any) { fail(fmt.Sprintf(format, args...)) }

// fail is what an error does. Only a look at a damaged store goes on after one.
var fail = func(message string) {
	fmt.Fprintln(os.Stderr, "walnut-bench: "+message)
	os.Exit(1)
}

// choices are the program's flags.
type choices struct {
	spec                           Spec
	workloads, peers, against      string
	rounds                         int
	seconds, warmup                float64
	dir, out, page, pictures, from string
}

func (c *choices) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("walnut-bench", flag.ContinueOnError)
	flags.StringVar(&c.workloads, "workloads", "", "workloads to run, commas between: regular expressions that match a name or its beginning\n"+
		"up to a slash (default all but S):\n"+strings.Join(workloadNames(), " "))
	flags.StringVar(&c.peers, "peers", "", "peers to measure, commas between; limit is every limit (default those usual for a workload):\n"+
		strings.Join(peerNames(), " "))
	flags.IntVar(&c.rounds, "rounds", 5, "how often to measure each")
	flags.Uint64Var(&c.spec.Pairs, "pairs", 1_000_000, "pairs in a loaded store")
	flags.StringVar(&c.spec.Keys, "keys", randomKeys, "shape of keys: "+strings.Join(keyShapes, ", "))
	flags.IntVar(&c.spec.Value, "value-bytes", 100, "size of each value")
	flags.Float64Var(&c.seconds, "seconds", 5, "how long to measure what doesn't end by itself, in seconds")
	flags.Float64Var(&c.warmup, "warmup", 10, "how long to warm up where a store was loaded first, in seconds")
	flags.Uint64Var(&c.spec.Seed, "seed", 1, "where keys, values and choices come from; each round adds one")
	flags.StringVar(&c.dir, "dir", os.TempDir(), "directory in which to make a directory for data, removed at the end")
	flags.StringVar(&c.against, "against", "", "a build of this program with another Walnut, which takes turns as "+oldName+"; see compare.sh")
	flags.StringVar(&c.out, "out", os.DevNull, "file for a line of JSON for each measurement")
	flags.StringVar(&c.page, "page", "", "file for the page (default standard output)")
	flags.StringVar(&c.pictures, "pictures", "", "directory for the page's pictures (default none)")
	flags.StringVar(&c.from, "from", "", "measure nothing: write the page and pictures of a file that -out has written")
	return flags
}

func workloadNames() (names []string) {
	for _, w := range workloads {
		names = append(names, w.ID)
	}
	return names
}

func peerNames() (names []string) {
	for _, peer := range allPeers() {
		names = append(names, peer.Name)
	}
	return names
}

// compare does what the arguments say.
func compare(ctx context.Context, arguments []string, stdout, stderr io.Writer) error {
	var c choices
	flags := c.flags()
	flags.SetOutput(stderr)
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if _, err := regexp.Compile(c.workloads); err != nil {
		return fmt.Errorf("-workloads: %w", err)
	}
	positive := c.rounds > 0 && c.seconds > 0 && c.spec.Pairs > 0 && c.spec.Value > 0
	if flags.NArg() > 0 || !positive || !slices.Contains(keyShapes, c.spec.Keys) {
		return errors.New("a flag is out of range, or an argument is not a flag; -h lists them")
	}
	c.spec.Time, c.spec.Warmup = time.Duration(c.seconds*1e9), time.Duration(c.warmup*1e9)
	all, err := c.measure(ctx, stderr)
	if err == nil {
		err = c.publish(stdout, all)
	}
	return err
}

// measure runs the workloads, or reads what was measured before. The directory with the data is gone when it returns,
// whatever ended it.
func (c choices) measure(ctx context.Context, progress io.Writer) (all []Measurement, err error) {
	if c.from != "" {
		content, err := os.ReadFile(c.from)
		if err != nil {
			return nil, err
		}
		return decodeAll(bytes.NewReader(content))
	}
	r := &runner{spec: c.spec, rounds: c.rounds, progress: progress}
	for _, w := range workloads {
		if c.workloads == "" && !w.byName || c.workloads != "" && matches(strings.ReplaceAll(c.workloads, ",", "|"), w.ID) {
			r.workloads = append(r.workloads, w)
		}
	}
	if r.contestants, err = c.contestants(); err != nil {
		return nil, err
	}
	out, err := os.Create(c.out)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	r.out = json.NewEncoder(out)
	if r.dir, err = os.MkdirTemp(c.dir, "walnut-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if r.environment = environment(r.dir); strings.Contains(r.environment, "file system tmpfs") {
		fmt.Fprintf(progress, "walnut-bench: %s is in memory: durable writes mean nothing there; see -dir\n", r.dir)
	}
	return r.run(ctx)
}

// contestants returns the peers that take part, another build of Walnut among them.
func (c choices) contestants() (all []contestant, err error) {
	program, err := os.Executable()
	names := strings.FieldsFunc(c.peers, func(r rune) bool { return r == ',' })
	for _, name := range names {
		if name != "limit" && !slices.Contains(peerNames(), name) {
			return nil, fmt.Errorf("-peers: no peer is called %q; -h lists them", name)
		}
	}
	for _, peer := range allPeers() {
		if len(names) > 0 && !slices.Contains(names, peer.Name) && !(peer.Limit && slices.Contains(names, "limit")) {
			continue
		}
		all = append(all, contestant{Peer: peer, label: peer.Name, program: program})
		if peer.Name == walnutName && c.against != "" {
			all = append(all, contestant{Peer: peer, label: oldName, program: c.against})
		}
	}
	return all, err
}

// publish writes the page, and the pictures if they are asked for. A failed measurement is an error only then.
func (c choices) publish(stdout io.Writer, all []Measurement) (err error) {
	r := newReport(all)
	var links []string
	if c.pictures != "" {
		links, err = r.draw(c.pictures, filepath.Dir(c.page))
	}
	if c.page == "" {
		_, writeErr := io.WriteString(stdout, r.page(links))
		err = errors.Join(err, writeErr)
	} else {
		err = errors.Join(err, os.WriteFile(c.page, []byte(r.page(links)), 0o644))
	}
	if all == nil || slices.ContainsFunc(all, func(m Measurement) bool { return m.Error != "" }) {
		err = errors.Join(err, errors.New("measurements failed, or there were none; the page has their errors"))
	}
	return err
}
