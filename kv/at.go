package kv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/walnutkv/walnut/snapshot"
)

// At returns the store as of an earlier commit: the state after the commit with that offset, with the pairs that had not
// expired when that commit was made. It is made of the newest snapshot in front of it and the log behind that, in as much
// time and memory as a start takes; nothing on disk changes, and the store goes on meanwhile. Close lets the state go.
//
// An offset behind the last visible commit is ErrOutOfRange. One whose commits are held no longer is ErrTruncated, and the
// message names the oldest that is; Restore can go further back with an archive. In a store that is open for reading only,
// that may also happen because the writer truncates the log at that moment.
func (db *DB) At(ctx context.Context, offset uint64) (*ReadView, error) {
	if err := db.use(ctx); err != nil {
		return nil, fmt.Errorf("kv: state at %d: %w", offset, err)
	}
	defer db.inflight.Done()
	past, now, err := db.at(ctx, offset)
	if err != nil {
		return nil, fmt.Errorf("kv: state at %d: %w", offset, err)
	}
	return db.newReadView(past, now), nil
}

// at returns a past state and the time of its last commit.
func (db *DB) at(ctx context.Context, offset uint64) (past *state, now int64, err error) {
	if last := db.Offset(); offset > last {
		return nil, 0, fmt.Errorf("%w: the last offset is %d", ErrOutOfRange, last)
	}
	quiet := func(Progress) {}
	b, err := findBase(db.dir, db.opts, db.log, offset, quiet)
	if err != nil {
		return nil, 0, err
	}
	if gap := b.reaches(db.dir, db.log.First()); gap != nil {
		if len(b.skipped) > 0 {
			return nil, 0, gap
		}
		return nil, 0, db.tooOld()
	}
	replayed, err := replay(ctx, newRecordSource(db.dir, db.log), b.state, offset, quiet)
	switch {
	case errors.Is(err, ErrTruncated):
		return nil, 0, db.tooOld()
	case err != nil:
		return nil, 0, err
	case b.state.offset != offset:
		return nil, 0, fmt.Errorf("%w: the log ends with %d", ErrOutOfRange, b.state.offset)
	}
	now = replayed.time
	if now == 0 {
		now = b.time
	}
	return b.state, now, nil
}

// tooOld says which is the oldest state that is held.
func (db *DB) tooOld() error {
	oldest := uint64(math.MaxUint64)
	if first := db.log.First(); first == 1 {
		oldest = 0
	}
	places, err := snapshot.List(db.opts.FS, filepath.Join(db.dir, snapshotName))
	if err != nil {
		return err
	}
	for _, place := range places {
		oldest = min(oldest, place.Offset)
	}
	return fmt.Errorf("%w: the oldest state held is that of %d", ErrTruncated, oldest)
}
