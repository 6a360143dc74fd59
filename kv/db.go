package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

// The names in a store's directory.
const (
	lockName       = "LOCK"
	archiveName    = "ARCHIVE" // Says that the store has an archive: see Options.ArchiveDir.
	replicaName    = "REPLICA" // Says that the store is a replica: see Member.
	walName        = "wal"
	snapshotName   = "snapshot"
	quarantineName = "quarantine"
)

// DB is an open store. Its methods may be called concurrently.
//
// Lock order: mu, then the locks of the log or of visible. mu is not held while the disk works on a commit; it is while
// the function of an Update runs, and while the log takes a record, which waits for the disk only where room was not made
// ahead of need.
//
// Invariants:
//   - visible is the state after the first commits that have offsets, all of them acknowledged by the log; then come those of
//     layers, a layer for each of the log's groups in their order, up to last;
//   - in the relaxed modes there are no layers.
type DB struct {
	dir      string
	opts     Options
	clock    *clock
	now      func() int64 // The clock's; tests replace it where nothing runs by itself yet.
	log      *wal.Log
	lock     vfs.Lock // Of the directory; nil in a read-only store.
	recovery Recovery

	visible  visibleState
	views    viewList // Open views.
	feed     feed
	follow   *follower    // nil where the store doesn't follow a writer.
	replica  *Replica     // nil where the store isn't one that takes entries.
	commits  timer        // How long commits take.
	backedUp atomic.Int64 // When the last backup ended, in nanoseconds since 1970; 0 if there was none.

	committing atomic.Int32 // Commits in progress, and writers that rest.
	waiting    atomic.Int32 // Checkpoints and backups that have given their processor away.
	processors int32        // That all of them have to share.

	snapshots   *inventory
	checkpoints checkpoints
	sweeper     sweeper

	mu        sync.Mutex
	last      uint64         // The last offset given out.
	layers    []*layer       // Commits that the log has and readers don't see yet, oldest first.
	apart     *apart         // The large commit that is being applied; nil where there is none.
	failed    error          // Why there are no more commits.
	full      bool           // The last commit was refused because the disk was full.
	inflight  sync.WaitGroup // Calls that use the log; none is added once closed is set.
	apartTurn chan struct{}  // Holds a token while there is a large commit.

	closing sync.Mutex // Taken after mu, for a moment.
	closed  bool       // Written under mu and closing, so that either is enough for reading.

	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in a directory, or makes one where the directory is missing or empty. It loads the newest snapshot and
// replays the log after it, which takes time in proportion to both. What opening found is in DB.Recovery and goes to
// Options.Logger, and so does the error: ErrNotStore, ErrLocked, ErrVersion, ErrCorrupt, or one of the file system.
func Open(dir string, opts Options) (*DB, error) { return OpenContext(context.Background(), dir, opts) }

// OpenContext is Open for a caller that may give up waiting. Loading and replaying end soon once ctx is done, and the error wraps
// ctx's; the log's own recovery, which changes files, is not interrupted. Once the store is open, ctx counts no longer.
func OpenContext(ctx context.Context, dir string, opts Options) (*DB, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	db := newDB(dir, opts)
	db.opts.landed = db.landed
	if db.follow = newFollower(db); db.follow != nil {
		db.opts.looked = db.follow.looked
	}
	if err := db.start(ctx); err != nil {
		return nil, err
	}
	return db, nil
}

// newDB returns a store that isn't open yet.
func newDB(dir string, opts Options) *DB {
	db := &DB{dir: dir, opts: opts, snapshots: newInventory(dir, opts), clock: newClock(opts.Clock), apartTurn: make(chan struct{}, 1)}
	db.now, db.processors = db.clock.now, int32(runtime.GOMAXPROCS(0))
	return db
}

// start opens the store, or gives back what it has taken.
func (db *DB) start(ctx context.Context) error {
	if err := db.open(ctx); err != nil {
		err = errors.Join(err, db.release())
		db.opts.Logger.Error("store not opened", "dir", db.dir, "error", err)
		return fmt.Errorf("kv: open %s: %w", db.dir, err)
	}
	db.logRecovery()
	return nil
}

// open takes the lock before it touches anything of the store. If it fails, the caller releases what it has taken.
func (db *DB) open(ctx context.Context) (err error) {
	started := time.Now()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkDir(db.dir, db.opts); err != nil {
		return err
	}
	if err := makeArchive(db.dir, db.opts); err != nil { // Before the store is marked as one that has it.
		return err
	}
	if !db.opts.ReadOnly {
		if err := db.opts.fs.MkdirAll(db.dir); err != nil {
			return err
		}
		if db.lock, err = db.opts.fs.Lock(filepath.Join(db.dir, lockName)); err != nil {
			return err
		}
		// A restore that died may have removed its marker, and not durably: a power cut must not bring that back later.
		if err := db.opts.fs.SyncDir(db.dir); err != nil {
			return err
		}
	}
	if db.opts.replicated, err = db.opts.member.join(db.dir, db.opts); err != nil {
		return err
	}
	var recovered *state
	err = db.snapshots.whileSteady(func() error {
		if err := db.openLog(); err != nil {
			return err
		}
		recovered, err = db.recover(ctx)
		return err
	})
	if err != nil {
		return err
	}
	recovered.tree.tighten()
	if err := recovered.finishIndexes(); err != nil {
		return err
	}
	db.recovery.Elapsed = time.Since(started)
	db.last = recovered.offset
	db.visible.start(recovered)
	db.startCheckpoints()
	db.replica.start()
	db.beginToSweep()
	db.follow.start()
	return nil
}

// openLog opens the log, perhaps again.
func (db *DB) openLog() error {
	if db.log != nil {
		if err := db.log.Close(); err != nil {
			return err
		}
	}
	db.log, db.recovery = nil, Recovery{}
	places, err := db.snapshots.list() // First, since a live writer takes snapshots of what the log has.
	if err != nil {
		return err
	}
	if db.log, err = openWAL(db.dir, db.opts, places); err != nil {
		return err
	}
	db.snapshots.log = db.log
	if db.opts.ReadOnly {
		return syncShown(db.dir, db.opts, db.log)
	}
	if db.opts.replicated {
		err = db.finishInstall()
	}
	if err == nil && db.opts.ArchiveDir != "" {
		err = markDir(db.opts.fs, db.dir, archiveName)
	}
	return err
}

// syncShown makes durable what a log that is only read is about to show, and that the directory is a store, since the writer, or a
// restore that died, may not have done so yet. A file system that can't sync, such as an image that is only read, or that became
// read-only after an error, is as durable as it gets: of the records the log says so.
func syncShown(dir string, opts Options, log *wal.Log) error {
	if err := log.Sync(); err != nil {
		return err
	}
	if err := opts.fs.SyncDir(dir); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EROFS) {
		return err
	}
	return nil
}

func (db *DB) walDir() string { return filepath.Join(db.dir, walName) }

// Close waits for the commits in progress, makes every commit durable in every mode, and releases the lock. Checkpoints,
// increments and calls of At that are in progress end with ErrClosed. Scans, Views, ReadViews and Backups go on with what they
// see. If the store has failed, Close returns why, and releases everything all the same. Calling it again returns the same.
//
// Close takes a checkpoint by itself where one is due, or where it takes less time than the next start would need for the log: where the
// log after the newest snapshot has a quarter of Options.CheckpointFloor, and more bytes than the data. That takes up to some seconds: with more
// than 1 GiB of data it takes none, nor in a replica. If the checkpoint fails, that is logged, and Close goes on; but where it finds that
// the store's lock is lost, as with a directory that was removed, the store has failed. A negative Options.CheckpointFactor leaves it
// out, and CheckpointOnClose takes one in any case.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		db.mu.Lock()
		db.closing.Lock()
		db.closed = true
		db.closing.Unlock()
		db.mu.Unlock()
		db.stopCheckpoints()
		db.sweeper.done.Wait()
		db.follow.stop()
		db.inflight.Wait()
		db.replica.stop()
		checkpointErr := db.lastCheckpoint()
		db.visible.close()
		db.closeErr = errors.Join(checkpointErr, db.release())
		db.mu.Lock()
		if db.layers = nil; db.closeErr == nil {
			db.closeErr = db.failed
		}
		db.mu.Unlock()
	})
	return db.closeErr
}

// release closes the log, then releases the lock: no other process may open the log while it is being closed.
func (db *DB) release() error {
	var err error
	if db.log != nil {
		err = db.log.Close()
	}
	if db.lock != nil {
		err = errors.Join(err, db.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("kv: close %s: %w", db.dir, err)
	}
	return nil
}

// enter registers a call that uses the log, which ends with inflight.Done unless there was an error. The caller holds mu or closing.
func (db *DB) enter() error {
	if db.closed {
		return ErrClosed
	}
	db.inflight.Add(1)
	return nil
}

// untilClosed returns a context that also ends, with ErrClosed, when the store is being closed.
func (db *DB) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(db.checkpoints.ctx, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// use is enter for callers that don't hold mu. It doesn't wait for the function of an Update.
func (db *DB) use(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	db.closing.Lock()
	defer db.closing.Unlock()
	return db.enter()
}

// Get returns the value of a key as of the last visible commit. The value is read-only and stays valid. The error is
// ErrNotFound, ErrClosed, ErrEmptyKey or ErrKeyTooLarge. It allocates nothing.
func (db *DB) Get(key []byte) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return db.visible.get(key, db.now)
}

// Scan yields the pairs of a range in order, all as of the moment at which the iteration starts. Keys and values are read-only
// and stay valid. Writers don't wait for it, however long it takes. The range's bounds must not be changed while it goes on. In a
// closed store the iteration panics with ErrClosed, since no pairs would mean an empty range. Where Close may come before the
// iteration, as at a shutdown, scan in a View, which returns ErrClosed. A scan in progress isn't disturbed by Close.
func (db *DB) Scan(r Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		visible := db.visible.load()
		if visible == nil {
			panic(ErrClosed)
		}
		visible.scan(r, db.now())(yield)
	}
}

// ScanIndex yields the visible pairs in the order of their keys in an index of Options.Indexes, then of their own keys, all as of
// the moment at which the iteration starts. Start, End, Prefix and After of the range apply to the index key, Reverse to both orders.
// A pair comes once for each of its index keys in the range; Limit counts that. For the rest it is as Scan, so it panics with ErrClosed
// in a closed store; and so it does where no index has the name, and where the index's function has proved not to be pure.
func (db *DB) ScanIndex(name string, r Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		visible := db.visible.load()
		if visible == nil {
			panic(ErrClosed)
		}
		visible.scanIndex(name, r, db.now())(yield)
	}
}

// Offset returns the offset of the last visible commit, 0 where there is none or the store is closed. In a replica it is that of the
// last entry that was applied, which may have changed nothing.
func (db *DB) Offset() uint64 { return db.visible.offset.Load() }
