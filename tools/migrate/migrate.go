package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// A commit ends with the pair that reaches one of these. After that pair, which has 32 MiB at most, it fits into the store's
// largest commit.
const (
	batchPairs = 1000
	batchBytes = 4 << 20
)

// outcome is what a migration has done, also where it ended with an error.
type outcome struct {
	pairs, deadlines, commits int // Durable.
	notes                     []string
}

// durable says which pairs no power cut can take.
func (o outcome) durable(dir string) string {
	if o.commits == 0 {
		return "nothing was written"
	}
	return fmt.Sprintf("the first %d pairs are durable in %s", o.pairs, dir)
}

// migrate opens the source before the store, so that a mistyped name makes no store.
func migrate(ctx context.Context, set settings) (done outcome, err error) {
	defer func() {
		if ctx.Err() != nil && err != nil {
			err = errors.New("interrupted")
		}
	}()
	from, err := openSource(ctx, set)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openStore(ctx, set)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	err = done.copyAll(ctx, from, to, set)
	return done, err
}

func openStore(ctx context.Context, set settings) (*kv.DB, error) {
	db, err := kv.OpenContext(ctx, set.dir, kv.Options{})
	if err != nil {
		return nil, err
	}
	if db.Offset() > 0 && !set.existing {
		err := fmt.Errorf("the store in %s has %d commits: name an empty one, or say --into-existing", set.dir, db.Offset())
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// batch is what becomes one commit.
type batch struct {
	mutations        kv.Batch
	pairs, deadlines int
	bytes            int
}

func (b *batch) isFull() bool { return b.pairs >= batchPairs || b.bytes >= batchBytes }

func (b *batch) add(p pair, prefix string) error {
	key := append([]byte(prefix), p.key...)
	if err := checkLimits(key, p.value); err != nil {
		return err
	}
	b.mutations.PutDeadline(key, p.value, p.deadline)
	b.pairs++
	b.bytes += len(key) + len(p.value)
	if !p.deadline.IsZero() {
		b.deadlines++
	}
	return nil
}

// checkLimits refuses a pair that the store would refuse with its whole batch, so that the error names it.
func checkLimits(key, value []byte) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("a pair with an empty key: %w; --prefix gives it another", kv.ErrEmptyKey)
	case len(key) > kv.MaxKeySize:
		return fmt.Errorf("key %.40q…: %w: %d bytes, at most %d", key, kv.ErrKeyTooLarge, len(key), kv.MaxKeySize)
	case len(value) > kv.MaxValueSize:
		return fmt.Errorf("key %.40q: %w: %d bytes, at most %d", key, kv.ErrValueTooLarge, len(value), kv.MaxValueSize)
	}
	return nil
}

// copyAll writes one batch while the next one is read. The source is read by its own goroutine, which has ended when copyAll
// returns, so that a panic of the store is not taken for damage of the source.
func (o *outcome) copyAll(ctx context.Context, from source, to *kv.DB, set settings) error {
	ctx, cancel := context.WithCancelCause(ctx)
	batches := make(chan *batch)
	ended := make(chan error, 1)
	go func() {
		defer close(batches)
		ended <- guarded(func() error { return readAll(ctx, from, set.prefix, batches) })
	}()
	for b := range batches {
		if err := o.write(ctx, to, b); err != nil {
			cancel(err)
			break
		}
	}
	err := <-ended
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	o.notes = from.notes()
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%s: %w", set.path, err)
	}
	return err
}

// readAll sends what the source holds until ctx is done, or a pair is one that the store can't take.
func readAll(ctx context.Context, from source, prefix string, batches chan<- *batch) error {
	send := func(b *batch) error {
		select {
		case batches <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	next := new(batch)
	err := from.each(func(p pair) error {
		if err := next.add(p, prefix); err != nil {
			return err
		}
		if !next.isFull() {
			return ctx.Err()
		}
		full := next
		next = new(batch)
		return send(full)
	})
	if err == nil && next.pairs > 0 {
		err = send(next)
	}
	return err
}

func (o *outcome) write(ctx context.Context, to *kv.DB, b *batch) error {
	if _, err := to.ApplyContext(ctx, &b.mutations); err != nil {
		return fmt.Errorf("write pairs %d to %d: %w", o.pairs+1, o.pairs+b.pairs, err)
	}
	o.pairs += b.pairs
	o.deadlines += b.deadlines
	o.commits++
	return nil
}
