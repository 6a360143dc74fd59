package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/walnutkv/walnut/kv"
)

// The exit codes. Scripts rely on them.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDamage   = 4
)

// usageError is a command line that can't be carried out whatever the store holds.
type usageError struct{ error }

// Unwrap returns what is wrong with the command line.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// damageFoundError ends a command that looked for damage and listed what it found. It says how to go on.
type damageFoundError struct{ text string }

func (e damageFoundError) Error() string { return e.text }

// closerError is damage to something else than the store at hand, with the command that looks closer at it; "" where there
// is none.
type closerError struct {
	error
	command string
}

// Unwrap returns the damage.
func (e closerError) Unwrap() error { return e.error }

var errInterrupted = errors.New("interrupted")

// interruptible returns a context that ends when somebody wants the command to end. A second interrupt then ends the process
// at once, as it would without us.
func interruptible() (ctx context.Context, stop context.CancelFunc) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// whyEnded is err, or that the command was interrupted where that is the reason for it.
func whyEnded(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// exitCode maps an error to the exit code. A reader of standard output that went away has what it wanted.
func exitCode(err error) int {
	var usage usageError
	var found damageFoundError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &found), errors.Is(err, kv.ErrCorrupt):
		return exitDamage
	case errors.Is(err, kv.ErrNotFound):
		return exitNotFound
	}
	return exitFailed
}

// report tells an error in one line, with the command to run next where the store is damaged.
func (a *app) report(err error) {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return
	}
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", "; "), "kv: ")
	if command := a.closer(err); command != "" {
		text += "; look closer: " + command
	}
	fmt.Fprintf(a.stderr, "kvctl: %s\n", text)
}

// closer returns the command that looks closer at damage that was met; "" where none was, or no command does.
func (a *app) closer(err error) string {
	var elsewhere closerError
	switch {
	case errors.As(err, &elsewhere):
		return elsewhere.command
	case errors.Is(err, kv.ErrCorrupt):
		return a.commandLine("check")
	}
	return ""
}

// commandLine is a kvctl command on the same store, ready to be pasted into a shell.
func (a *app) commandLine(words string) string {
	dir, err := a.dir()
	if err != nil {
		dir = "DIR"
	}
	return "kvctl --dir " + shellQuote(dir) + " " + words
}

// shellQuote returns the word as a POSIX shell has to read it.
func shellQuote(word string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if word != "" && strings.TrimFunc(word, safe) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
