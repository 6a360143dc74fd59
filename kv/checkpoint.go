package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// After a checkpoint that failed the next one waits, longer each time.
const (
	retryFirst = time.Second
	retryMax   = 5 * time.Minute
)

// Writers rest beside a checkpoint once the log is brakeFrom times as long as makes one due: together they write at brakeRate where it is
// twice as long as that, at more before, and at a quarter of it at least, as long as no commit rests for more than brakeMost. Otherwise 16
// writers of 64 KiB on one processor let a store of 160 MB have a log of 2 GB, since a checkpoint packs and reads while they only append.
const (
	brakeFrom  = 8
	brakeRate  = 16 << 20 // Bytes a second.
	brakeSteep = 4
	brakeMost  = time.Second
	brakeTurn  = 64 << 10 // Bytes for which one writer rests: a rest for less would take longer than asked.
)

// checkpoints is when checkpoints happen, and what came of them.
//
// A checkpoint reads the visible state, which nothing changes from then on, so it delays a writer by no more than the clone
// that the next commit goes into. It touches nothing of what was there before the new snapshot is durable and has been read
// back. Then it puts the log before the oldest snapshot that is to stay into the archive, if there is one, removes the older
// snapshots, and truncates the log. So whatever instant it dies at, each snapshot that is there has the log after it.
type checkpoints struct {
	turn chan struct{} // Holds a token while no checkpoint is being taken.
	wake chan struct{} // Gets a token when one is due.

	ctx    context.Context // Ends when the store is being closed.
	cancel context.CancelFunc
	done   sync.WaitGroup

	logBytes atomic.Int64 // Bytes of records after the newest snapshot.
	due      atomic.Int64 // A checkpoint is due once logBytes is this much.
	patience atomic.Int64 // The background waits for so much after a checkpoint that failed; 0 after one that didn't.
	braked   atomic.Int64 // Bytes that were committed while writers had to rest.

	mu    sync.Mutex // Guards what follows.
	stats CheckpointStats
}

// CheckpointStats are the checkpoints since Open, and what the next one is about. In a follower Offset is that of its writer's newest
// snapshot, and LogBytes is of whole segments.
type CheckpointStats struct {
	Snapshots     int           // Snapshots on disk, damaged ones included.
	SnapshotBytes int64         // What they take.
	Offset        uint64        // The newest sound one's, 0 where there is none.
	LogBytes      int64         // Bytes of records after it, which a start would replay.
	Due           int64         // The next checkpoint starts by itself at this many; the largest number is never.
	Taken         uint64        // Checkpoints taken.
	Failed        uint64        // Checkpoints that failed. What was there before them is still in force.
	Last          time.Duration // How long the last one took that was taken.
	LastTime      time.Time     // When it ended; zero if none was taken since Open.
	Err           error         // Why the last one failed; nil where it didn't.
}

// setDue sets when the next checkpoint starts by itself, given the newest snapshot's size in bytes.
func (db *DB) setDue(size int64) { db.checkpoints.due.Store(db.opts.checkpointDue(size)) }

// checkpointDue returns at how many bytes of log a checkpoint starts by itself after a snapshot of that size.
func (o Options) checkpointDue(size int64) int64 {
	if o.CheckpointFactor <= 0 {
		return math.MaxInt64
	}
	return max(o.CheckpointFloor, int64(min(o.CheckpointFactor*float64(size), math.MaxInt64/2)))
}

// grew counts a record, and wakes the background if a checkpoint is due.
func (c *checkpoints) grew(bytes int) {
	if log := c.logBytes.Add(int64(bytes)); log < c.due.Load() || log < c.patience.Load() {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// late reports whether the log is twice as long as makes a checkpoint due, so that a running one should stop resting.
func (c *checkpoints) late() bool { return c.logBytes.Load()/2 > c.due.Load() }

// rest returns how long one of so many writers is to rest after a commit of so many bytes, which is 0 unless they would outrun a running
// checkpoint. The commit rests for the turns that end in it, where the commits of all stand one after the other: so it may rest for what
// others wrote, but as seldom as it is small.
func (c *checkpoints) rest(bytes, writers int) time.Duration {
	log, due := c.logBytes.Load(), c.due.Load()
	if log/brakeFrom <= due || len(c.turn) > 0 { // Without a running checkpoint, or after one that failed, a rest shortens nothing.
		return 0
	}
	turn := max(1, min(brakeTurn, brakeRate/brakeSteep/int64(writers))) // So that brakeMost is enough for one.
	now := c.braked.Add(int64(bytes))
	ended := now/turn - (now-int64(bytes))/turn
	over := min(float64(log)/(brakeFrom*float64(due))-1, brakeSteep)
	return min(time.Duration(over*float64(ended*turn)*float64(writers)/brakeRate*float64(time.Second)), brakeMost)
}

// startCheckpoints starts the background.
func (db *DB) startCheckpoints() {
	c := &db.checkpoints
	c.turn, c.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	c.turn <- struct{}{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	places, _ := db.snapshots.list() // Where that fails, the next checkpoint does.
	c.stats.count(places)
	if !db.opts.ReadOnly && db.opts.CheckpointFactor > 0 {
		c.done.Go(db.runCheckpoints)
	}
}

// runCheckpoints takes checkpoints when they are due, until the store is closed. One that failed is tried again. If only
// truncating the log failed, no further snapshot is written for that.
func (db *DB) runCheckpoints() {
	c := &db.checkpoints
	for failing, retry := false, retryFirst; ; {
		again := (<-chan time.Time)(nil)
		if due := c.logBytes.Load() >= c.due.Load(); due || failing {
			if failing = db.takeDue(c.ctx, due) != nil; failing {
				again, retry = time.After(retry), min(2*retry, retryMax)
				c.waitAfter()
			} else {
				retry = retryFirst
				c.patience.Store(0) // A consensus may have taken none.
			}
		}
		select {
		case <-c.ctx.Done():
			return
		case <-c.wake:
		case <-again:
		}
	}
}

// waitAfter makes the background wait after a checkpoint that failed, until the log is twice as long, or another checkpoint succeeds: there
// may be room again, and nothing shows that but another try.
func (c *checkpoints) waitAfter() {
	c.patience.Store(2 * max(c.logBytes.Load(), 1))
	select {
	case <-c.wake:
	default:
	}
}

// takeDue takes a checkpoint, or lets the consensus of a replica take one.
func (db *DB) takeDue(ctx context.Context, write bool) error {
	if db.replica != nil {
		return db.replica.consensus.Checkpoint(ctx)
	}
	_, err := db.whileOpen(ctx, write, nil)
	return err
}

// Checkpoint writes a snapshot of the last visible commit, reads it back, and returns that commit's offset. Then it removes
// the oldest snapshots, down to Options.SnapshotsKept sound ones, and truncates the log before the oldest of these. Where a
// sound snapshot of that commit is there already, it writes none. It returns once all of that is durable. Commits and reads
// go on meanwhile. One checkpoint runs at a time; others wait, as long as their ctx lasts.
//
// Checkpoints start by themselves as Options.CheckpointFactor says, so this is for special moments. An error leaves the
// snapshots and the log in force, with less of what is no longer needed at most: ErrClosed, ErrReadOnly, ErrFailed,
// ErrNoSpace, ctx's, or one of the file system.
func (db *DB) Checkpoint(ctx context.Context) (offset uint64, err error) {
	if offset, err = db.whileOpen(ctx, true, nil); err != nil {
		return 0, fmt.Errorf("kv: checkpoint: %w", err)
	}
	return offset, nil
}

// whileOpen takes a checkpoint, with or without a new snapshot, and gives up when the store is being closed. The snapshot is of the given
// state, or else of the visible one.
func (db *DB) whileOpen(ctx context.Context, write bool, of *state) (offset uint64, err error) {
	if err = db.mayCheckpoint(ctx); err != nil {
		return 0, err
	}
	defer db.inflight.Done()
	ctx, cancel := db.untilClosed(ctx)
	defer cancel()
	return db.takeCheckpoint(ctx, write, of)
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

// takeCheckpoint takes a checkpoint once no other one runs, and notes what came of it.
func (db *DB) takeCheckpoint(ctx context.Context, write bool, of *state) (offset uint64, err error) {
	c := &db.checkpoints
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	started, logBytes := time.Now(), c.logBytes.Load() // Commits in progress are counted as if they were in the snapshot.
	shown := cmp.Or(of, db.visible.load())
	if newest := c.read().Offset; shown.offset < newest {
		return 0, fmt.Errorf("%w: the state is that of %d, a snapshot of %d is there", ErrTruncated, shown.offset, newest)
	}
	if write {
		var written snapshot.Place
		db.catchUp(ctx)
		if written, err = db.writeSnapshot(ctx, shown); err == nil {
			c.taken(shown.offset, logBytes)
		}
		// It was read back from the operating system's cache. The next checkpoint, which relies on it, reads it once more.
		defer db.snapshots.verdicts.Delete(written)
	}
	if err == nil {
		err = db.shorten(ctx)
	}
	if places, listErr := db.snapshots.list(); listErr == nil {
		c.found(places)
	}
	if err != nil && ctx.Err() != nil {
		db.opts.Logger.Debug("checkpoint was given up", "dir", db.dir, "error", err)
		return 0, err
	}
	if err = noSpace(err); err != nil {
		db.opts.Logger.Error("checkpoint failed; the older snapshots and the log stay in force", "dir", db.dir, "error", err)
	}
	c.ended(time.Since(started), err)
	return shown.offset, err
}

// catchUp removes the snapshots that are there too many, and the log before the others, before there is one more. A process
// that dies after it wrote a snapshot and before it pruned leaves one, and many that die so would otherwise fill the disk. What
// fails here is done again, and told, once the new snapshot is there: it must not prevent that one.
func (db *DB) catchUp(ctx context.Context) {
	if places, err := db.snapshots.list(); err == nil && len(places) > db.opts.SnapshotsKept {
		_ = db.shorten(ctx)
	}
}

// wantsSnapshot reports whether there is a commit and no sound snapshot of it, and whether there is a damaged one to replace.
func (db *DB) wantsSnapshot(ctx context.Context, offset uint64) (wanted, replace bool, err error) {
	places, err := db.snapshots.list()
	if err != nil || offset == 0 {
		return false, false, err
	}
	i := slices.IndexFunc(places, func(place snapshot.Place) bool { return place.Offset == offset })
	if i < 0 {
		return true, false, nil
	}
	err = db.snapshots.verify(ctx, places[i], db.throttle(checkpointRest))
	if !errors.Is(err, ErrCorrupt) {
		return false, false, err // Nil, or it may pass: the snapshot may be the last sound one.
	}
	db.opts.Logger.Warn("snapshot is damaged; writing it again", "path", places[i].Path, "error", err)
	return true, true, nil
}

// writeSnapshot writes a snapshot and reads it back, unless there is a sound one.
func (db *DB) writeSnapshot(ctx context.Context, s *state) (place snapshot.Place, err error) {
	if err := db.requireLock(); err != nil {
		return place, err
	}
	opts := db.opts.stateSnapshot(&s.sum)
	wanted, replace, err := db.wantsSnapshot(ctx, s.offset)
	if opts.Replace = replace; err != nil || !wanted {
		return place, err
	}
	// Once the power has gone, the log must not end before a snapshot.
	if err := db.syncVisible(); err != nil {
		return place, err
	}
	started, dir := time.Now(), db.snapshots.dir
	entries := db.throttle(checkpointRest).entries(s.entries())
	path, info, err := snapshot.Write(ctx, db.opts.fs, dir, db.stateHeader(s), opts, entries)
	if err != nil {
		return place, snapshotError(dir, err)
	}
	place = snapshot.Place{Path: path, Offset: info.Offset, Bytes: info.FileBytes}
	db.snapshots.verdicts.Delete(place)
	if err := db.snapshots.verify(ctx, place, db.throttle(checkpointRest)); err != nil {
		if ctx.Err() == nil {
			err = errors.Join(fmt.Errorf("what was written reads back wrong: %w", err), snapshot.Remove(db.opts.fs, dir, place.Offset))
		}
		return place, err
	}
	db.setDue(place.Bytes)
	db.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "snapshot taken", slog.String("path", path), slog.Uint64("offset", info.Offset),
		slog.Uint64("pairs", info.Entries), slog.Int64("bytes", info.FileBytes), slog.Duration("elapsed", time.Since(started)))
	return place, nil
}

// shorten removes the oldest snapshots, and the log before those that are left. That part of the log is in the archive before anything is
// removed, so a checkpoint that can't archive it leaves all that was there. But after one that failed, in this process or with the snapshot that
// it has left, snapshots are removed all the same: otherwise they would pile up for as long as the archive can't be used.
func (db *DB) shorten(ctx context.Context) error {
	if err := db.requireLock(); err != nil {
		return err
	}
	oldest, surplus, err := db.snapshots.surplus(ctx, db.opts.SnapshotsKept, db.throttle(checkpointRest))
	if err != nil || oldest == 0 {
		return err
	}
	archiveErr := db.log.ArchiveFront(unkept(db.log.Segments(), oldest+1, db.opts.LogKept))
	if archiveErr != nil && db.checkpoints.read().Err == nil && len(surplus) < 2 {
		return archiveErr
	}
	if _, err := db.snapshots.remove(surplus); err != nil || archiveErr != nil {
		return errors.Join(archiveErr, err)
	}
	if lacks, err := db.lacksArchive(); err != nil || lacks {
		return err
	}
	first := db.log.First()
	if err := db.log.TruncateFront(unkept(db.log.Segments(), oldest+1, db.opts.LogKept)); err != nil {
		return err
	}
	if now := db.log.First(); now != first {
		db.opts.Logger.Info("log truncated", "dir", db.dir, "first", now, "was", first)
	}
	return nil
}

// unkept returns up to which offset a log may be truncated, so that kept bytes stay of what is before another. The last segment may
// begin after that, and its Last before that: it has no acknowledged record then.
func unkept(segments []wal.SegmentInfo, before uint64, kept int64) uint64 {
	for _, segment := range slices.Backward(segments) {
		if kept <= 0 {
			break
		}
		if segment.Base < before && segment.Last < before {
			before, kept = segment.Base, kept-segment.Bytes
		}
	}
	return before
}

// lacksArchive reports whether the store has an archive and was opened without it.
func (db *DB) lacksArchive() (bool, error) {
	entries, err := db.opts.fs.List(db.dir)
	isMark := func(e vfs.Entry) bool { return e.Name == archiveName }
	if err != nil || db.opts.ArchiveDir != "" || !slices.ContainsFunc(entries, isMark) {
		return false, err
	}
	db.opts.Logger.Warn("log is not truncated: the store has an archive and was opened without; open it with that, or remove the file",
		"dir", db.dir, "file", archiveName)
	return true, nil
}

// stopCheckpoints ends the background and every checkpoint in progress.
func (db *DB) stopCheckpoints() {
	db.checkpoints.cancel()
	db.checkpoints.done.Wait()
}

// lastCheckpoint takes a checkpoint, once nothing else uses the store, if it was asked for or pays. One that wasn't asked for may fail: the
// older snapshots and the log are as good, and the failure was logged.
func (db *DB) lastCheckpoint() error {
	asked := db.opts.CheckpointOnClose
	if db.opts.ReadOnly || db.failed != nil || !asked && !db.lastPays() {
		return nil
	}
	if _, err := db.takeCheckpoint(context.Background(), true, nil); asked {
		return err
	}
	return nil
}

// lastPays reports whether the store should be closed with a checkpoint that wasn't asked for. In a replica, the consensus decides that.
func (db *DB) lastPays() bool {
	c := &db.checkpoints
	_, inMemory := db.opts.fs.(*vfs.Lean)
	return !inMemory && db.replica == nil && db.opts.checkpointPays(c.logBytes.Load(), c.due.Load(), db.visible.load().dataBytes)
}

// When Close takes a checkpoint by itself.
const (
	closeFloor    = 4       // The log has at least Options.CheckpointFloor divided by this. To replay 16 MiB of short commits takes 0.1 s.
	closeDataMost = 1 << 30 // The store has no more bytes of data than this, so that Close takes seconds.
)

// checkpointPays reports whether Close should take a checkpoint after that many bytes of log. One that is due would be the first thing
// that the next process does, or never end where each process is short. And the log may be longer than the data: to replay it takes longer
// than a checkpoint then.
func (o Options) checkpointPays(log, due, data int64) bool {
	return o.CheckpointFactor > 0 && data <= closeDataMost && (log >= due || log >= max(o.CheckpointFloor/closeFloor, data))
}

// taken notes a sound snapshot. logBytes are those that there were before it was written.
func (c *checkpoints) taken(offset uint64, logBytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Offset != offset {
		c.stats.Offset = offset
		c.logBytes.Add(-logBytes)
	}
}

// found notes what is on disk.
func (c *checkpoints) found(places []snapshot.Place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.count(places)
}

// ended notes what came of a checkpoint.
func (c *checkpoints) ended(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Err = err; err != nil {
		c.stats.Failed++
		return
	}
	c.patience.Store(0)
	c.stats.Taken++
	c.stats.Last, c.stats.LastTime = took, time.Now()
}

// count notes what is on disk.
func (s *CheckpointStats) count(places []snapshot.Place) {
	s.Snapshots, s.SnapshotBytes = len(places), 0
	for _, place := range places {
		s.SnapshotBytes += place.Bytes
	}
}

// read returns the numbers.
func (c *checkpoints) read() CheckpointStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.LogBytes, stats.Due = c.logBytes.Load(), c.due.Load()
	return stats
}

// noSpace marks an error as ErrNoSpace where the disk is full.
func noSpace(err error) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
