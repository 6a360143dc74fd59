package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// watchdog ends a node's part in the consensus where its disk can't be relied on. A leader whose disk hangs would otherwise lead for ever,
// since the others hear its heartbeats; one whose log has failed would still vote.
//
// Invariant: mu guards what follows it; after stop was called nothing is reported again.
type watchdog struct {
	slow time.Duration
	stop func(why error) // Called once, in its own goroutine.
	done sync.WaitGroup

	mu      sync.Mutex
	writes  map[int]time.Time // When each write in progress began.
	next    int
	reason  error // Why the node was stopped.
	refused error // Why the last append, or note in the stable file, was refused, nil where it wasn't.
	retired bool  // Nothing is to be stopped any more.
}

func newWatchdog(slow time.Duration) *watchdog {
	return &watchdog{slow: slow, writes: map[int]time.Time{}}
}

// watch looks at the writes in progress until ctx is done.
func (w *watchdog) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-time.After(max(w.slow/20, time.Millisecond)):
			if took := w.longest(now); took > w.slow {
				w.trip(fmt.Errorf("the disk hangs: a write has taken %v so far", took.Round(time.Millisecond)))
			}
		}
	}
}

// longest returns for how long the oldest write has been in progress.
func (w *watchdog) longest(now time.Time) (took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, began := range w.writes {
		took = max(took, now.Sub(began))
	}
	return took
}

// begin notes a write, until the function that it returns is called.
func (w *watchdog) begin() (ended func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	number := w.next
	w.writes[number] = time.Now()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.writes, number)
	}
}

// saw judges what came of an append, a cut or an install, or that the stable file had no room.
func (w *watchdog) saw(err error) {
	w.mu.Lock()
	w.refused = err
	w.mu.Unlock()
	if errors.Is(err, kv.ErrFailed) || errors.Is(err, kv.ErrCorrupt) {
		w.trip(err)
	}
}

// trip stops the node, once.
func (w *watchdog) trip(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason != nil || w.retired {
		return
	}
	w.reason = fmt.Errorf("%w: %w", ErrStopped, why)
	w.done.Go(func() { w.stop(why) })
}

// retire keeps the watchdog from stopping anything, and waits until it has.
func (w *watchdog) retire() {
	w.mu.Lock()
	w.retired = true
	w.mu.Unlock()
	w.done.Wait()
}

// state returns why the node can't be relied on, nil where it can.
func (w *watchdog) state() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason == nil && w.refused != nil {
		return fmt.Errorf("cluster: no entry can be appended: %w", w.refused)
	}
	return w.reason
}

// stopped returns why the node was stopped, nil where it wasn't.
func (w *watchdog) stopped() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason
}
