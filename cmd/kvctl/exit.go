package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
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

// usageError is an error of the command line itself, whatever the store holds.
type usageError struct{ error }

// Unwrap returns what is wrong with the command line.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// damageFoundError ends a command that looked for damage and listed it. Its text says what to do next.
type damageFoundError struct{ text string }

func (e damageFoundError) Error() string { return e.text }

// closerError is damage to something other than the store in --dir. It has the command that looks closer at the damage, or
// "" if there is none.
type closerError struct {
	error
	command string
}

// Unwrap returns the damage.
func (e closerError) Unwrap() error { return e.error }

// reportedError ends a command that has reported its failures as they came. It has the exit code of the first.
type reportedError struct{ code int }

func (e reportedError) Error() string {
	return fmt.Sprintf("a command failed with exit code %d", e.code)
}

var errInterrupted = errors.New("interrupted")

// endSignals are those that end a command: an interrupt, SIGTERM, and the SIGHUP of a terminal or an ssh session that has gone.
func endSignals() []os.Signal { return append(hangup(), os.Interrupt, syscall.SIGTERM) }

// interruptible returns a context that ends with one of endSignals.
func interruptible() (ctx context.Context, stop context.CancelFunc) {
	return interruptibleBy(endSignals()...)
}

// interruptibleBy returns a context that ends with one of the signals. A second one then ends the process at once, as it would by default,
// but for SIGHUP: a session that is lost sends more than one, and the cleanup goes on.
func interruptibleBy(signals ...os.Signal) (ctx context.Context, stop context.CancelFunc) {
	later := make(chan os.Signal, 1)
	for _, gone := range hangup() {
		if slices.Contains(signals, gone) {
			signal.Notify(later, gone)
		}
	}
	ctx, end := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, end)
	return ctx, func() {
		end()
		signal.Stop(later)
	}
}

// whyEnded returns errInterrupted if err came of an interrupt, and err otherwise. An error of closing the store stays.
func whyEnded(ctx context.Context, err error) error {
	var closing closeError
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case errors.As(err, &closing):
		return fmt.Errorf("%w; %w", errInterrupted, closing)
	}
	return errInterrupted
}

// exitCode maps an error to the exit code. A reader that closes standard output early has what it wanted.
func exitCode(err error) int {
	var usage usageError
	var found damageFoundError
	var reported reportedError
	switch {
	case errors.As(err, &reported):
		return reported.code
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

// report prints an error in one line, with the command to run next if the store is damaged.
func (a *app) report(err error) {
	if err == nil || errors.Is(err, syscall.EPIPE) || errors.As(err, new(reportedError)) {
		return
	}
	text := strings.ReplaceAll(a.text(err), "\n", "; ")
	if next := a.next(err); next != "" {
		text += "; " + next
	}
	fmt.Fprintf(a.stderr, "kvctl: %s\n", text)
}

// text returns an error's text. An error of the store's directory names only that and what is wrong with it. Other errors
// lose the names of Walnut's packages.
func (a *app) text(err error) string {
	dir, _ := a.dir() // Without one, no error is about it.
	var locked *kv.LockedError
	var path *fs.PathError
	onDir := errors.As(err, &path) && path.Path == dir
	switch {
	case errors.As(err, &locked):
		return locked.Error() + "; wait until that process is done with the store, or stop it"
	case onDir && errors.Is(err, kv.ErrNotStore):
		return fmt.Sprintf("%s holds no Walnut store: %v; name one with --dir or KVCTL_DIR", dir, path.Err)
	case onDir:
		return fmt.Sprintf("%s: %v", dir, path.Err)
	case errors.Is(err, kv.ErrNotStore):
		_, why, _ := strings.Cut(err.Error(), kv.ErrNotStore.Error())
		return dir + " holds no Walnut store" + why
	}
	return unprefixed.Replace(": " + err.Error())[len(": "):]
}

// unprefixed takes the names of packages out of a text in which errors wrap others.
var unprefixed = strings.NewReplacer(": kv: ", ": ", ": wal: ", ": ", ": snapshot: ", ": ", ": server: ", ": ")

// next names the command to run next because of the damage in err, or is "" if there is no damage or no such command.
func (a *app) next(err error) string {
	var elsewhere closerError
	switch {
	case errors.As(err, &elsewhere) && elsewhere.command != "":
		return "look closer: " + elsewhere.command
	case errors.As(err, &elsewhere):
		return ""
	case errors.Is(err, kv.ErrCorrupt):
		return a.planRepair()
	}
	return ""
}

// planRepair names the command that says what a repair of the store would do. That one alone knows what is left.
func (a *app) planRepair() string { return "plan a repair: " + a.commandLine("wal repair") }

// commandLine returns a kvctl command on the same store, ready to be pasted into a shell.
func (a *app) commandLine(words string) string {
	dir, err := a.dir()
	if err != nil {
		dir = "DIR"
	}
	return "kvctl --dir " + shellQuote(dir) + " " + words
}

// isShellSafe reports whether a character means nothing to a shell but itself.
func isShellSafe(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
}

// shellQuote quotes a word for a POSIX shell if it needs quotes.
func shellQuote(word string) string {
	if word != "" && strings.TrimFunc(word, isShellSafe) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
