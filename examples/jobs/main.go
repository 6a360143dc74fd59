// Command jobs does the jobs that it reads, one a line, with a queue that outlives it:
//
//	printf 'mail ada\nmail bob\nfail\n' | go run ./examples/jobs -dir store -workers 2
//
// A job is done at least once. It is tried again after a failure, and when the program died while it worked on it. The
// command ends when no job is left but the dead ones, or with an interrupt; the next one goes on.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/kv"
)

func main() {
	dir := flag.String("dir", "store", "the directory of the store")
	workers := flag.Int("workers", 2, "how many jobs to do at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *workers, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "jobs:", err)
		os.Exit(1)
	}
}

// run adds a job for each line, and works until all are done or ctx ends.
func run(ctx context.Context, dir string, workers int, in io.Reader, out io.Writer) (err error) {
	if workers < 1 {
		return fmt.Errorf("-workers %d: want 1 or more", workers)
	}
	db, err := kv.OpenContext(ctx, dir, kv.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q := &queue{db: db, lease: time.Minute, backoff: 100 * time.Millisecond, maxAttempts: 3, now: time.Now}
	for lines := bufio.NewScanner(in); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return fmt.Errorf("read jobs: %w", err)
			}
			break
		}
		if err := q.push(ctx, lines.Text()); err != nil {
			return fmt.Errorf("add a job: %w", err)
		}
	}
	return q.drain(ctx, workers, printer(out))
}

// printer is what stands for work: it prints a job, and fails where the job says so.
func printer(out io.Writer) func(context.Context, job) error {
	var mu sync.Mutex
	return func(_ context.Context, j job) error {
		if strings.HasPrefix(j.Payload, "fail") {
			return fmt.Errorf("job %d, attempt %d: it says fail", j.Number, j.Attempt)
		}
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(out, "done: %s\n", j.Payload)
		return err
	}
}

// drain has workers do the jobs until none is left, or ctx ends, or the store fails.
func (q *queue) drain(ctx context.Context, workers int, work func(context.Context, job) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			if err := q.work(ctx, work); err != nil {
				cancel(err) // The others end as well.
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// work is one worker.
func (q *queue) work(ctx context.Context, work func(context.Context, job) error) error {
	for ctx.Err() == nil {
		j, err := q.take(ctx)
		switch {
		case errors.Is(err, errNone):
			left, err := q.db.Count(kv.Range{Prefix: waiting, Limit: 1})
			if err != nil || left == 0 {
				return err
			}
			err = q.wait(ctx)
			if err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if err := q.try(ctx, j, work); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// try does a job and settles it, also when ctx ends meanwhile. The work has until the lease ends.
func (q *queue) try(ctx context.Context, j job, work func(context.Context, job) error) error {
	limited, cancel := context.WithTimeout(ctx, q.lease)
	defer cancel()
	failure := work(limited, j)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	switch {
	case failure == nil:
		err = q.settle(last, j, nil)
	case ctx.Err() != nil:
		err = q.giveBack(last, j)
	default:
		slog.Warn("job failed", "number", j.Number, "attempt", j.Attempt, "error", failure)
		err = q.retry(last, j)
	}
	if errors.Is(err, errLost) {
		slog.Warn("job took longer than its lease, so that another worker may do it as well", "number", j.Number)
		return nil
	}
	return err
}
