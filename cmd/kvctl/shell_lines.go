package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// newShellLines returns the source of a shell's lines, and whether that is a person at a terminal.
func (a *app) newShellLines() (shellLines, bool) {
	in, isFile := a.stdin.(*os.File)
	if isFile && term.IsTerminal(int(in.Fd())) {
		if out := a.promptTerminal(); out != nil {
			return newTypedLines(in, out), true
		}
	}
	return &pipedLines{Writer: a.stderr, lines: lineReader{from: bufio.NewReader(a.stdin), max: maxLine}}, false
}

// promptTerminal returns the terminal that shows the prompt, since standard output may go elsewhere. It is nil if there is none.
func (a *app) promptTerminal() io.Writer {
	if isTerminal(a.stderr) {
		return a.stderr
	}
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	return tty
}

// pipedLines are lines from a pipe or a file, without a prompt.
//
// Invariant: after an error there are no more lines. What follows a line that was too long is the rest of it, and no command.
type pipedLines struct {
	io.Writer
	lines lineReader
	ended error
}

func (p *pipedLines) next(string) (string, error) {
	if p.ended != nil {
		return "", p.ended
	}
	line, err := p.lines.next()
	p.ended = err
	return string(line), err
}

func (p *pipedLines) complete(func(string, int) (string, int, string)) {}

func (p *pipedLines) restore() {}

// typedLines are lines that a person types at a terminal.
//
// Invariant: the terminal is raw only while a line is typed. So an interrupt is a signal while a command runs, and a key
// while none does.
type typedLines struct {
	in   keys
	out  io.Writer
	edit *term.Terminal

	mu     sync.Mutex
	before *term.State // How the terminal was before it became raw; nil unless it is raw.
}

func newTypedLines(in *os.File, out io.Writer) *typedLines {
	t := &typedLines{in: keys{from: in}, out: out}
	t.edit = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{&t.in, out}, "")
	t.edit.History = &lineHistory{}
	return t
}

// longestTyped is the number of characters that the editor takes in a line. It drops what comes after them.
const longestTyped = 4096

func (t *typedLines) next(prompt string) (string, error) {
	if err := t.makeRaw(); err != nil {
		return "", err
	}
	defer t.restore()
	t.edit.SetPrompt(prompt)
	t.in.dropped = false
	line, err := t.edit.ReadLine()
	switch {
	case err == nil && t.in.dropped:
		return "", errInterrupted
	case err == nil && utf8.RuneCountInString(line) >= longestTyped:
		fmt.Fprintf(t.out, "a line of %d characters or more can't be typed; use a file or a pipe\r\n", longestTyped)
		return "", errInterrupted
	case err != nil:
		fmt.Fprint(t.out, "\r\n") // The end of the input leaves the prompt without one.
		return "", io.EOF         // A terminal that has gone is the end of the input, too.
	}
	return line, nil
}

// Write writes past the prompt and the line that is typed, if there is one.
func (t *typedLines) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before != nil {
		return t.edit.Write(p)
	}
	return t.out.Write(p)
}

func (t *typedLines) makeRaw() error {
	fd := int(t.in.from.Fd())
	if width, height, err := term.GetSize(fd); err == nil && width > 0 {
		if err := t.edit.SetSize(width, height); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := term.MakeRaw(fd)
	t.before = before
	return err
}

func (t *typedLines) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before != nil {
		// A terminal that has gone needs no restoring.
		_ = term.Restore(int(t.in.from.Fd()), t.before)
		t.before = nil
	}
}

func (t *typedLines) complete(complete func(line string, pos int) (string, int, string)) {
	t.edit.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		line, pos, choices := complete(line, pos)
		if choices != "" {
			// The editor writes past the line. If it can't, the terminal has gone, which the next read reports.
			_, _ = io.Copy(t.edit, strings.NewReader(choices))
		}
		return line, pos, true
	}
}

// keys reads a terminal a byte at a time, so that what was typed ahead stays there for a command or the next line. An
// interrupt becomes the keys that empty the line and end it.
type keys struct {
	from    *os.File
	pending []byte
	dropped bool // An interrupt was typed.
}

const (
	interruptKey = 3
	dropLineKeys = "\x05\x15\r" // To the end of the line, remove all before it, and enter.
)

// Read reads one byte.
func (k *keys) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(k.pending) == 0 {
		n, err := k.from.Read(p[:1])
		if n == 0 || p[0] != interruptKey {
			return n, err
		}
		k.dropped, k.pending = true, []byte(dropLineKeys)
	}
	p[0], k.pending = k.pending[0], k.pending[1:]
	return 1, nil
}

// lineHistory holds the last lines, in memory alone.
type lineHistory struct{ lines []string }

const historyLines = 1000

// Add adds a line, unless it is empty or the one before it again.
func (h *lineHistory) Add(line string) {
	if line == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	if len(h.lines) == historyLines {
		h.lines = slices.Delete(h.lines, 0, 1)
	}
	h.lines = append(h.lines, line)
}

// Len returns the number of lines.
func (h *lineHistory) Len() int { return len(h.lines) }

// At returns a line; 0 is the last.
func (h *lineHistory) At(index int) string { return h.lines[len(h.lines)-1-index] }
