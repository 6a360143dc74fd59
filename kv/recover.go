package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// progressInterval is the least time between two calls of Options.Progress.
const progressInterval = 100 * time.Millisecond

// Recovery says what opening a store found and did.
type Recovery struct {
	Log      wal.Recovery  // What the log's own recovery found, cut and mended.
	Replayed uint64        // Commits that were replayed.
	Keys     int           // Pairs held afterwards, expired ones included.
	Elapsed  time.Duration // The time that opening took, the log's part included.
}

// Recovery returns what Open found and did.
func (db *DB) Recovery() Recovery { return db.recovery }

// replay returns the state after every commit of the log.
func (db *DB) replay() (*state, error) {
	last := db.log.Last()
	if first := db.log.First(); first != 1 {
		return nil, gap(db.dir, first)
	}
	replayed := newState()
	var mutations []Mutation
	told := time.Now()
	for record, err := range db.log.Records(1) {
		if err != nil {
			return nil, err
		}
		_, mutations, err = decodeRecord(record.Payload, mutations[:0])
		if err != nil {
			return nil, refusal(db.dir, db.log.Segments(), record.Offset, err)
		}
		replayed.apply(record.Offset, mutations)
		if time.Since(told) >= progressInterval {
			db.opts.Progress(Progress{Offset: record.Offset, Last: max(last, record.Offset)})
			told = time.Now()
		}
	}
	db.opts.Progress(Progress{Offset: replayed.offset, Last: replayed.offset})
	return replayed, nil
}

// gap is the damage of a log whose beginning is missing: no state can be replayed from the middle.
func gap(dir string, first uint64) *CorruptError {
	return &CorruptError{
		Path: filepath.Join(dir, walName), Offset: 1,
		Err: fmt.Errorf("the log begins with offset %d, and nothing holds the commits in front of it", first),
	}
}

// undecodable is the damage of a record which the log vouches for and which is no commit.
func undecodable(dir string, segments []Segment, offset uint64, err error) *CorruptError {
	path := filepath.Join(dir, walName)
	for _, segment := range segments {
		if segment.Base <= offset && offset <= segment.Last {
			path = segment.Path
		}
	}
	return &CorruptError{Path: path, Offset: offset, Err: fmt.Errorf("the record is no commit: %w", err)}
}

// refusal returns why a record that doesn't decode can't be replayed: what a newer version wrote is no damage.
func refusal(dir string, segments []Segment, offset uint64, err error) error {
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("commit %d: %w", offset, err)
	}
	return undecodable(dir, segments, offset, err)
}

// tellRecovery tells the operator once per opening. What the log found, cut and mended, the log has told in a line of its
// own, as a warning where that is one.
func (db *DB) tellRecovery() {
	r := db.recovery
	db.opts.Logger.LogAttrs(context.Background(), slog.LevelInfo, "store opened",
		slog.String("dir", db.dir), slog.Bool("read_only", db.opts.ReadOnly), slog.String("outcome", r.Log.Outcome.String()),
		slog.Uint64("commits", r.Replayed), slog.Int("keys", r.Keys), slog.Duration("elapsed", r.Elapsed))
}
