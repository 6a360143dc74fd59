// Command bench measures kvctl serve beside redis-server by redis-benchmark, in turns, and writes a page with the
// medians. Both start with the same pairs; only one is under load at a time.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

// options are what the command line says.
type options struct {
	kvctl   string
	rounds  int
	limit   time.Duration
	pairs   int
	picture string
}

func main() {
	var o options
	flag.StringVar(&o.kvctl, "kvctl", "", "the `program`; it is built of this repository otherwise")
	flag.IntVar(&o.rounds, "rounds", 5, "how many turns each server gets in each case")
	flag.DurationVar(&o.limit, "for", 3*time.Second, "about how long each turn takes")
	flag.IntVar(&o.pairs, "pairs", 500_000, "how many pairs are loaded to see how much memory each takes")
	flag.StringVar(&o.picture, "picture", "", "the SVG `file` that a picture is written to, in the page's directory; none otherwise")
	page := flag.String("o", "", "the `file` that the page is written to; standard output otherwise")
	flag.Parse()
	if err := run(o, *page); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options, page string) (err error) {
	dir, err := os.MkdirTemp("", "redis-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.kvctl == "" {
		if o.kvctl, err = servers.Kvctl(dir); err != nil {
			return err
		}
	}
	results, err := measure(o, dir)
	if err != nil {
		return err
	}
	memory, err := weigh(o, dir)
	if err != nil {
		return err
	}
	if o.picture != "" {
		if err := draw(o.picture, results, 0); err != nil {
			return err
		}
	}
	if page == "" {
		return write(os.Stdout, o, results, memory)
	}
	file, err := os.Create(page)
	if err != nil {
		return err
	}
	return errors.Join(write(io.Writer(file), o, results, memory), file.Close())
}
