package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/walnutkv/walnut/kv"
)

const (
	// barInterval is the shortest time between two drawings of a bar.
	barInterval = 100 * time.Millisecond
	// patience is how long an operation may take before a bar appears.
	patience = 500 * time.Millisecond
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// byteCount counts the bytes written to it, for a progress bar in another goroutine.
type byteCount struct{ atomic.Int64 }

// Write counts p.
func (c *byteCount) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

// newBar returns a bar that draws only on request, so that it draws nothing after its end.
func newBar(w io.Writer, size int64, options ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions64(size, append(options, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(24),
		progressbar.OptionSetSpinnerChangeInterval(0))...)
}

// importBar shows the progress and the rate of an import. A nil importBar shows nothing.
type importBar struct {
	bar   *progressbar.ProgressBar
	w     io.Writer
	in    *input
	start time.Time
	drawn time.Time
	pairs uint64
}

// newImportBar returns nil if standard error is not a terminal.
func (a *app) newImportBar(in *input) *importBar {
	if !isTerminal(a.stderr) {
		return nil
	}
	bar := newBar(a.stderr, in.size, progressbar.OptionShowBytes(true))
	return &importBar{bar: bar, w: a.stderr, in: in, start: time.Now()}
}

// update draws the bar now and then.
func (b *importBar) update(pairs uint64) {
	if b == nil {
		return
	}
	b.pairs = pairs
	if time.Since(b.drawn) >= barInterval {
		b.drawn = time.Now()
		b.draw()
	}
}

// draw shows the pairs written, and the bytes read before decompression. A bar that can't be drawn is no reason to end an
// import.
func (b *importBar) draw() {
	rate := float64(b.pairs) / max(time.Since(b.start).Seconds(), 1e-3)
	b.bar.Describe(fmt.Sprintf("%d pairs, %.0f/s", b.pairs, rate))
	_ = b.bar.Set64(b.in.read.Load())
}

// finish draws the bar a last time and leaves it on the terminal.
func (b *importBar) finish() {
	if b == nil {
		return
	}
	b.draw()
	_ = b.bar.Exit()
	fmt.Fprintln(b.w)
}

// openBar shows the progress of opening a store if that takes a while: first a snapshot is loaded, then the log after it is
// replayed. A view of a store's files only reads the log, at times more than once. A nil openBar shows nothing.
type openBar struct {
	w     io.Writer
	start time.Time

	bar  *progressbar.ProgressBar // Nil until opening has taken a while.
	what string                   // The operation shown: load or replay.
	from uint64                   // The commit at the first update of the replay.
}

// newOpenBar returns nil if standard error is not a terminal.
func (a *app) newOpenBar() *openBar {
	if !isTerminal(a.stderr) {
		return nil
	}
	return &openBar{w: a.stderr, start: time.Now()}
}

// update shows progress. kv calls it while it loads and replays.
func (b *openBar) update(p kv.Progress) {
	switch {
	case b == nil:
	case p.Offset == 0 && p.Loaded > 0:
		b.show("load", "pairs", p.Loaded, p.Pairs)
	case p.Offset > 0 && p.Last > 0:
		if b.from == 0 {
			b.from = p.Offset
		}
		b.show("replay", "commits", p.Offset-b.from, p.Last-b.from)
	}
}

// show draws the bar for one operation. A size of 0 is unknown.
func (b *openBar) show(what, unit string, done, size uint64) {
	if time.Since(b.start) < patience {
		return
	}
	if b.what != what {
		b.finish()
		b.what, b.bar = what, newBar(b.w, knownSize(int64(size)), progressbar.OptionSetDescription(what+" "+unit),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(barInterval))
	}
	// A bar that can't be drawn is no reason to fail.
	_ = b.bar.Set64(int64(done))
}

// finish clears the bar, since the command's output follows.
func (b *openBar) finish() {
	if b != nil && b.bar != nil {
		_ = b.bar.Clear()
		_ = b.bar.Exit()
		b.bar, b.what = nil, ""
	}
}

// knownSize returns the size in the form that a bar takes: -1 if it is unknown.
func knownSize(size int64) int64 {
	if size <= 0 {
		return -1
	}
	return size
}

// taskBar shows the progress of an operation by asking for it now and then. A nil taskBar shows nothing.
type taskBar struct {
	bar   *progressbar.ProgressBar
	done  func() int64
	stop  chan struct{}
	ended sync.WaitGroup
}

// newTaskBar starts a bar for size bytes; a size of 0 or less is unknown. done returns the number of bytes processed so far,
// and may be nil. newTaskBar returns nil if standard error is not a terminal.
func (a *app) newTaskBar(what string, size int64, done func() int64) *taskBar {
	if !isTerminal(a.stderr) {
		return nil
	}
	return startTaskBar(a.stderr, what, size, done)
}

func startTaskBar(w io.Writer, what string, size int64, done func() int64) *taskBar {
	options := []progressbar.Option{progressbar.OptionSetDescription(what), progressbar.OptionSetElapsedTime(true)}
	if done != nil {
		options = append(options, progressbar.OptionShowBytes(true))
	}
	b := &taskBar{bar: newBar(w, knownSize(size), options...), done: done, stop: make(chan struct{})}
	b.ended.Go(b.run)
	return b
}

// run draws until the bar is finished. It draws nothing if that is soon.
func (b *taskBar) run() {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-wait.C:
			b.draw()
			wait.Reset(barInterval)
		}
	}
}

// draw draws the bar, also before anything is done.
func (b *taskBar) draw() {
	if b.done != nil {
		_ = b.bar.Set64(b.done())
	}
	_ = b.bar.RenderBlank()
}

// finish clears the bar, since the command's output follows.
func (b *taskBar) finish() {
	if b == nil {
		return
	}
	close(b.stop)
	b.ended.Wait()
	_ = b.bar.Clear()
	_ = b.bar.Exit()
}
