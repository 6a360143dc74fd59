package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/walnutkv/walnut/kv"
)

// access says whether a command opens the store to write. Only then does it take the lock and change anything on disk.
type access bool

const (
	forReading access = false
	forWriting access = true
)

// dir returns the store's directory, from the flag or else from the environment.
func (a *app) dir() (string, error) {
	if a.dirFlag != "" {
		return a.dirFlag, nil
	}
	if dir := a.getenv("KVCTL_DIR"); dir != "" {
		return dir, nil
	}
	return "", usagef("which store? Say --dir DIR or set KVCTL_DIR")
}

// options returns the options that every command shares. The store logs to log.
func (a *app) options(want access, log io.Writer) (kv.Options, error) {
	mode, err := kv.ParseSyncMode(a.sync.value)
	if err != nil {
		return kv.Options{}, usageError{err}
	}
	opts := kv.Options{ReadOnly: want == forReading, Sync: mode, Logger: a.logger(log)}
	if want == forWriting {
		// A checkpoint truncates records that the program that owns the store may want in its archive, and only that program
		// knows where that is. So no checkpoint starts by itself here.
		opts.CheckpointFactor = -1
	}
	return opts, nil
}

// withStore opens the store with adjusted options, calls use with it, and closes it. It returns the errors of use and of closing.
func (a *app) withStore(want access, use func(db *kv.DB) error, adjust ...func(opts *kv.Options)) error {
	return a.withStoreUntil(context.Background(), want, use, adjust...)
}

// withStoreUntil is withStore for a command that an interrupt ends also while the store is being opened.
func (a *app) withStoreUntil(
	ctx context.Context, want access, use func(db *kv.DB) error, adjust ...func(opts *kv.Options),
) (err error) {
	if a.session != nil {
		return a.session.with(want, use)
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	log := &heldLog{to: a.stderr}
	opts, err := a.options(want, log)
	if err != nil {
		return err
	}
	for _, change := range adjust {
		change(&opts)
	}
	opening := a.newOpenBar()
	opts.Progress = opening.update
	db, err := kv.OpenContext(ctx, dir, opts)
	opening.finish()
	if err != nil {
		return err
	}
	log.release()
	if want == forWriting && db.Recovery().Log.Outcome.String() == "created" {
		fmt.Fprintf(a.stderr, "%s held no store; made a new one in it\n", dir)
	}
	defer func() {
		if closeErr := db.Close(); closeErr != nil {
			err = errors.Join(err, closeError{fmt.Errorf("close %s: %w", dir, closeErr)})
		}
	}()
	return use(db)
}

// closeError is an error of closing the store after it was used.
type closeError struct{ error }

// Unwrap returns why.
func (e closeError) Unwrap() error { return e.error }

// view is what commands that only read need of a store: its files, or a shell's session.
type view interface {
	Get(ctx context.Context, key []byte) (kv.Pair, error)
	Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Pair, error]
	Stats(ctx context.Context) (kv.Stats, error)
}

// withView opens a view of the store's files, which loads nothing, calls use with it, and closes it. It returns the first error. An
// interrupt ends the process, since there is nothing to undo.
func (a *app) withView(use func(ctx context.Context, v view) error) (err error) {
	if a.session != nil {
		return use(context.Background(), a.session)
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	log := &heldLog{to: a.stderr}
	opts, err := a.options(forReading, log)
	if err != nil {
		return err
	}
	reading := a.newOpenBar()
	defer reading.finish()
	opts.Progress = func(p kv.Progress) {
		if reading.update(p); p.Offset == p.Last {
			reading.finish() // Output follows.
		}
	}
	ctx := context.Background()
	view, err := kv.OpenDiskView(ctx, dir, opts)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := view.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close %s: %w", dir, closeErr)
		}
	}()
	// An older snapshot that stands in for a damaged one is reported, unless the error reports the damage.
	if err = use(ctx, view); err == nil || errors.Is(err, kv.ErrNotFound) {
		log.release()
	}
	return err
}

// withLog opens only the log of the store, with adjusted options, for commands that show records instead of pairs. It works on a
// damaged log.
func (a *app) withLog(use func(log *kv.Log) error, adjust ...func(opts *kv.Options)) (err error) {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	held := &heldLog{to: a.stderr}
	opts, err := a.options(forReading, held)
	if err != nil {
		return err
	}
	for _, change := range adjust {
		change(&opts)
	}
	log, err := kv.OpenLog(dir, opts)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := log.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close %s: %w", dir, closeErr)
		}
	}()
	if err := use(log); err != nil {
		return err
	}
	held.release()
	return nil
}
