package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"runtime"
	"time"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// progressInterval is the shortest time between two calls of Options.Progress.
const progressInterval = 100 * time.Millisecond

// Recovery says what opening a store found and did.
type Recovery struct {
	Log      wal.Recovery      // What the log's own recovery found, cut and mended.
	Snapshot string            // Path of the snapshot that it started from; empty where there was none.
	Skipped  []SkippedSnapshot // Newer snapshots, which can't be read.
	Removed  []string          // What an unfinished checkpoint had left.
	Loaded   int               // Pairs of the snapshot.
	Replayed uint64            // Commits that were replayed on top of it.
	Keys     int               // Pairs held afterwards, expired ones included.
	Elapsed  time.Duration     // The time that opening took, the log's part included.
}

// Recovery returns what Open found and did.
func (db *DB) Recovery() Recovery { return db.recovery }

// recover makes the state: that of the newest snapshot that can be read, and every commit after it.
func (db *DB) recover(ctx context.Context) (*state, error) {
	r := &db.recovery
	r.Log = db.log.Recovery()
	if !db.opts.ReadOnly {
		removed, err := snapshot.RemoveTemporary(db.opts.fs, db.snapshots.dir)
		if err != nil {
			return nil, err
		}
		r.Removed = removed
		for _, path := range removed {
			db.opts.Logger.Warn("removed what an unfinished checkpoint had left", "path", path)
		}
	}
	report := limited(db.opts.Progress)
	b, err := db.snapshots.find(ctx, math.MaxUint64, report)
	if err != nil {
		return nil, err
	}
	r.Snapshot, r.Skipped, r.Loaded = b.path, b.skipped, b.state.tree.len()
	if err := db.goOnFrom(b); err != nil {
		return nil, err
	}
	if gap := b.gap(db.walDir(), db.log.First()); gap != nil {
		return nil, gap
	}
	replayed, err := db.replayLog(ctx, b, report)
	if err != nil {
		return nil, err
	}
	db.clock.goesOnFrom(max(b.time, replayed.time))
	db.checkpoints.logBytes.Store(replayed.bytes)
	db.checkpoints.stats.Offset = b.offset
	db.setDue(b.bytes)
	db.opts.Progress(Progress{Pairs: uint64(r.Loaded), Loaded: uint64(r.Loaded), Offset: b.state.offset, Last: b.state.offset})
	r.Replayed, r.Keys = b.state.offset-b.offset, b.state.tree.len()
	return b.state, nil
}

// replayLog applies what the log has after a base: of a replica's, what is known to be agreed upon.
func (db *DB) replayLog(ctx context.Context, b base, report func(Progress)) (replayed, error) {
	rest := replay{sources: []source{logSource(db.walDir(), db.log)}, last: db.log.Last(), plain: true, report: report}
	if db.opts.replicated {
		committed, err := committedIn(db.walDir(), db.log)
		if err != nil || committed <= b.offset {
			return replayed{state: b.state, moment: moment{b.offset, b.time, b.accepted}}, err
		}
		rest.plain, rest.last, rest.to.offset = false, committed, committed
	}
	return rest.run(ctx, b.state, b.time)
}

// base is what a replay starts from: a state, and where it is from.
type base struct {
	state   *state
	path    string // The snapshot's; empty where there is none and everything is in the log.
	offset  uint64 // Of the last commit in it.
	bytes   int64  // The snapshot's size.
	time    int64  // Of the last commit, in nanoseconds since 1970.
	skipped []SkippedSnapshot

	accepted uint64 // As in moment.
}

// SkippedSnapshot is a snapshot that opening a store could not read, so that it started from an older one, or from the log alone.
type SkippedSnapshot struct {
	Path string
	Err  error
}

// find loads the newest snapshot that can be read, of those up to an offset. Without any, the base is the empty state.
func (v *inventory) find(ctx context.Context, most uint64, report func(Progress)) (base, error) {
	var b base
	places, err := v.list()
	if err != nil {
		return b, err
	}
	for i, place := range places {
		if place.Offset > most {
			continue
		}
		damage, _ := v.verdict(place)
		err := damage
		if err == nil {
			err = v.load(ctx, place, &b, report)
		}
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, fs.ErrNotExist):
			continue // It was pruned meanwhile, so there is a newer one.
		case ctx.Err() != nil || errors.Is(err, ErrVersion):
			return b, err
		case damage == nil:
			v.warnSkipped(place.Path, err, i+1 < len(places))
		}
		b.skipped = append(b.skipped, SkippedSnapshot{place.Path, err})
	}
	b.state = newState()
	b.state.indexes = startIndexes(ctx, v.opts.Indexes)
	return b, nil
}

func (v *inventory) warnSkipped(path string, err error, isOlder bool) {
	message := "snapshot can't be read; starting from an older one"
	if !isOlder {
		message = "snapshot can't be read, and there is no older one; starting from the log alone"
	}
	v.opts.Logger.Warn(message, "path", path, "error", err)
}

// loadAhead is how many blocks are decoded ahead besides one a processor. The tree takes pairs in bursts of loadChunk, which
// are some blocks. A million pairs took 0.50 s with it and 0.59 s without (medians of seven interleaved rounds).
const loadAhead = 4

// load makes a snapshot the base. Every byte of it is checked on the way.
func (v *inventory) load(ctx context.Context, place snapshot.Place, b *base, report func(Progress)) error {
	file, err := v.open(place.Path)
	if err != nil {
		return v.judge(place, err)
	}
	info := file.Info()
	pairs := whileLasting(ctx, snapshot.Decode(file, loadAhead+runtime.GOMAXPROCS(0), decodePair))
	indexes := startIndexes(ctx, v.opts.Indexes)
	pairs = indexes.following(pairs)
	var nearEnd []byte
	if blocks := file.Blocks(); len(blocks) > 0 {
		nearEnd = blocks[len(blocks)-1].FirstKey
	}
	s, err := loadState(info.Offset, nearEnd, pairs, func(loaded uint64) { report(Progress{Loaded: loaded, Pairs: info.Entries}) })
	if err == nil {
		err = s.checkSum(info)
	}
	if err = v.judge(place, errors.Join(snapshotError(place.Path, err), file.Close())); err != nil {
		return err
	}
	s.indexes, s.made = indexes, unixNano(info.Time)
	s.accepted, _ = acceptedIn(info.Header)
	b.state, b.path, b.offset, b.bytes, b.time, b.accepted = s, place.Path, info.Offset, info.FileBytes, s.made, s.accepted
	return nil
}

// gap says why a log doesn't go on where the base ends, nil where it does.
func (b base) gap(walDir string, first uint64) *CorruptError {
	if first <= b.offset+1 {
		return nil
	}
	why := fmt.Errorf("the log begins with offset %d, and nothing holds the commits before it", first)
	if b.path != "" {
		why = fmt.Errorf("the log begins with offset %d, and the newest snapshot that can be read ends with %d", first, b.offset)
	}
	for _, skipped := range b.skipped {
		why = fmt.Errorf("%w; %w", why, skipped.Err)
	}
	return &CorruptError{Path: walDir, Offset: b.offset + 1, Err: why}
}

// limited returns a function for progress that calls another one, at most once each progressInterval.
func limited(call func(Progress)) func(Progress) {
	last := time.Now()
	return func(now Progress) {
		if time.Since(last) >= progressInterval {
			call(now)
			last = time.Now()
		}
	}
}

// logRecovery logs what opening the store came to. What was cut and mended is in the log's own line.
func (db *DB) logRecovery() {
	r := db.recovery
	db.opts.Logger.LogAttrs(context.Background(), slog.LevelInfo, "store opened",
		slog.String("dir", db.dir), slog.Bool("read_only", db.opts.ReadOnly), slog.String("outcome", r.Log.Outcome.String()),
		slog.String("snapshot", r.Snapshot), slog.Uint64("commits", r.Replayed), slog.Int("keys", r.Keys),
		slog.Duration("elapsed", r.Elapsed))
}
