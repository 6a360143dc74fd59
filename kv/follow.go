package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// FollowLag says how far a store that was opened with Options.Follow lags. The zero value is that of any other store.
type FollowLag struct {
	// Commits is how many of the commits that the follower has found in the log it doesn't show yet, since they are not proven durable
	// or not applied. The writer may have made more.
	Commits uint64
	// Age is how old what it shows may be: the time since the last look at the log that found nothing which isn't shown now. When
	// following has ended it grows.
	Age time.Duration
}

const (
	// followMutations and followBytes are up to how much a follower makes visible at once, where the log has more.
	followMutations = 256
	followBytes     = 1 << 20
	// looksKept is how many looks at the log are remembered of which not everything is shown yet. With more Age is less exact.
	looksKept = 128
)

// glance is a look at the log: the last offset that it found, and when it began.
type glance struct {
	last uint64
	at   time.Time
}

// follower shows, in a store that is open for reading, what its writer in another process commits. The log follows the writer's and has what
// is durable; one goroutine applies that.
//
// Invariants: the visible offset never goes back; pending are looks with ascending offsets after that.
type follower struct {
	db     *DB
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	latest  glance
	pending []glance
	fresh   time.Time // When the newest look began of which everything is shown.
	err     error     // What ended it.
}

// newFollower returns what lets a store follow its writer, nil where it doesn't.
func newFollower(db *DB) *follower {
	if !db.opts.Follow {
		return nil
	}
	return &follower{db: db, fresh: time.Now()}
}

// start begins to apply what comes after the state that was recovered.
func (f *follower) start() {
	if f == nil {
		return
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(f.db.checkpoints.ctx)
	f.done.Go(func() { f.run(ctx) })
}

// stop returns once nothing more will be applied.
func (f *follower) stop() {
	if f != nil && f.cancel != nil {
		f.cancel()
		f.done.Wait()
	}
}

func (f *follower) run(ctx context.Context) {
	err := fmt.Errorf("%w: the function of an index ended the goroutine", ErrIndex) // Unless something else does.
	defer func() { f.end(ctx, err) }()
	for {
		ended := f.apply(ctx)
		if errors.Is(ended, ErrTruncated) && ctx.Err() == nil {
			ended = f.db.snapshots.whileSteady(func() error { return f.reload(ctx) })
		}
		if ended != nil {
			err = ended
			return
		}
	}
}

// end notes why nothing more will be shown. The log, whose next look gets the error, then ends as well.
func (f *follower) end(ctx context.Context, err error) {
	if ctx.Err() != nil {
		err = ErrClosed
	} else if f.db.log.Stats().Failed == nil { // Otherwise the log has logged it.
		f.db.opts.Logger.Error("store no longer follows its writer: it stays as it is", "dir", f.db.dir, "offset", f.db.Offset(), "error", err)
	}
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrNotStore, err)
	}
	err = fmt.Errorf("kv: follow the writer of %s: %w", f.db.dir, err)
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	f.db.visible.end(err)
}

// apply shows commits as the log gets them.
func (f *follower) apply(ctx context.Context) error {
	db, l := f.db, layer{}
	size := 0
	for c, err := range decoded(db.log.Follow(ctx, db.Offset()+1), db.logged().decode) {
		if err != nil {
			return err
		}
		if err := f.checkIndexed(c); err != nil {
			return err
		}
		db.clock.goesOnFrom(c.Time.UnixNano())
		l.decoded = append(l.decoded, c.Mutations...)
		l.offset, size = c.Offset, size+c.Size
		if c.Offset < db.log.Last() && len(l.decoded) < followMutations && size < followBytes {
			continue
		}
		if err := db.visible.overdue.Load().waitFor(ctx); err != nil {
			return err
		}
		db.visible.mu.Lock()
		db.visible.show(&l)
		db.visible.mu.Unlock()
		f.shown()
		l, size = layer{}, 0
	}
	return nil
}

// checkIndexed refuses a commit that has a pair which can't be indexed, as a start does: its writer may have other indexes. The functions
// are called here, before anything is locked.
func (f *follower) checkIndexed(c Commit) error {
	for i := range c.Mutations {
		if err := c.Mutations[i].checkIndexed(f.db.opts.Indexes); err != nil {
			return fmt.Errorf("commit %d: %w", c.Offset, err)
		}
	}
	return nil
}

// reload goes on from the newest snapshot, where the writer has truncated commits that were not applied yet.
func (f *follower) reload(ctx context.Context) error {
	db, quiet := f.db, func(Progress) {}
	db.snapshots.verdicts.Clear() // The writer may have replaced a snapshot that was damaged by a sound one of the same size.
	b, err := db.snapshots.find(ctx, math.MaxUint64, quiet)
	if err != nil {
		return err
	}
	if gap := b.gap(db.walDir(), db.log.First()); gap != nil {
		return gap
	}
	made, err := replay{sources: []source{logSource(db.walDir(), db.log)}, report: quiet}.run(ctx, b.state, b.time)
	if err != nil {
		return err
	}
	made.state.tree.tighten()
	if err := made.state.finishIndexes(); err != nil {
		return err
	}
	db.clock.goesOnFrom(made.time)
	if made.state.offset < db.Offset() {
		return fmt.Errorf("%w: snapshots and log end with %d, but %d is shown", wal.ErrDiverged, made.state.offset, db.Offset())
	}
	db.opts.Logger.Info("follower went on from a snapshot", "dir", db.dir, "snapshot", b.path, "from", db.Offset(), "to", made.state.offset)
	db.visible.mu.Lock()
	db.visible.replace(made.state)
	db.visible.mu.Unlock()
	f.shown()
	return nil
}

// countSnapshots notes what the writer's checkpoints have come to.
func (f *follower) countSnapshots() {
	if f == nil {
		return
	}
	places, err := f.db.snapshots.list()
	if err != nil || len(places) == 0 {
		return // They are as they were; or a directory that can't be read ends following.
	}
	bytes := int64(0)
	for _, segment := range f.db.log.Segments() {
		if segment.Last > places[0].Offset {
			bytes += segment.Bytes
		}
	}
	c := &f.db.checkpoints
	c.logBytes.Store(bytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.count(places)
	c.stats.Offset = places[0].Offset
}

// looked notes a look of the log. It returns what has ended the store's part, so that the log's ends too.
func (f *follower) looked(last uint64, at time.Time) error {
	visible := f.db.Offset()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = glance{last, at}
	if n := len(f.pending); n < looksKept && (n == 0 || f.pending[n-1].last < last) {
		f.pending = append(f.pending, f.latest)
	}
	if last <= visible {
		f.fresh = at
	}
	f.age(visible)
	return f.err
}

// shown notes that more is visible.
func (f *follower) shown() {
	visible := f.db.Offset()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.age(visible)
}

// age lets go of the looks of which everything is visible. mu is held.
func (f *follower) age(visible uint64) {
	for len(f.pending) > 0 && f.pending[0].last <= visible {
		if at := f.pending[0].at; at.After(f.fresh) {
			f.fresh = at
		}
		f.pending = f.pending[1:]
	}
}

// lag returns how far the store lags, and what has ended following.
func (f *follower) lag() (FollowLag, error) {
	if f == nil {
		return FollowLag{}, nil
	}
	visible := f.db.Offset()
	f.mu.Lock()
	defer f.mu.Unlock()
	lag := FollowLag{Age: time.Since(f.fresh)}
	if f.latest.last > visible {
		lag.Commits = f.latest.last - visible
	}
	return lag, f.err
}
