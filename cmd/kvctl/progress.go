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
	// barInterval is how often a bar is drawn at most.
	barInterval = 100 * time.Millisecond
	// patience is how long something may take before a bar says what it is.
	patience = 500 * time.Millisecond
)

// isTerminal says whether somebody is watching.
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

// newBar returns a bar that draws only when it is told to, so that nothing is drawn behind its end.
func newBar(w io.Writer, size int64, options ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions64(size, append(options, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(24),
		progressbar.OptionSetSpinnerChangeInterval(0))...)
}

// importBar shows how far an import is, and its rate. A nil one shows nothing.
type importBar struct {
	bar   *progressbar.ProgressBar
	w     io.Writer
	in    *input
	start time.Time
	drawn time.Time
	pairs uint64
}

// newImportBar returns nil where standard error is no terminal.
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

// draw shows the pairs written, and the bytes read of the file as it is on disk. A bar that can't be drawn is no
// reason to end an import.
func (b *importBar) draw() {
	rate := float64(b.pairs) / max(time.Since(b.start).Seconds(), 1e-3)
	b.bar.Describe(fmt.Sprintf("%d pairs, %.0f/s", b.pairs, rate))
	_ = b.bar.Set64(b.in.read.Load())
}

// finish draws the bar a last time and leaves it standing.
func (b *importBar) finish() {
	if b == nil {
		return
	}
	b.draw()
	_ = b.bar.Exit()
	fmt.Fprintln(b.w)
}

// openBar shows how far the opening of a store is, where that takes a while: first a snapshot is loaded, then the log behind
// it is replayed. A nil one shows nothing.
type openBar struct {
	w     io.Writer
	start time.Time

	bar  *progressbar.ProgressBar // Nil until it has taken a while.
	what string                   // What the bar is for: load or replay.
	from uint64                   // The commit at which the replay was when it was first heard of.
}

// newOpenBar returns nil where standard error is no terminal.
func (a *app) newOpenBar() *openBar {
	if !isTerminal(a.stderr) {
		return nil
	}
	return &openBar{w: a.stderr, start: time.Now()}
}

// update is what kv calls while it loads and replays.
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

// show draws the bar for a part of the work, of which so much is done; a size of 0 isn't known.
func (b *openBar) show(what, unit string, done, size uint64) {
	if time.Since(b.start) < patience {
		return
	}
	if b.what != what {
		b.finish()
		b.what, b.bar = what, newBar(b.w, knownSize(int64(size)), progressbar.OptionSetDescription(what+" "+unit),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(barInterval))
	}
	// A bar that can't be drawn is no reason to end what it shows.
	_ = b.bar.Set64(int64(done))
}

// finish takes the bar away: the command's own output follows.
func (b *openBar) finish() {
	if b != nil && b.bar != nil {
		_ = b.bar.Clear()
		_ = b.bar.Exit()
		b.bar = nil
	}
}

// knownSize is the size for a bar, which takes -1 for one that isn't known.
func knownSize(size int64) int64 {
	if size <= 0 {
		return -1
	}
	return size
}

// taskBar shows how far something is that doesn't call back: now and then it asks. A nil one shows nothing.
type taskBar struct {
	bar   *progressbar.ProgressBar
	done  func() int64
	stop  chan struct{}
	ended sync.WaitGroup
}

// newTaskBar starts a bar for so many bytes, 0 or less where that isn't known; done says how many are behind, and is nil
// where nothing does. It returns nil where standard error is no terminal.
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

// run draws until the bar is finished, and not at all where that is soon.
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

// draw shows a bar of which nothing is behind as well.
func (b *taskBar) draw() {
	if b.done != nil {
		_ = b.bar.Set64(b.done())
	}
	_ = b.bar.RenderBlank()
}

// finish takes the bar away: the command's own output follows.
func (b *taskBar) finish() {
	if b == nil {
		return
	}
	close(b.stop)
	b.ended.Wait()
	_ = b.bar.Clear()
	_ = b.bar.Exit()
}
