package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/walnutkv/walnut/wal"
)

// newCommits yields the commits from an offset on as they become visible, or at least durable, until ctx is done.
func (db *DB) newCommits(ctx context.Context, from uint64) iter.Seq2[Commit, error] {
	if db.opts.replicated {
		return db.applied(ctx, from, true)
	}
	return decoded(db.log.Follow(ctx, from), db.logged().decode)
}

// oldCommits yields the commits from an offset on that there are.
func (db *DB) oldCommits(from uint64) iter.Seq2[Commit, error] {
	if db.opts.replicated {
		return db.applied(context.Background(), from, false)
	}
	return decoded(db.log.Records(from), db.logged().decode)
}

// lastCommit returns the offset of the last commit that newCommits yields without waiting.
func (db *DB) lastCommit() uint64 {
	if db.opts.replicated {
		return db.Offset()
	}
	return db.log.Last()
}

// applied yields the entries of a replica from an offset on that were applied; if more is set it waits for others. Those that changed
// nothing have no mutations, which commits always do. An entry that is durable but not applied may still be cut.
func (db *DB) applied(ctx context.Context, from uint64, more bool) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		at, err := db.momentBefore(from)
		wanted := func(c Commit, err error) bool { return c.Offset < from || yield(c, err) }
		for err == nil {
			if last := db.Offset(); at.offset < last {
				at, err = db.appliedTo(ctx, at, last, wanted)
				continue
			}
			switch {
			case !more:
				return
			case db.opts.ReadOnly:
				err = ErrReadOnly
			default:
				err = db.visible.await(ctx, at.offset+1)
			}
		}
		if !errors.Is(err, errEnough) {
			yield(Commit{}, err)
		}
	}
}

// appliedTo yields the entries after a moment up to an offset, and returns the moment after them. The error is errEnough where the consumer
// wants no more.
func (db *DB) appliedTo(ctx context.Context, at moment, last uint64, yield func(Commit, error) bool) (moment, error) {
	for record, err := range db.log.Records(at.offset + 1) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return at, err
		}
		var c Commit
		if c, at, err = db.judged(at, record); err != nil {
			return at, err
		}
		if !yield(c, nil) {
			return at, errEnough
		}
		if at.offset == last {
			return at, nil
		}
	}
	return at, fmt.Errorf("%w: the log ends with %d, but %d is applied", ErrTruncated, db.log.Last(), last) // It was reset meanwhile.
}

// judged decodes an entry, and leaves out the mutations of one that changed nothing.
func (db *DB) judged(at moment, record wal.Record) (Commit, moment, error) {
	e, err := readEntry(record.Payload)
	if err != nil {
		return Commit{}, at, db.undecodable(record.Offset, err)
	}
	next, accepted := at.after(record.Offset, &e)
	c := Commit{Offset: record.Offset, Time: deadlineTime(e.made), Size: len(record.Payload)}
	if accepted {
		_, mutations, err := decodeRecord(e.mutations, nil)
		if err != nil {
			return c, at, db.undecodable(record.Offset, err)
		}
		c.Mutations = withoutPairs(mutations)
	}
	return c, next, nil
}

func (db *DB) undecodable(offset uint64, err error) error {
	return undecodable(segmentPath(db.walDir(), db.log.Segments(), offset), offset, err)
}

// momentBefore returns the moment before an entry, or the last one if that isn't there yet. Every commit that was accepted names the one
// before it, so the way goes back from the last one.
func (db *DB) momentBefore(from uint64) (moment, error) {
	shown := db.visible.load()
	if shown == nil {
		return moment{}, ErrClosed
	}
	from, accepted := min(max(from, 1), shown.offset+1), shown.accepted
	for accepted >= from {
		record, err := db.log.Read(accepted)
		if err != nil {
			return moment{}, err
		}
		e, err := readEntry(record)
		if err == nil && (!e.decided || e.base >= accepted) {
			err = errDecision
		}
		if err != nil {
			return moment{}, db.undecodable(accepted, err)
		}
		accepted = e.base
	}
	return moment{offset: from - 1, accepted: accepted}, nil
}
