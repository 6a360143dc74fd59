// Command demo shows what Walnut promises, on a real data set: it imports the set, reads it back, kills an import
// half-way, opens the store again, and damages a copy by one bit. It explains every step and checks every claim: if one
// doesn't hold, it stops with exit code 1. `make demo` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	kvctl := flag.String("kvctl", "bin/kvctl", "the kvctl to show")
	data := flag.String("data", "testdata/unicode/UnicodeData.tsv.gz", "the data set, tab-separated and compressed")
	flag.Parse()
	if err := run(*kvctl, *data); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run plays the demo in a temporary directory, which it removes however the demo ends, also after Ctrl-C.
func run(kvctl, data string) error {
	kvctl, err := filepath.Abs(kvctl)
	if err != nil {
		return err
	}
	rows, err := readDataSet(data)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "walnut-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	started := time.Now()
	stage := newStage(ctx, os.Stdout, kvctl, scratch)
	if err := play(stage, rows); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	stage.tell("Every claim above was checked; the whole took %.1f s.", time.Since(started).Seconds())
	return nil
}

// play runs the scenes in order. Later ones use the stores that earlier ones left in the scratch directory.
func play(s *stage, set *dataSet) error {
	scenes := []func(*stage, *dataSet) error{importAll, readBack, killImport, openAgain, finishImport, flipOneBit}
	for _, scene := range scenes {
		if err := scene(s, set); err != nil {
			return err
		}
	}
	return nil
}
