package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// What bench writes and reads.
const (
	benchKeys      = 100_000
	benchValueSize = 100
	benchScan      = 100 // Pairs a scan.
	benchWriters   = 16
)

func newBench(a *app) *cobra.Command {
	var each time.Duration
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine and the disk of a directory",
		Long: fmt.Sprintf(`bench measures how fast stores are on this machine and on the disk of --dir,
which must exist and may hold a store that is in use. Everything is done in a
new directory in it, which is removed again, also after an interrupt.

  fsync         a write of 512 bytes and its sync, without a store
  put, durable  acknowledged once synced, by 1 and by %d writers, which share
                syncs
  put, relaxed  acknowledged once written: what --sync never does
  get, scan     of %d pairs, with a reader for each processor
  open          of that store: all its pairs are replayed from the log

Values have %d bytes. p90 is the longest that nine operations in ten took. A
disk whose fsync takes microseconds probably doesn't sync, and a warning says
so.`, benchWriters, benchKeys, benchValueSize),
		Example: `  kvctl --dir . bench --duration 200ms
  kvctl --dir . bench --duration 200ms -o json`,
		Args: asUsed,
	}
	cmd.Flags().DurationVar(&each, "duration", 2*time.Second, "how long each measurement takes")
	cmd.RunE = a.starts(func([]string) error {
		if each <= 0 {
			return usagef("bench: --duration %v: want more than 0", each)
		}
		return a.bench(each)
	})
	return cmd
}

// bench measures in its own directory.
type bench struct {
	app  *app
	ctx  context.Context
	dir  string        // Its own, in the directory that is measured.
	each time.Duration // How long a measurement takes.
}

func (a *app) bench(each time.Duration) (err error) {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return &fs.PathError{Op: "bench", Path: dir, Err: syscall.ENOTDIR}
	}
	own, err := os.MkdirTemp(dir, "kvctl-bench-*")
	if err != nil {
		return benchError(dir, err)
	}
	defer func() {
		if removeErr := os.RemoveAll(own); err == nil && removeErr != nil {
			err = fmt.Errorf("bench: %w", removeErr)
		}
	}()
	b := &bench{app: a, ctx: ctx, dir: own, each: each}
	if err := b.printHead(); err != nil {
		return err
	}
	for _, measure := range []func() error{
		b.fsync,
		func() error { return b.puts("put, durable, 1 writer", kv.SyncAlways, 1) },
		func() error {
			return b.puts(fmt.Sprintf("put, durable, %d writers", benchWriters), kv.SyncAlways, benchWriters)
		},
		func() error { return b.puts("put, relaxed, 1 writer", kv.SyncNever, 1) },
		b.reads,
	} {
		if err := measure(); err != nil {
			return benchError(dir, whyEnded(ctx, err))
		}
	}
	return nil
}

// benchError says where the disk is full, since its error names only the directory that bench made.
func benchError(dir string, err error) error {
	var output outputError
	switch {
	case errors.As(err, &output), errors.Is(err, errInterrupted):
		return err
	case errors.Is(err, kv.ErrNoSpace), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("bench: the disk of %s is full: %w", dir, err)
	}
	return fmt.Errorf("bench: %w", err)
}

// benchJSON is what the measurements have in common.
type benchJSON struct {
	Kind       string  `json:"kind"`
	Dir        string  `json:"dir"`
	Processors int     `json:"processors"`
	Platform   string  `json:"platform"`
	Keys       int     `json:"keys"`
	ValueBytes int     `json:"value_bytes"`
	Seconds    float64 `json:"seconds"` // Of each measurement.
}

// benchRow is the form of a line of the table.
const benchRow = "%-28s %12s %9s %9s %9s %9s %9s %10s\n"

func (b *bench) printHead() (err error) {
	head := benchJSON{
		kindBench, b.app.dirName(), runtime.GOMAXPROCS(0), runtime.GOOS + "/" + runtime.GOARCH, benchKeys, benchValueSize,
		b.each.Seconds(),
	}
	if b.app.wantsJSON() {
		err = b.app.printJSON(head)
	} else {
		_, err = fmt.Fprintf(b.app.stdout, "%s: %d %s, %s\n"+benchRow, head.Dir, head.Processors, plural(head.Processors, "processor"),
			head.Platform, "", "a second", "p50", "p90", "p99", "p99.9", "max", "measured")
	}
	return b.flush(err)
}

// print writes a measurement at once: the next one takes a while.
func (b *bench) print(m measurement) (err error) {
	if b.app.wantsJSON() {
		err = b.app.printJSON(m.json())
	} else {
		l := m.latency
		_, err = fmt.Fprintf(b.app.stdout, benchRow, m.name, shortRate(m.rate()), shortLatency(l.Quantile(0.5)),
			shortLatency(l.Quantile(0.9)), shortLatency(l.Quantile(0.99)), shortLatency(l.Quantile(0.999)), shortLatency(l.Max),
			fmt.Sprint(l.Count))
	}
	return b.flush(err)
}

func (b *bench) flush(err error) error {
	if err == nil {
		err = b.app.stdout.Flush()
	}
	if err != nil {
		return outputError{fmt.Errorf("write to standard output: %w", err)}
	}
	return nil
}

// dirName returns the store's directory where it is known to have one.
func (a *app) dirName() string {
	dir, _ := a.dir()
	return dir
}
