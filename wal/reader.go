package wal

import (
	"context"
	"errors"
	"io"
	"iter"
)

// Record is one record of the log.
type Record struct {
	Offset  uint64
	Payload []byte // Valid until the next record is asked for; to be read only.
}

// Read returns the payload of one record, in memory of its own. Offsets before the first record held are ErrTruncated, ones
// after the last acknowledged record ErrOutOfRange; a record that doesn't check out is a *CorruptError.
func (l *Log) Read(offset uint64) ([]byte, error) {
	for {
		epoch := l.segments.epoch.Load()
		g, err := l.segments.use(offset, l.Last)
		var payload []byte
		if err == nil {
			payload, err = g.read(offset)
			if released := g.release(); err == nil {
				err = released
			}
		}
		// An error means nothing if the log's epoch has changed since: the record was being truncated.
		if err == nil || l.segments.epoch.Load() == epoch {
			if errors.Is(err, ErrOutOfRange) {
				err = l.orDamage(err)
			}
			return payload, err
		}
	}
}

// orDamage returns the damage that ends a log before its time, where there is some, in place of the error that says that it ends.
func (l *Log) orDamage(err error) error {
	if l.damage != nil {
		return l.damage
	}
	return err
}

// Records returns the records from an offset on, up to the last one acknowledged when the reader gets there, beside writers. An
// error ends it: ErrTruncated where the next offset is no longer held, a *CorruptError where a record doesn't check out.
func (l *Log) Records(from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := reader{log: l, offset: from, last: l.Last}
		defer r.close()
		for {
			record, err := r.next()
			if err == io.EOF || !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// Follow is Records without an end: it waits for more until the context ends, the log is closed (ErrClosed) or fails (ErrFailed),
// each of which is its last error. A log that is open for reading only doesn't grow: Follow ends with ErrReadOnly, unless
// Options.Follow is set, and then with what ended following.
func (l *Log) Follow(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := reader{log: l, offset: from, last: l.Last}
		defer r.close()
		for {
			changed := l.change()
			record, err := r.next()
			if err == io.EOF {
				if err = l.await(ctx, changed); err == nil {
					continue
				}
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// await waits for a change, and says why none will come.
func (l *Log) await(ctx context.Context, changed <-chan struct{}) error {
	if err := l.growing(l.opts.Follow); err != nil {
		return err
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reader goes through the records in order.
type reader struct {
	log    *Log
	offset uint64        // Of the next record.
	last   func() uint64 // The last offset that may be given out.

	segment *segment // In use while it isn't nil.
	scanner *scanner
	whole   bool   // The scanner began at the segment's start, so its chain vouches for all of it.
	epoch   uint64 // Of the log when the segment was asked for.
}

// next returns the next record if its offset is at most last. Otherwise it returns the damage that ends the log, or io.EOF.
func (r *reader) next() (Record, error) {
	for {
		epoch := r.log.segments.epoch.Load()
		if r.epoch != epoch {
			r.close()
			r.epoch = epoch
		}
		if r.offset > r.last() {
			return Record{}, r.log.orDamage(io.EOF)
		}
		f, err := r.frame()
		switch {
		case err != nil && epoch != r.log.segments.epoch.Load():
			// The record was truncated while it was looked for, so it isn't damaged: look again.
		case err != nil:
			return Record{}, err
		case f.kind == kindRecord:
			r.offset++
			return Record{Offset: f.offset, Payload: f.payload}, nil
		}
	}
}

// frame reads the next frame, in the next segment where this one ends.
func (r *reader) frame() (frame, error) {
	if r.segment != nil {
		if next := r.segment.next.Load(); next != nil && r.scanner.position >= next.store.head.prevEnd {
			if err := r.leave(next.store); err != nil {
				return frame{}, err
			}
		}
	}
	if r.segment == nil {
		if err := r.enter(); err != nil {
			return frame{}, err
		}
	}
	r.scanner.limit = r.segment.store.written.position()
	f, err := r.scanner.frame()
	if err != nil {
		return frame{}, readError(r.segment.store.path, r.scanner.position, r.scanner.next, err)
	}
	return f, nil
}

// enter takes the segment that holds the next record.
func (r *reader) enter() error {
	g, err := r.log.segments.use(r.offset, r.last)
	if err != nil {
		return err
	}
	position, err := g.find(r.offset)
	if err != nil {
		_ = g.release()
		return err
	}
	r.segment, r.whole = g, position == headSize
	r.scanner = g.store.scanFrom(position, r.offset, 0)
	return nil
}

// leave gives up a segment that has been read to the place where the next one follows.
func (r *reader) leave(next *store) error {
	at := reading{end: r.scanner.position, next: r.scanner.next, chain: r.scanner.chain}
	if !r.whole {
		at.chain = next.head.prevChain
	}
	if err := r.segment.store.judgeSealed(&at, next); err != nil {
		return err
	}
	r.close()
	return nil
}

// close gives up the segment in use.
func (r *reader) close() {
	if r.segment != nil {
		_ = r.segment.release() // Reading is done: an error of closing has nothing to say about it.
		r.segment, r.scanner = nil, nil
	}
}
