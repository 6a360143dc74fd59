package kv

import (
	"context"
	"errors"
	"fmt"
)

// At returns the state after the commit with an offset, with the pairs that had not expired when that commit was made. It is
// made of the newest snapshot before it and the log from there, in as much time and memory as a start takes; nothing on disk
// changes, and the store goes on meanwhile. An offset after the last visible commit is ErrOutOfRange. One whose commits are
// held no longer is ErrTruncated; Restore can go further back with an archive. Other errors are ErrCorrupt, ErrClosed, also
// when the store is closed meanwhile, and ctx's.
func (db *DB) At(ctx context.Context, offset uint64) (*ReadView, error) {
	if err := db.use(ctx); err != nil {
		return nil, fmt.Errorf("kv: state at %d: %w", offset, err)
	}
	defer db.inflight.Done()
	ctx, cancel := db.untilClosed(ctx)
	defer cancel()
	var past replayed
	err := db.snapshots.whileSteady(func() (err error) {
		past, err = db.at(ctx, offset)
		return err
	})
	if err == nil {
		err = past.state.finishIndexes()
	}
	if err != nil {
		return nil, fmt.Errorf("kv: state at %d: %w", offset, err)
	}
	return db.newReadView(past.state, past.time, db.now()), nil
}

func (db *DB) at(ctx context.Context, offset uint64) (replayed, error) {
	if last := db.Offset(); offset > last {
		return replayed{}, fmt.Errorf("%w: the last offset is %d", ErrOutOfRange, last)
	}
	quiet := func(Progress) {}
	b, err := db.snapshots.find(ctx, offset, quiet)
	if err != nil {
		return replayed{}, err
	}
	if b.offset == offset {
		return replayed{state: b.state, moment: moment{b.offset, b.time, b.accepted}}, nil
	}
	if gap := b.gap(db.walDir(), db.log.First()); gap != nil && len(b.skipped) > 0 {
		return replayed{}, gap
	}
	past, err := replay{sources: []source{logSource(db.walDir(), db.log)}, to: target{offset: offset}, report: quiet}.run(ctx, b.state, b.time)
	if errors.Is(err, ErrTruncated) {
		err = db.tooOld()
	}
	return past, err
}

func (db *DB) tooOld() error {
	places, err := db.snapshots.list()
	if err != nil {
		return err
	}
	oldest := db.log.First() - 1
	if len(places) > 0 && oldest > 0 {
		oldest = places[len(places)-1].Offset
	}
	return fmt.Errorf("%w: the oldest state held is that of %d", ErrTruncated, oldest)
}
