package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The transcript's shape, in characters and lines.
const (
	margin        = "   "
	maxWidth      = 110
	maxShownLines = 12 // Of the output of one command.
)

// stage runs kvctl in the scratch directory and writes the transcript.
type stage struct {
	ctx     context.Context
	out     io.Writer
	bold    bool // Only on a terminal.
	kvctl   string
	scratch string
	scene   int
	acked   ack // The last acknowledgement of the import that was killed.
}

func newStage(ctx context.Context, out *os.File, kvctl, scratch string) *stage {
	info, err := out.Stat()
	onTerminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
	return &stage{ctx: ctx, out: out, bold: onTerminal, kvctl: kvctl, scratch: scratch}
}

// begin writes a scene's number and title.
func (s *stage) begin(title string) {
	s.scene++
	heading := fmt.Sprintf("%d. %s", s.scene, title)
	if s.bold {
		heading = "\x1b[1m" + heading + "\x1b[0m"
	}
	fmt.Fprintf(s.out, "\n%s\n", heading)
}

// tell writes a paragraph for the reader.
func (s *stage) tell(format string, args ...any) {
	fmt.Fprintf(s.out, "\n%s", wrap(fmt.Sprintf(format, args...), margin, margin))
}

// claim writes a sentence that was checked, or returns an error if it isn't true.
func (s *stage) claim(holds bool, format string, args ...any) error {
	sentence := fmt.Sprintf(format, args...)
	if !holds {
		return fmt.Errorf("this does not hold: %s", sentence)
	}
	fmt.Fprint(s.out, wrap("checked: "+sentence, margin, margin+"  "))
	return nil
}

// result is the outcome of a run of kvctl.
type result struct {
	stdout string
	stderr string
	code   int
}

// quiet runs kvctl with a store's directory and writes nothing about it. Any exit code is a result.
func (s *stage) quiet(dir string, args ...string) (result, error) {
	var stdout, stderr bytes.Buffer
	command := s.command(dir, args...)
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}, s.ctx.Err()
}

// show runs kvctl and writes the command, the first lines it printed, its exit code if that isn't 0, and the time.
func (s *stage) show(dir string, args ...string) (result, error) {
	s.showCommand(dir, args...)
	started := time.Now()
	got, err := s.quiet(dir, args...)
	if err != nil {
		return got, err
	}
	if got.code == 0 {
		s.showLines(got.stdout)
	} else {
		s.showMessages(got.stdout)
	}
	s.showMessages(got.stderr)
	if got.code != 0 {
		fmt.Fprintf(s.out, "   [exit code %d]\n", got.code)
	}
	fmt.Fprintf(s.out, "   [%.2f s]\n", time.Since(started).Seconds())
	return got, nil
}

// mustShow is show for a command that has to succeed.
func (s *stage) mustShow(dir string, args ...string) (string, error) {
	got, err := s.show(dir, args...)
	if err == nil && got.code != 0 {
		err = fmt.Errorf("kvctl %s: exit code %d: %s", args[0], got.code, got.stderr)
	}
	return got.stdout, err
}

func (s *stage) command(dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(s.ctx, s.kvctl, append([]string{"--dir", dir}, args...)...)
	command.Dir = s.scratch
	return command
}

func (s *stage) showCommand(dir string, args ...string) {
	fmt.Fprintf(s.out, "\n   $ kvctl --dir %s %s\n", dir, strings.Join(args, " "))
}

// showLines writes the first lines of a command's output. Long lines are cut.
func (s *stage) showLines(text string) {
	lines := slices.Collect(strings.Lines(text))
	for i, line := range lines {
		if i == maxShownLines {
			fmt.Fprintf(s.out, "%s… %d more lines\n", margin, len(lines)-i)
			return
		}
		if shown := []rune(strings.TrimSuffix(line, "\n")); len(shown) > maxWidth {
			line = string(shown[:maxWidth]) + "…"
		}
		fmt.Fprintf(s.out, "%s%s\n", margin, strings.TrimSuffix(line, "\n"))
	}
}

// showMessages writes the messages of a command whole, since a person would act on them.
func (s *stage) showMessages(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprint(s.out, wrap(line, margin, margin+"    "))
	}
}

// wrap breaks text between words into lines that fit. The first line begins with first, the others with other.
func wrap(text, first, other string) string {
	var out strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line+word) > maxWidth {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = other
		}
		line += word + " "
	}
	return out.String() + strings.TrimRight(line, " ") + "\n"
}
