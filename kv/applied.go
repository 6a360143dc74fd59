package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

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
				at, err = appliedTo(ctx, logSource(db.walDir(), db.log), at, last, wanted)
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

// archived yields the commits from an offset on that are visible, from the archive and the log together.
func (db *DB) archived(ctx context.Context, from uint64) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		shown := db.visible.load() // Before the archive is opened, which then has all that shows.
		if shown == nil {
			yield(Commit{}, ErrClosed)
			return
		}
		archive, err := wal.OpenArchive(db.opts.log(db.dir), db.opts.ArchiveDir, db.walDir())
		if err != nil {
			yield(Commit{}, err)
			return
		}
		defer func() { _ = archive.Close() }() // It was only read.
		if !db.opts.replicated {
			decoded(archive.Records(from), db.logged().decode)(yield)
			return
		}
		segments := archive.Segments()
		in := source{
			records: func(at moment) (iter.Seq2[wal.Record, error], error) { return archive.Records(at.offset + 1), nil },
			path:    func(offset uint64) string { return segmentPath(db.opts.ArchiveDir, segments, offset) },
		}
		at := moment{offset: from - 1}
		if at.accepted, err = acceptedBefore(archive, in, from, shown.accepted); err == nil {
			_, err = appliedTo(ctx, in, at, shown.offset, yield)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(Commit{}, err)
		}
	}
}

// acceptedBefore returns the last commit of a replica's archive that happened before an entry, given the last one that shows. Like momentBefore
// it goes back from commit to commit, but it reads whole segments, since an archive has no indexes. The way ends at a gap.
func acceptedBefore(archive *wal.Archive, in source, from, accepted uint64) (uint64, error) {
	missing, oldest := from, archive.Last()+1 // From oldest on nothing is missing.
	if accepted >= oldest {
		return 0, fmt.Errorf("%w: archive and log end with %d, but %d is applied", ErrTruncated, archive.Last(), accepted)
	}
	for _, segment := range slices.Backward(archive.Segments()) {
		if accepted < from {
			break
		}
		if segment.Last+1 != oldest {
			missing = max(from, segment.Last+1)
			break
		}
		oldest = segment.Base
		var bases []uint64
		for record, err := range archive.Records(segment.Base) {
			if err != nil {
				return 0, err
			}
			if record.Offset > accepted {
				break
			}
			e, err := in.entry(record)
			if err != nil {
				return 0, err
			}
			bases = append(bases, e.base)
		}
		for accepted >= max(from, segment.Base) {
			at := accepted - segment.Base
			if at >= uint64(len(bases)) || bases[at] >= accepted {
				return 0, undecodable(in.path(accepted), accepted, errDecision)
			}
			accepted = bases[at]
		}
	}
	if accepted >= from {
		return 0, fmt.Errorf("%w: offsets %d to %d are held no longer, the oldest to go on from is %d", ErrTruncated, missing, oldest-1, oldest)
	}
	return accepted, nil
}

// appliedTo yields the entries of a source after a moment up to an offset, and returns the moment after them. The error is errEnough where
// the consumer wants no more.
func appliedTo(ctx context.Context, in source, at moment, last uint64, yield func(Commit, error) bool) (moment, error) {
	records, err := in.records(at)
	if err != nil {
		return at, err
	}
	for record, err := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return at, err
		}
		var c Commit
		if c, at, err = in.judged(at, record); err != nil {
			return at, err
		}
		if !yield(c, nil) {
			return at, errEnough
		}
		if at.offset == last {
			return at, nil
		}
	}
	return at, fmt.Errorf("%w: the log ends with %d, but %d is applied", ErrTruncated, at.offset, last) // It was reset meanwhile.
}

// entry decodes a record of a replica.
func (s source) entry(record wal.Record) (entry, error) {
	e, err := readEntry(record.Payload)
	if err == nil && !e.decided {
		err = errDecision
	}
	if err != nil {
		err = undecodable(s.path(record.Offset), record.Offset, err)
	}
	return e, err
}

// judged decodes an entry, and leaves out the mutations of one that changed nothing.
func (s source) judged(at moment, record wal.Record) (Commit, moment, error) {
	e, err := s.entry(record)
	if err != nil {
		return Commit{}, at, err
	}
	next, accepted := at.after(record.Offset, &e)
	c := Commit{Offset: record.Offset, Time: deadlineTime(e.made), Size: len(record.Payload)}
	if accepted {
		_, mutations, err := decodeRecord(e.mutations, nil)
		if err != nil {
			return c, at, undecodable(s.path(record.Offset), record.Offset, err)
		}
		c.Mutations = withoutPairs(mutations)
	}
	return c, next, nil
}

// momentBefore returns the moment before an entry, or the last one if that isn't there yet. Every commit that was accepted names the one
// before it, so the way goes back from the last one.
func (db *DB) momentBefore(from uint64) (moment, error) {
	shown := db.visible.load()
	if shown == nil {
		return moment{}, ErrClosed
	}
	in := logSource(db.walDir(), db.log)
	from, accepted := min(max(from, 1), shown.offset+1), shown.accepted
	if _, err := db.log.Read(from); errors.Is(err, ErrTruncated) {
		return moment{}, err
	}
	for accepted >= from {
		record, err := db.log.Read(accepted)
		if err != nil {
			return moment{}, err
		}
		e, err := in.entry(wal.Record{Offset: accepted, Payload: record})
		if err == nil && e.base >= accepted {
			err = undecodable(in.path(accepted), accepted, errDecision)
		}
		if err != nil {
			return moment{}, err
		}
		accepted = e.base
	}
	return moment{offset: from - 1, accepted: accepted}, nil
}
