package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// shellFlags say how a shell opens its store, and when it ends.
type shellFlags struct {
	readOnly, existing, bail bool
}

func newShell(a *app) *cobra.Command {
	var flags shellFlags
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Type commands at a prompt, with the store open",
		Long: `shell opens the store once and runs the commands that are typed: get, put, del,
scan, txn, stats, watch, help and exit, with the same flags as outside. --dir
and --sync are the shell's own.

The shell can write, so it takes the store's lock. With --read-only it works
beside a live writer, and each command sees what was written meanwhile.

At a terminal, the Tab key completes commands, flags and keys, the arrow keys
fetch earlier lines, Ctrl-C drops the line or ends the running command, and
Ctrl-D ends the shell. Lines are kept in memory only, since they hold keys and
values.

Words are divided by blanks, and quoted with '…' or "…"; within "…" a byte may
be written as \n, \t, \r or \xNN, as text output shows it. A line that begins
with # is a comment. A value that doesn't end its line is followed by a line
end.

txn alone takes the lines after it, up to a line "commit" or "abort": JSON lines
as in a file, or put KEY VALUE, del KEY, del --start A --end B, expect KEY VALUE
and expect KEY --absent.

Without a terminal there is no prompt. A command that fails is reported with its
line's number and the next one runs, as in other databases' shells; the exit
code is that of the first failure. With --bail the first failure ends it. Output
that can't be written always does, and the lines after it are not run.`,
		Example: `  printf 'put user:1 Ada\nget user:1\n' | kvctl --dir store shell
  kvctl --dir store shell <<END
  txn
    expect user:1 Ada
    put user:2 "Grace Hopper"
  commit
  scan --prefix user:
END
  echo 'stats' | kvctl --dir store shell --read-only --bail`,
		Args: asUsed,
	}
	cmd.Flags().BoolVar(&flags.readOnly, "read-only", false, "open the store for reading only, beside a live writer")
	cmd.Flags().BoolVar(&flags.bail, "bail", false, "without a terminal: end with the first command that fails")
	addExisting(cmd, &flags.existing)
	cmd.PreRunE = notEmpty()
	cmd.RunE = a.starts(func([]string) error { return a.shell(flags) })
	return cmd
}

func (a *app) shell(flags shellFlags) error {
	want := forReading
	if !flags.readOnly {
		want = forWriting
		if err := a.mayCreate("shell", !flags.existing); err != nil {
			return err
		}
	}
	lines, interactive := a.newShellLines()
	ctx, stop := shellSignals(interactive)
	defer stop()
	log := &heldLog{to: lines}
	return a.withStore(want, func(db *kv.DB) error {
		log.release()
		within := *a
		within.session = &session{db: db, readOnly: flags.readOnly}
		s := &shell{app: &within, ctx: ctx, lines: lines, interactive: interactive, bail: flags.bail}
		return s.run()
	}, func(opts *kv.Options) { opts.Follow, opts.Logger = flags.readOnly, a.logger(log) })
}

// shellSignals returns a context that ends with the signals that end a shell. At a prompt an interrupt isn't one of them.
func shellSignals(interactive bool) (context.Context, context.CancelFunc) {
	if !interactive {
		return interruptible()
	}
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt)
	ctx, stop := interruptibleBy(append(hangup(), syscall.SIGTERM)...)
	return ctx, func() {
		stop()
		signal.Stop(ignored)
	}
}

// shellLines is where a shell's lines come from. What is written to it goes to standard error, and leaves a prompt whole.
type shellLines interface {
	io.Writer
	// next returns a line without its end: io.EOF after the last, errInterrupted where the line was dropped.
	next(prompt string) (string, error)
	// complete sets what the Tab key completes.
	complete(func(line string, pos int) (newLine string, newPos int, choices string))
	// restore leaves the terminal as it was, also while a line is being typed.
	restore()
}

// shell runs the commands of a session, one after another.
type shell struct {
	app         *app
	ctx         context.Context // Ends with the shell.
	lines       shellLines
	interactive bool
	bail        bool

	line    int   // The number of lines read.
	failure int   // The exit code of the first command that failed.
	lost    error // Why the store is no longer followed, once that was said.
}

// errExit ends a shell.
var errExit = errors.New("exit")

// run reads and runs lines up to the end of the input, exit, or a signal.
func (s *shell) run() error {
	defer s.lines.restore()
	completer := &completer{db: s.app.session.db, enc: s.app.enc(), root: newShellRoot(s.app, nil)}
	s.lines.complete(completer.complete)
	for {
		line, err := s.next("kvctl> ")
		switch {
		case s.ctx.Err() != nil:
			return errInterrupted
		case errors.Is(err, errInterrupted):
			continue
		case errors.Is(err, io.EOF):
			return s.end()
		case err != nil:
			return fmt.Errorf("shell: %w", err)
		}
		number := s.line
		switch err := s.perform(line); {
		case errors.Is(err, errExit):
			return s.end()
		case errors.Is(err, errInterrupted) && !s.interactive:
			return errInterrupted
		case errors.As(err, new(outputError)) && !s.interactive:
			return s.outputLost(number, err)
		case err != nil:
			s.report(number, err)
		}
		if s.bail && !s.interactive && s.failure != 0 {
			return s.end()
		}
		s.sayLost()
	}
}

// outputLost returns the error of a shell whose output nothing takes any more. It isn't wrapped where the lines that were not run may
// have been writes: the command that fed the shell would take the exit code 0 for their success.
func (s *shell) outputLost(line int, err error) error {
	if s.app.session.readOnly {
		return fmt.Errorf("shell: line %d: %w", line, err)
	}
	return fmt.Errorf("shell: line %d: %v; the lines after it were not run", line, err)
}

// end returns the error that a shell ends with: none at a terminal, where a person has seen what failed.
func (s *shell) end() error {
	if s.failure == 0 || s.interactive {
		return nil
	}
	return reportedError{s.failure}
}

// next waits for a line, or for the shell's end.
func (s *shell) next(prompt string) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := s.lines.next(prompt)
		read <- result{line, err}
	}()
	select {
	case <-s.ctx.Done():
		return "", errInterrupted
	case got := <-read:
		s.line++
		return got.line, got.err
	}
}

// perform runs the command of a line. Each has its own copy of the flags.
func (s *shell) perform(line string) error {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return nil
	}
	words, _, err := splitWords(line)
	if err != nil {
		return usageError{err}
	}
	args := make([]string, 0, len(words))
	for _, word := range words {
		args = append(args, word.text)
	}
	if len(args) > 0 && args[0] == "kvctl" {
		args = args[1:] // Examples in help begin with it.
	}
	if len(args) == 0 {
		return nil
	}
	if len(args) == 1 && (args[0] == "exit" || args[0] == "quit") {
		return errExit
	}
	ctx, stop := interruptible()
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, endSignals()...)
	out := &shellOutput{ctx: ctx, to: s.app.stdout}
	command := *s.app
	command.stdin, command.stdout, command.started = noInput{}, newOutput(out), false
	err = command.execute(newShellRoot(&command, s), args)
	if ended := out.endLine(); err == nil {
		err = ended
	}
	// After Stop a signal that the command has seen is here, too. A command such as watch ends with one without an error.
	signal.Stop(signals)
	if err == nil && len(signals) > 0 {
		err = errInterrupted
	}
	return err
}

// report prints why a command failed, and remembers the first failure's exit code.
func (s *shell) report(line int, err error) {
	code := exitCode(err)
	if s.failure == 0 {
		s.failure = code
	}
	if !s.interactive {
		err = &lineError{line, err}
	}
	s.app.report(err)
}

// sayLost says once at a prompt that the store is no longer followed: a person would wait for changes in vain.
func (s *shell) sayLost() {
	if !s.interactive || !s.app.session.readOnly || s.lost != nil {
		return
	}
	if s.lost = s.app.session.db.Stats().Failed; s.lost != nil {
		s.app.report(fmt.Errorf("changes are no longer seen: %w", s.lost))
	}
}

// noInput is the standard input of a command in a shell, whose own input has the next commands.
type noInput struct{}

// Read fails.
func (noInput) Read([]byte) (int, error) {
	return 0, errors.New("in a shell, standard input has the next commands")
}

// outputError is a failed write to standard output, after which no command can show anything.
type outputError struct{ error }

// Unwrap returns why the write failed.
func (e outputError) Unwrap() error { return e.error }

// shellOutput is the standard output of one command in a shell. An interrupt ends the command with its next write.
type shellOutput struct {
	ctx  context.Context
	to   *bufio.Writer
	last byte // The last byte that was written; 0 for none.
}

// Write writes p at once, unless the command was interrupted. A command's output has its own buffer.
func (o *shellOutput) Write(p []byte) (int, error) {
	if o.ctx.Err() != nil {
		return 0, errInterrupted
	}
	n, err := o.to.Write(p)
	if err == nil {
		err = o.to.Flush()
	}
	if err != nil {
		return n, outputError{err}
	}
	if n > 0 {
		o.last = p[n-1]
	}
	return n, nil
}

// endLine ends the last line, so that what follows begins with a new one.
func (o *shellOutput) endLine() error {
	if o.last == 0 || o.last == '\n' {
		return nil
	}
	_, err := o.Write([]byte{'\n'})
	return err
}
