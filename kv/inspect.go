package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// Segment describes one segment of a store's log.
type Segment = wal.SegmentInfo

// Commit is one commit as the log holds it.
type Commit struct {
	Offset    uint64
	Time      time.Time  // The writer's clock when the commit was made.
	Size      int        // Bytes, encoded.
	Mutations []Mutation // In the order in which they were applied; what they point to stays valid.
}

// Commits yields the acknowledged commits of the log in order, from an offset to the last at the time; 0 is the first
// held. An error ends it: an offset that the log doesn't hold, damage (*CorruptError), ErrVersion, or ErrClosed.
func (db *DB) Commits(from uint64) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		if db.visible.load() == nil {
			yield(Commit{}, ErrClosed)
			return
		}
		if !db.opts.replicated {
			db.logged().Commits(from)(yield)
			return
		}
		if from == 0 {
			from = db.log.First()
		}
		for commit, err := range db.applied(context.Background(), from, false) {
			if err != nil {
				err = fmt.Errorf("kv: read commits from %d: %w", from, orClosed(err))
			}
			if changed := err != nil || len(commit.Mutations) > 0; changed && !yield(commit, err) {
				return
			}
		}
	}
}

// Log is a store's log, opened for reading without replaying it. That of a replica has every entry, also those that are not agreed upon yet,
// were refused, or are no commits and have no mutations. It is for tools: it takes no lock, changes no byte, and
// opens a damaged log as well. Its methods may be called concurrently.
type Log struct {
	dir string
	log *wal.Log
}

// logged returns the store's log.
func (db *DB) logged() *Log { return &Log{db.dir, db.log} }

// OpenLog opens the log of the store in a directory. Of opts, Logger counts, and Follow, which Log.Follow needs and which refuses a
// damaged log. The error is ErrNotStore, ErrVersion, or one of the file system; other damage is met by reading.
func OpenLog(dir string, opts Options) (*Log, error) {
	opts.ReadOnly = true
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if opts.Follow {
		opts.looked = func(uint64, time.Time) error { return nil }
	}
	opened := &Log{dir: dir}
	if err = checkDir(dir, opts); err == nil {
		opened.log, err = openWAL(dir, opts, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("kv: open log of %s: %w", dir, err)
	}
	return opened, nil
}

// Segments returns the log's segments in order.
func (l *Log) Segments() []Segment { return l.log.Segments() }

// Commits yields what DB.Commits does, up to the damage where there is any; the damage is then the error.
func (l *Log) Commits(from uint64) iter.Seq2[Commit, error] {
	return l.commits(from, l.log.Records)
}

// Follow is Commits without an end: it waits for more until ctx ends, or the log is closed. The log must have been opened with
// Options.Follow; otherwise the last error is ErrReadOnly. What ends following is the last error.
func (l *Log) Follow(ctx context.Context, from uint64) iter.Seq2[Commit, error] {
	return l.commits(from, func(from uint64) iter.Seq2[wal.Record, error] { return l.log.Follow(ctx, from) })
}

// commits yields what records does, decoded.
func (l *Log) commits(from uint64, records func(from uint64) iter.Seq2[wal.Record, error]) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		if from == 0 {
			from = l.First()
		}
		for commit, err := range decoded(records(from), l.decode) {
			if err != nil {
				err = fmt.Errorf("kv: read commits from %d: %w", from, orClosed(err))
			}
			if !yield(commit, err) {
				return
			}
		}
	}
}

// First returns the first offset held; it is Last()+1 where none is.
func (l *Log) First() uint64 { return l.log.First() }

// Last returns the last offset that can be read.
func (l *Log) Last() uint64 { return l.log.Last() }

// Close closes the log's files.
func (l *Log) Close() error { return l.log.Close() }

// orClosed returns the error of a log that was closed, or is only read, as one of this package.
func orClosed(err error) error {
	switch {
	case errors.Is(err, wal.ErrClosed):
		return ErrClosed
	case errors.Is(err, wal.ErrReadOnly):
		return ErrReadOnly
	}
	return err
}

// decode decodes a record of the log.
func (l *Log) decode(record wal.Record) (Commit, error) {
	timeUnixNano, mutations, err := decodeEntry(record.Payload, nil)
	if err != nil {
		return Commit{}, undecodable(segmentPath(filepath.Join(l.dir, walName), l.Segments(), record.Offset), record.Offset, err)
	}
	return Commit{
		Offset: record.Offset, Time: time.Unix(0, timeUnixNano).UTC(), Size: len(record.Payload),
		Mutations: withoutPairs(mutations),
	}, nil
}
