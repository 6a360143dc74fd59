package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"time"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// progressInterval is the least time between two calls of Options.Progress.
const progressInterval = 100 * time.Millisecond

// Recovery says what opening a store found and did.
type Recovery struct {
	Log      wal.Recovery      // What the log's own recovery found, cut and mended.
	Snapshot string            // Path of the snapshot that it started from; empty where there was none.
	Skipped  []SkippedSnapshot // Newer snapshots, which are damaged.
	Removed  []string          // What a checkpoint that died had left.
	Loaded   int               // Pairs of the snapshot.
	Replayed uint64            // Commits that were replayed on top of it.
	Keys     int               // Pairs held afterwards, expired ones included.
	Elapsed  time.Duration     // The time that opening took, the log's part included.
}

// Recovery returns what Open found and did.
func (db *DB) Recovery() Recovery { return db.recovery }

// recover makes the state: that of the newest snapshot that can be read, and every commit behind it.
func (db *DB) recover() (*state, error) {
	r := &db.recovery
	r.Log = db.log.Recovery()
	dir := filepath.Join(db.dir, snapshotName)
	last := db.log.Last()
	most := last
	if !db.opts.ReadOnly {
		if err := checkAhead(db.opts, dir, last); err != nil {
			return nil, err
		}
		removed, err := snapshot.RemoveTemporary(db.opts.FS, dir)
		if err != nil {
			return nil, err
		}
		r.Removed, most = removed, math.MaxUint64
		for _, path := range removed {
			db.opts.Logger.Warn("removed what an unfinished checkpoint had left", "path", path)
		}
	}
	pace := newPace(db.opts.Progress)
	b, err := findBase(db.dir, db.opts, db.log, most, pace.tell)
	if err != nil {
		return nil, err
	}
	r.Snapshot, r.Skipped, r.Loaded = b.path, b.skipped, b.state.tree.len()
	if gap := b.reaches(db.dir, db.log.First()); gap != nil {
		return nil, gap
	}
	replayed, err := replay(context.Background(), newRecordSource(db.dir, db.log), b.state, math.MaxUint64, pace.tell)
	if err != nil {
		return nil, err
	}
	db.clock.goesOnFrom(max(b.time, replayed.time))
	db.checkpoints.start(b, replayed.bytes)
	db.setDue(b.bytes)
	db.opts.Progress(Progress{Pairs: uint64(r.Loaded), Loaded: uint64(r.Loaded), Offset: b.state.offset, Last: b.state.offset})
	r.Replayed, r.Keys = b.state.offset-b.offset, b.state.tree.len()
	return b.state, nil
}

// checkAhead refuses a snapshot of commits that the log doesn't have: they were durable in it when the snapshot was taken,
// so the log has been lost, cut or replaced.
func checkAhead(opts Options, dir string, last uint64) error {
	places, err := snapshot.List(opts.FS, dir)
	if err != nil || len(places) == 0 || places[0].Offset <= last {
		return err
	}
	return ahead(places[0].Path, places[0].Offset, last)
}

// ahead is the damage of a log that ends in front of a snapshot.
func ahead(path string, offset, last uint64) *CorruptError {
	return &CorruptError{
		Path: path, Offset: offset,
		Err: fmt.Errorf("the snapshot shows commit %d, but the log ends with %d: a part of the log is missing", offset, last),
	}
}

// reaches says why a log doesn't go on where the base ends, nil where it does.
func (b base) reaches(dir string, first uint64) *CorruptError {
	if first <= b.offset+1 {
		return nil
	}
	why := fmt.Errorf("the log begins with offset %d, and nothing holds the commits in front of it", first)
	if b.path != "" {
		why = fmt.Errorf("the log begins with offset %d, and the newest snapshot that can be read ends with %d", first, b.offset)
	}
	for _, skipped := range b.skipped {
		why = fmt.Errorf("%w; %w", why, skipped.Err)
	}
	return &CorruptError{Path: filepath.Join(dir, walName), Offset: b.offset + 1, Err: why}
}

// pace calls a function for progress not more often than it wants.
type pace struct {
	call func(Progress)
	told time.Time
}

func newPace(call func(Progress)) *pace { return &pace{call: call, told: time.Now()} }

func (p *pace) tell(now Progress) {
	if time.Since(p.told) >= progressInterval {
		p.call(now)
		p.told = time.Now()
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
		slog.String("snapshot", r.Snapshot), slog.Uint64("commits", r.Replayed), slog.Int("keys", r.Keys),
		slog.Duration("elapsed", r.Elapsed))
}
