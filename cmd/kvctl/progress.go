package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/walnutkv/walnut/kv"
)

const (
	// barInterval is how often a bar is drawn at most.
	barInterval = 100 * time.Millisecond
	// replayPatience is how long opening a store may take before a bar says what it is doing.
	replayPatience = 500 * time.Millisecond
)

// isTerminal says whether somebody is watching.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
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
	_ = b.bar.Set64(b.in.count.n.Load())
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

// replayBar shows how far the replay of a log is, where that takes a while. A nil one shows nothing.
type replayBar struct {
	bar   *progressbar.ProgressBar // Nil until it has taken a while.
	w     io.Writer
	start time.Time
}

// newReplayBar returns nil where standard error is no terminal.
func (a *app) newReplayBar() *replayBar {
	if !isTerminal(a.stderr) {
		return nil
	}
	return &replayBar{w: a.stderr, start: time.Now()}
}

// update is what kv calls while it replays.
func (b *replayBar) update(p kv.Progress) {
	if b == nil || time.Since(b.start) < replayPatience || p.Last == 0 {
		return
	}
	if b.bar == nil {
		b.bar = newBar(b.w, int64(p.Last), progressbar.OptionSetDescription("replay"), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("commits"), progressbar.OptionThrottle(barInterval))
	}
	_ = b.bar.Set64(int64(p.Offset))
}

// finish takes the bar away: the command's own output follows.
func (b *replayBar) finish() {
	if b != nil && b.bar != nil {
		_ = b.bar.Clear()
		_ = b.bar.Exit()
	}
}
