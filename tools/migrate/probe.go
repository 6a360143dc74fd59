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

// probe has another process open and read a Badger directory first. Badger opens its tables in goroutines of its own, and
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
	if ctx.Err() == nil && errors.As(err, &died) {
		why, _, _ := strings.Cut(said.String(), "\n")
		return damaged("Badger dies of it: %s", why)
	}
	return err
}

// probed is all that the other process does. What it prints is dropped unless it dies.
func probed(dir string) {
	from, err := openBadger(dir)
	if err != nil {
		return
	}
	if err := guarded(func() error { return from.each(func(pair) error { return nil }) }); err != nil {
		fmt.Println(err)
	}
	_ = from.Close()
}
