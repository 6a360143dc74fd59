package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

var (
	// errDamaged reports a source whose bytes are not what its store wrote.
	errDamaged = errors.New("the source is damaged")
	// errLocked reports a source that another process has open.
	errLocked = errors.New("another process has it open: stop that first")
)

// pair is one pair of a source. Its bytes are valid until the next one is read.
type pair struct {
	key, value []byte
	deadline   time.Time // The zero time where it has none.
}

// source is an open store of another kind. It is only read, and by one goroutine.
type source interface {
	// each calls visit with every pair. It ends with visit's first error, and returns it as it is.
	each(visit func(pair) error) error
	// notes says what each has seen and not passed on.
	notes() []string
	Close() error
}

// openSource opens what the settings name.
func openSource(ctx context.Context, set settings) (from source, err error) {
	info, err := os.Stat(set.path)
	if err != nil {
		return nil, err
	}
	if wantsDir := set.kind == "badger"; info.IsDir() != wantsDir {
		return nil, fmt.Errorf("%s: %s keeps its data in a %s", set.path, set.kind, map[bool]string{true: "directory", false: "file"}[wantsDir])
	}
	err = guarded(func() error {
		switch set.kind {
		case "bbolt":
			from, err = openBbolt(set)
		case "buntdb":
			from, err = openBuntdb(set.path)
		default:
			if err = probe(ctx, set.path); err == nil {
				from, err = openBadger(set.path)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", set.path, err)
	}
	return from, nil
}

// guarded runs a function that reads another store's files. Such a store may panic where bytes are damaged, or lead into memory
// that isn't there: both become errDamaged.
func guarded(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = damaged("what reads it panics: %v", cause)
		}
	}()
	return read()
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}
