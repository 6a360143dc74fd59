package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// After a checkpoint that failed the next one waits, longer each time.
const (
	retryFirst = time.Second
	retryMax   = 5 * time.Minute
)

// checkpoints is when checkpoints happen, and what came of them.
//
// A checkpoint reads the visible state, which from then on nobody changes, so that a writer is held up by it for no longer
// than the clone that the next commit goes into. It touches nothing of what was there before the new snapshot is durable
// and has been read back; then it removes the oldest snapshots, and truncates the log in front of the oldest that is left.
// So whatever instant it dies at, each snapshot that is there has its log behind it.
type checkpoints struct {
	turn chan struct{} // Holds a token while nobody takes a checkpoint.
	wake chan struct{} // Gets a token when one is due.

	ctx    context.Context // Ends when the store is being closed.
	cancel context.CancelFunc
	done   sync.WaitGroup

	behind atomic.Int64 // Bytes of records behind the newest snapshot.
	due    atomic.Int64 // From how many on a checkpoint is due.

	mu    sync.Mutex // Guards what follows.
	stats CheckpointStats
}

// CheckpointStats are the checkpoints since Open, and what they have to do next.
type CheckpointStats struct {
	Snapshots     int           // Snapshots on disk, damaged ones included.
	SnapshotBytes int64         // What they take.
	Offset        uint64        // The newest one's, 0 where there is none.
	Behind        int64         // Bytes of records behind it, which a start would replay.
	Due           int64         // From how many on the next checkpoint starts by itself; the largest number is never.
	Taken         uint64        // Checkpoints taken.
	Failed        uint64        // Checkpoints that failed. What was there before them is still in force.
	Last          time.Duration // How long the last one took that was taken.
	Err           error         // Why the last one failed; nil where it didn't.
}

// start takes over what opening found, before anybody else has the store.
func (c *checkpoints) start(b base, behind int64) {
	c.behind.Store(behind)
	if b.path != "" {
		c.stats.Offset = b.offset
	}
}

// setDue sets when the next checkpoint starts by itself, given the newest snapshot's size in bytes.
func (db *DB) setDue(size int64) {
	due := int64(math.MaxInt64)
	if factor := db.opts.CheckpointFactor; factor > 0 {
		due = max(db.opts.CheckpointFloor, int64(min(factor*float64(size), math.MaxInt64/2)))
	}
	db.checkpoints.due.Store(due)
}

// grew counts a record, and wakes the background where a checkpoint is due.
func (c *checkpoints) grew(bytes int) {
	if c.behind.Add(int64(bytes)) < c.due.Load() {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// late reports whether the log has grown so far beyond what makes a checkpoint due that the one under way must not take its
// time any more.
func (c *checkpoints) late() bool { return c.behind.Load()/2 > c.due.Load() }

// startCheckpoints starts the background.
func (db *DB) startCheckpoints() {
	c := &db.checkpoints
	c.turn, c.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	c.turn <- struct{}{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.countSnapshots(db.opts, db.snapshotDir())
	if db.opts.ReadOnly || db.opts.CheckpointFactor < 0 {
		return
	}
	c.done.Go(db.runCheckpoints)
	c.grew(0)
}

// runCheckpoints takes checkpoints when they are due, until the store is closed.
func (db *DB) runCheckpoints() {
	c := &db.checkpoints
	retry := retryFirst
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.wake:
		}
		if c.behind.Load() < c.due.Load() {
			continue
		}
		if _, err := db.Checkpoint(c.ctx); err == nil {
			retry = retryFirst
			continue
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(retry):
			retry = min(2*retry, retryMax)
			c.grew(0)
		}
	}
}

// Checkpoint writes a snapshot of the last visible commit and returns that commit's offset; then it removes the oldest
// snapshots, down to Options.SnapshotsKept, and truncates the log in front of the oldest that is left. Where there was no
// commit since the last checkpoint it writes nothing. It returns once all of that is durable. Commits and reads go on
// meanwhile. One runs at a time; others wait, as long as their ctx lasts.
//
// Checkpoints start by themselves as Options.CheckpointFactor says, so that this is for special moments. An error leaves
// the snapshots and the log as they were, or with less of what is no longer needed: ErrClosed, ErrReadOnly, ErrFailed,
// ErrNoSpace, ctx's, or one of the file system.
func (db *DB) Checkpoint(ctx context.Context) (offset uint64, err error) {
	if err := db.mayCheckpoint(ctx); err != nil {
		return 0, fmt.Errorf("kv: checkpoint: %w", err)
	}
	defer db.inflight.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(db.checkpoints.ctx, cancel)()
	offset, err = db.takeCheckpoint(ctx)
	if err != nil && db.checkpoints.ctx.Err() != nil {
		err = ErrClosed
	}
	if err != nil {
		return 0, fmt.Errorf("kv: checkpoint: %w", err)
	}
	return offset, nil
}

// mayCheckpoint registers a call that uses the log, or says why there can't be one.
func (db *DB) mayCheckpoint(ctx context.Context) error {
	if err := db.acquire(ctx); err != nil {
		return err
	}
	defer db.mu.Unlock()
	switch {
	case db.opts.ReadOnly:
		return ErrReadOnly
	case db.failed != nil:
		return db.failed
	}
	return db.enter()
}

// takeCheckpoint waits for its turn.
func (db *DB) takeCheckpoint(ctx context.Context) (uint64, error) {
	c := &db.checkpoints
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	started := time.Now()
	offset, err := db.checkpoint(ctx)
	c.countSnapshots(db.opts, db.snapshotDir())
	c.ended(time.Since(started), err)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		db.opts.Logger.Debug("checkpoint was given up", "dir", db.dir, "error", err)
	default:
		db.opts.Logger.Error("checkpoint failed; the snapshots and the log in front of it stay in force", "dir", db.dir, "error", err)
	}
	return offset, err
}

// checkpoint takes a checkpoint.
func (db *DB) checkpoint(ctx context.Context) (uint64, error) {
	c, dir := &db.checkpoints, db.snapshotDir()
	behind := c.behind.Load() // Commits that are on their way just now are counted as if they were in the snapshot.
	shown := db.visible.load()
	if c.newest() == shown.offset {
		return shown.offset, db.shorten(dir)
	}
	// The log must not end in front of a snapshot once the power has gone.
	if err := db.syncVisible(); err != nil {
		return 0, err
	}
	started := time.Now()
	header := snapshot.Header{Kind: kindPairs, ID: db.log.ID(), Offset: shown.offset, Time: time.Unix(0, db.now())}
	path, info, err := snapshot.Write(ctx, db.opts.FS, dir, header, db.opts.snapshot(), db.resting(shown.entries(), checkpointRest))
	if err != nil {
		return 0, noSpace(err)
	}
	c.taken(shown.offset, behind)
	db.setDue(info.FileBytes)
	db.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "snapshot taken", slog.String("path", path), slog.Uint64("offset", info.Offset),
		slog.Uint64("pairs", info.Entries), slog.Int64("bytes", info.FileBytes), slog.Duration("elapsed", time.Since(started)))
	return shown.offset, db.shorten(dir)
}

// shorten removes the oldest snapshots and the log in front of those that are left. Damaged snapshots stay, and don't
// count.
func (db *DB) shorten(dir string) error {
	oldest, err := prune(db.opts, dir, db.log.ID(), db.opts.SnapshotsKept)
	if err != nil || oldest == 0 {
		return err
	}
	first := db.log.First()
	if err := db.log.TruncateFront(oldest + 1); err != nil {
		return err
	}
	if now := db.log.First(); now != first {
		db.opts.Logger.Info("log truncated", "dir", db.dir, "first", now, "was", first)
	}
	return nil
}

// prune removes the oldest snapshots beyond those to keep, and returns the oldest kept; 0 where there are fewer. Only
// snapshots count that a start would begin with.
func prune(opts Options, dir string, id [16]byte, keep int) (oldest uint64, err error) {
	places, err := snapshot.List(opts.FS, dir)
	if err != nil {
		return 0, err
	}
	if len(places) < keep {
		return 0, nil
	}
	// What this process has not written itself may have a name that isn't durable yet.
	if err := opts.FS.SyncDir(dir); err != nil {
		return 0, err
	}
	kept := 0
	var surplus []uint64
	for _, place := range places {
		file, err := openSnapshot(opts, place.Path, id)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) {
			opts.Logger.Warn("snapshot is damaged; it is left alone and doesn't count", "path", place.Path, "error", err)
			continue
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			return 0, err
		}
		if kept++; kept <= keep {
			oldest = place.Offset
		} else {
			surplus = append(surplus, place.Offset)
		}
	}
	if kept < keep {
		return 0, nil
	}
	for _, offset := range surplus {
		if err := snapshot.Remove(opts.FS, dir, offset); err != nil {
			return 0, err
		}
	}
	return oldest, nil
}

// stopCheckpoints ends the background and every checkpoint under way.
func (db *DB) stopCheckpoints() {
	db.checkpoints.cancel()
	db.checkpoints.done.Wait()
}

// lastCheckpoint takes the checkpoint that Close was asked for, once nobody else has the store any more.
func (db *DB) lastCheckpoint() error {
	if !db.opts.CheckpointOnClose || db.opts.ReadOnly || db.failed != nil {
		return nil
	}
	_, err := db.takeCheckpoint(context.Background())
	return err
}

func (db *DB) snapshotDir() string { return filepath.Join(db.dir, snapshotName) }

// newest returns the offset of the newest snapshot that this process has taken or started from.
func (c *checkpoints) newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats.Offset
}

// taken notes a new snapshot.
func (c *checkpoints) taken(offset uint64, behind int64) {
	c.behind.Add(-behind)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Offset = offset
}

// ended notes what came of a checkpoint.
func (c *checkpoints) ended(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Err = err; err != nil {
		c.stats.Failed++
		return
	}
	c.stats.Taken++
	c.stats.Last = took
}

// countSnapshots notes what is on disk. Where that can't be listed it is for the next checkpoint to say.
func (c *checkpoints) countSnapshots(opts Options, dir string) {
	places, _ := snapshot.List(opts.FS, dir)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Snapshots, c.stats.SnapshotBytes = len(places), 0
	for _, place := range places {
		c.stats.SnapshotBytes += place.Bytes
	}
}

// read returns the numbers.
func (c *checkpoints) read() CheckpointStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Behind, stats.Due = c.behind.Load(), c.due.Load()
	return stats
}

// noSpace marks an error as ErrNoSpace where the disk is full.
func noSpace(err error) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
