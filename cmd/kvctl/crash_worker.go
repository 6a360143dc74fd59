package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// crashWord is what a worker reports on its standard output. It is written at once, so that no kill divides it.
type crashWord struct{ Kind, Writer, Step, Offset uint64 }

// The kinds of words.
const (
	crashOpening = iota + 1 // The process runs, and opens the store next.
	crashOpened
	crashAcked  // Step of Writer was acknowledged as the commit at Offset.
	crashSeen   // A reader saw Step of Writer.
	crashHalved // A reader saw the first pair of Step of Writer, and the last pair of another step: Offset.
)

func newCrashWorker(a *app) *cobra.Command {
	var seed, steps uint64
	var done string
	cmd := &cobra.Command{
		Use:    "crash-worker",
		Hidden: true,
		Short:  "Write until killed, for crash-test",
		Long: `crash-worker is the process that crash-test kills. It writes to the store with
four writers, and reports each acknowledgement in binary on standard output. It
ignores an interrupt, SIGTERM and SIGHUP: end it with SIGKILL.`,
		Example: `  kvctl --dir store crash-worker --steps 10 > acknowledged`,
		Args:    asUsed,
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "what the steps follow from")
	cmd.Flags().StringVar(&done, "done", "0,0,0,0", "the steps that each writer has done before")
	cmd.Flags().Uint64Var(&steps, "steps", 0, "the steps that each writer takes (default until SIGKILL)")
	cmd.RunE = a.starts(func([]string) error {
		w := &crashWorkload{out: os.Stdout, seed: seed, steps: steps}
		var err error
		if w.done, err = parseDone(done); err != nil {
			return err
		}
		return a.crashWork(w)
	})
	return cmd
}

func parseDone(text string) (done [crashWriters]uint64, err error) {
	numbers := strings.Split(text, ",")
	if len(numbers) != crashWriters {
		return done, usagef("crash-worker: --done %q: want %d numbers", text, crashWriters)
	}
	for writer, number := range numbers {
		if done[writer], err = strconv.ParseUint(number, 10, 64); err != nil {
			return done, usagef("crash-worker: --done %q: want %d numbers", text, crashWriters)
		}
	}
	return done, nil
}

// crashWorkload writes to a store, and reports what was acknowledged and what a reader saw.
type crashWorkload struct {
	out   io.Writer
	seed  uint64
	steps uint64 // That each writer takes; 0 for no end.
	done  [crashWriters]uint64

	mu sync.Mutex // Held while a word is written.
}

// crashOptions let a store roll, sync and take checkpoints many times in the short life of a worker.
func (a *app) crashOptions(log io.Writer) (kv.Options, error) {
	mode, err := kv.ParseSyncMode(a.sync.value)
	return kv.Options{
		Sync: mode, SyncInterval: 5 * time.Millisecond, SegmentSize: 256 << 10, CheckpointFloor: 1 << 20, Logger: a.logger(log),
	}, err
}

// crashWork runs the workload until it fails. Its parent alone decides when it ends: an interrupt at a terminal goes to both, and
// once the parent has gone, the next word can't be written.
func (a *app) crashWork(w *crashWorkload) error {
	signal.Ignore(endSignals()...)
	dir, err := a.dir()
	if err != nil {
		return err
	}
	opts, err := a.crashOptions(io.Discard) // A recovery after each kill is no news.
	if err != nil {
		return err
	}
	if err := w.say(crashWord{Kind: crashOpening}); err != nil {
		return err
	}
	db, err := kv.Open(dir, opts)
	if err != nil {
		return err
	}
	return errors.Join(w.run(db), db.Close())
}

func (w *crashWorkload) run(db *kv.DB) error {
	if err := w.say(crashWord{Kind: crashOpened}); err != nil {
		return err
	}
	failures := make(chan error, crashWriters+1)
	var writers sync.WaitGroup
	for writer := range crashWriters {
		writers.Go(func() { failures <- w.write(db, writer) })
	}
	ended := make(chan struct{})
	go func() {
		writers.Wait()
		close(ended)
	}()
	go func() { failures <- w.watch(db, ended) }()
	for range crashWriters + 1 {
		if err := <-failures; err != nil {
			return err // The process ends, and with it what still runs.
		}
	}
	return nil
}

func (w *crashWorkload) say(word crashWord) error {
	said, err := binary.Append(nil, binary.LittleEndian, word)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.out.Write(said)
	return err
}

// write takes one step after another, each once the one before it was acknowledged and reported.
func (w *crashWorkload) write(db *kv.DB, writer int) error {
	for step := w.done[writer] + 1; w.steps == 0 || step <= w.done[writer]+w.steps; step++ {
		offset, err := w.take(db, writer, step)
		if err != nil {
			return fmt.Errorf("writer %d: step %d: %w", writer, step, err)
		}
		if err := w.say(crashWord{crashAcked, uint64(writer), step, offset}); err != nil {
			return err
		}
	}
	return nil
}

// take makes the commit of a step.
func (w *crashWorkload) take(db *kv.DB, writer int, step uint64) (offset uint64, err error) {
	err = db.Update(func(tx *kv.Tx) error {
		offset = tx.Offset() + 1
		total, err := numberIn(tx, crashTotal)
		if err != nil {
			return err
		}
		number := fmt.Append(nil, step)
		errs := []error{
			tx.Put(crashKey(writer, "left"), number),
			tx.Put(crashStepKey(writer, step), crashValue(w.seed, writer, step)),
			tx.Put(crashTotal, fmt.Append(nil, total+1)),
		}
		if step > crashKept {
			errs = append(errs, tx.DeleteRange(crashStepKey(writer, 0), crashStepKey(writer, step-crashKept+1)))
		}
		errs = append(errs, tx.Put(crashKey(writer, "at"), fmt.Append(nil, offset)), tx.Put(crashKey(writer, "right"), number))
		return errors.Join(errs...)
	})
	return offset, err
}

// watch reports what a reader sees, until the writers have ended.
func (w *crashWorkload) watch(db *kv.DB, ended <-chan struct{}) error {
	for {
		select {
		case <-ended:
			return nil
		case <-time.After(time.Millisecond):
		}
		err := db.View(func(tx *kv.Tx) error {
			for writer := range crashWriters {
				left, err := numberIn(tx, crashKey(writer, "left"))
				if err != nil {
					return err
				}
				right, err := numberIn(tx, crashKey(writer, "right"))
				if err != nil {
					return err
				}
				word := crashWord{crashSeen, uint64(writer), left, 0}
				if left != right {
					word = crashWord{crashHalved, uint64(writer), left, right}
				}
				if err := w.say(word); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
