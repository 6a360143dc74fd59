package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// probeEnv names the Badger directory that this program, started by itself, is to read and do nothing else.
const probeEnv = "WALNUT_MIGRATE_PROBE"

// exitPanic is the exit code of a Go program that dies by itself. One that is killed, for want of memory for example, has another.
const exitPanic = 2

// probe has another process open and read a Badger directory first. Badger opens its tables in its own goroutines, and
// where it panics there about damaged bytes, the process dies, whatever its caller does. Errors that Badger returns don't
// count here: the migration gets the same.
func probe(ctx context.Context, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, self)
	command.Env = append(os.Environ(), probeEnv+"="+dir)
	var said bytes.Buffer
	command.Stderr = &said
	err = command.Run()
	var died *exec.ExitError
	if errors.As(err, &died) && died.ExitCode() == exitPanic {
		why, _, _ := strings.Cut(said.String(), "\n")
		return damaged("Badger dies of it: %s", why)
	}
	if err != nil {
		return fmt.Errorf("the process that was to look at it first: %w", err)
	}
	return nil
}

// probed is all that the other process does. Only its death counts.
func probed(dir string) {
	from, err := openBadger(dir)
	if err != nil {
		return
	}
	_ = guarded(func() error { return from.each(func(pair) error { return nil }) })
	_ = from.Close()
}
