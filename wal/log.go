package wal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Log is an append-only sequence of records in a directory. Its methods may be called concurrently.
//
// Locks, in the order in which they are taken: truncateMu, submitMu, mu, segmentsMu.
//
// Invariants:
//   - first ≤ offset ≤ acknowledged is what readers see; durable ≤ acknowledged, or equal to it under SyncAlways;
//   - the last of segments is active, and the only one that is written to;
//   - once failed is set nothing is written any more.
type Log struct {
	dir      string
	opts     Options
	id       [16]byte
	recovery Recovery

	truncateMu sync.Mutex // Held to truncate and close, also while segments are archived and appends go on.
	submitMu   sync.Mutex // Held to lay out frames, roll, truncate and close: whatever decides what comes next.
	active     *segment   // Changed under submitMu and mu together.
	unmappable bool       // Files can't be mapped. Guarded by submitMu.

	mu        sync.Mutex
	forming   *group
	flying    *group
	spare     *group // For the next one.
	leading   bool   // A leader writes groups, or has been named.
	landed    uint64 // Groups that have landed.
	shown     uint64 // Those of them that were acknowledged.
	turns     *sync.Cond
	failed    error
	closed    bool
	submitted uint64 // Last offset given out.
	marked    bool   // No record came after the last mark or seal.
	changed   chan struct{}
	stats     counters

	watch   watch
	crowded atomic.Bool    // The last group had more than one record.
	writers sync.WaitGroup // Leaders that are writing. None starts once failed is set.

	first        atomic.Uint64
	acknowledged atomic.Uint64
	durable      atomic.Uint64
	rebuilt      atomic.Uint64 // Indexes rebuilt or corrected.
	epoch        atomic.Uint64 // Changes when offsets are given out again.

	segmentsMu sync.RWMutex
	segments   []*segment
	damage     *CorruptError // Where a read-only log ends before its time.

	background
}

// Open opens the log in a directory, which it makes where it isn't there. It judges the log's end and mends what a
// crash left unfinished (Recovery says what that was), or refuses with a *CorruptError where bytes are damaged that were
// durable. Only the last segment is read as a whole; damage to a record of another one shows when that is read.
//
// A log that is opened with Options.ReadOnly changes nothing on disk. It opens a damaged log too: what is in front of
// the damage can be read, and reading on gives the *CorruptError.
//
// Two processes must not have one log open for writing. Nothing here prevents that: the caller locks.
func Open(dir string, opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if opts.QuarantineDir == "" {
		opts.QuarantineDir = joinName(dir, "quarantine")
	}
	l := &Log{dir: dir, opts: opts, forming: &group{}, marked: true}
	l.turns = sync.NewCond(&l.mu)
	if opts.ReadOnly {
		err = l.openReadOnly()
	} else {
		err = l.recover()
	}
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	l.report()
	l.watchSpace()
	l.startBackground()
	return l, nil
}

// report tells the operator what Open found.
func (l *Log) report() {
	r := l.recovery
	level := slog.LevelDebug
	if r.Outcome == Torn || len(r.RebuiltIndexes) > 0 || len(r.Removed) > 0 {
		level = slog.LevelWarn
	}
	l.opts.Logger.Log(context.Background(), level, "log opened", "dir", l.dir, "outcome", r.Outcome, "first", r.First, "last", r.Last,
		"segments", r.Segments, "cut_bytes", r.CutBytes, "cut_path", r.CutPath, "cut_position", r.CutPosition,
		"quarantine", r.QuarantinePath, "relogged_bytes", r.ReloggedBytes, "rebuilt_indexes", r.RebuiltIndexes,
		"removed", r.Removed, "elapsed", r.Elapsed)
}

// adopt takes over segments that are ready for use; the last one is active.
func (l *Log) adopt(segments []*segment) {
	l.segments = segments
	l.active = segments[len(segments)-1]
	store := l.active.store
	l.id = store.head.id
	l.first.Store(segments[0].base())
	l.submitted = store.next - 1
	l.acknowledged.Store(l.submitted)
	l.durable.Store(l.submitted)
}

// Close makes every record durable, seals the log and closes its files. Readers that are under way end with ErrClosed or
// finish what they can still read. A second Close returns ErrClosed.
func (l *Log) Close() error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.mu.Unlock()
	l.stopBackground()
	err := l.sealForGood()
	l.writers.Wait() // A write of a log that has failed would land in the files after they were opened again.
	l.awaitAcknowledged()
	l.mu.Lock()
	l.closed = true
	l.notify()
	l.mu.Unlock()

	l.segmentsMu.Lock()
	defer l.segmentsMu.Unlock()
	errs := []error{err}
	for _, segment := range l.segments {
		errs = append(errs, segment.release())
	}
	l.segments = nil
	return errors.Join(errs...)
}

// sealForGood ends the active segment with the seal of a clean close, unless it has one.
func (l *Log) sealForGood() error {
	if l.opts.ReadOnly {
		return nil
	}
	if err := l.settle(); err != nil {
		return err
	}
	store := l.active.store
	if store.sealed.Load() {
		return nil
	}
	if err := store.seal(kindClosed, l.first.Load(), store.next-1); err != nil {
		return l.failWith(err)
	}
	return l.active.index.trim(l.active.count())
}

// writable says why the log can't be written to now, if it can't.
func (l *Log) writable() error {
	if l.opts.ReadOnly {
		return ErrReadOnly
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.usable()
}

// First returns the offset of the first record held; it is Last()+1 where the log is empty.
func (l *Log) First() uint64 { return l.first.Load() }

// Last returns the offset of the last acknowledged record; it is First()-1 where the log is empty.
func (l *Log) Last() uint64 { return l.acknowledged.Load() }

// Durable returns the offset of the last record that a power cut can't take.
func (l *Log) Durable() uint64 { return min(l.durable.Load(), l.acknowledged.Load()) }

// ID returns the identity that the log was given when it was made.
func (l *Log) ID() [16]byte { return l.id }

// Recovery returns what Open found and did.
func (l *Log) Recovery() Recovery { return l.recovery }

// hasRoom reports whether the next frame, of this size in bytes, and what may have to follow it fit into the active
// segment and into space that is durably there. The submit lock is held.
func (l *Log) hasRoom(size int64) bool {
	store := l.active.store
	space := store.allocated.Load()
	if l.storesThroughMap() {
		space = store.mapped()
	}
	return !l.isFull(store, size) && l.spaceFor(store, size) <= space && l.active.index.hasRoom(l.active.count()+1)
}

// isFull reports whether a store must not take a frame of this size any more.
func (l *Log) isFull(store *store, size int64) bool {
	return store.next > store.head.base && store.end+size+boundsFrameSize > l.opts.SegmentSize
}

// spaceFor returns the length that a store needs for a frame of this size and the reserve behind it.
func (l *Log) spaceFor(store *store, size int64) int64 {
	space := store.end + size + reserveSize
	if store.sealed.Load() {
		space += boundsFrameSize
	}
	return space
}

// makeRoom does what hasRoom asks for: it rolls or grows. The submit lock is held.
func (l *Log) makeRoom(size int64) error {
	if err := l.writable(); err != nil {
		return err
	}
	defer l.watchSpace()
	if l.isFull(l.active.store, size) {
		if err := l.roll(); err != nil {
			return err
		}
	}
	store := l.active.store
	if need := l.spaceFor(store, size); need > store.allocated.Load() {
		if err := store.grow(l.growTarget(store, need)); err != nil {
			return l.sticky(err)
		}
	}
	l.mapActive()
	return l.sticky(l.active.index.makeRoom(l.active.count() + 1))
}

// reserveSize is what is kept free behind a record: for a mark that proves it, a mark that moves the log's first
// offset, so that truncation works on a full disk, and the seal.
const reserveSize = 3 * boundsFrameSize

// Growth: a store starts small, so that a small log is small on disk, and doubles up to a step that is worth a sync.
const (
	growFraction = 1024
	growMin      = 512
	growStepMax  = 8 << 20
)

// firstSize is how much a new store has allocated. One that follows a full one, in a mode that syncs seldom, gets all
// its space at once: growing later means a sync, and that of all the records that came meanwhile.
func (l *Log) firstSize(base uint64) int64 {
	if l.syncsSeldom() && base > l.first.Load() {
		return l.opts.SegmentSize
	}
	return max(growMin, l.opts.SegmentSize/growFraction)
}

// syncsSeldom reports whether a sync is not part of every append.
func (l *Log) syncsSeldom() bool { return l.opts.Sync != SyncAlways }

// growTarget returns the size to grow a store to so that it has at least need bytes.
func (l *Log) growTarget(store *store, need int64) int64 {
	have := store.allocated.Load()
	target := min(have+min(max(have, growMin), growStepMax), max(l.opts.SegmentSize, have))
	return max(target, need)
}

// sticky makes an error final for the log if it is one of a write or sync.
func (l *Log) sticky(err error) error {
	if err != nil && errors.Is(err, ErrFailed) {
		return l.failWith(err)
	}
	return err
}

// roll ends the active segment and starts the next one. The order is what recovery relies on: the old segment's records
// are durable before the new one exists, the new one exists before the old one's seal says so, and the seal is durable
// before the new one gets its first frame. The submit lock is held.
func (l *Log) roll() error {
	if err := l.settle(); err != nil {
		return err
	}
	old := l.active
	segment, err := l.createSegment(storeHead{
		id: l.id, base: old.store.next, first: l.first.Load(), prevSalt: old.store.head.salt, prevChain: old.store.chain,
	})
	if err != nil {
		return l.sticky(err)
	}
	if err := old.store.seal(kindRolled, l.first.Load(), old.store.next-1); err != nil {
		return l.failWith(errors.Join(err, segment.release()))
	}
	if err := old.index.trim(old.count()); err != nil {
		return l.failWith(errors.Join(err, segment.release()))
	}
	if err := old.store.unmap(); err != nil {
		return l.failWith(errors.Join(err, segment.release()))
	}
	l.install(segment)
	l.opts.Logger.Debug("log rolled", "dir", l.dir, "base", segment.base(), "sealed_bytes", old.store.end)
	return nil
}

// createSegment makes an empty segment, durably.
func (l *Log) createSegment(head storeHead) (*segment, error) {
	head.salt = newSalt()
	store, err := createStore(l.opts.FS, l.dir, head, l.firstSize(head.base), l.syncsSeldom())
	if err != nil {
		return nil, noSpaceOr(err)
	}
	path := joinName(l.dir, indexName(head.base))
	index, err := openIndex(l.opts.FS, path)
	if err != nil {
		l.opts.Logger.Warn("index can't be made; the segment's is kept in memory", "path", path, "error", err)
		index = newMemoryIndex(path)
	}
	return newSegment(store, index, &l.rebuilt), nil
}

// install makes a segment the active one.
func (l *Log) install(segment *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = segment
	l.stats.Rolls++
	l.segmentsMu.Lock()
	defer l.segmentsMu.Unlock()
	l.segments = append(slices.Clip(l.segments), segment)
}

// segmentOf returns the segment that holds an offset, for use until it is released.
func (l *Log) segmentOf(offset uint64) (*segment, error) {
	l.segmentsMu.RLock()
	defer l.segmentsMu.RUnlock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].base() > offset }) - 1
	switch {
	case l.segments == nil:
		return nil, ErrClosed
	case i < 0 || offset < l.first.Load():
		return nil, fmt.Errorf("offset %d, the first held is %d: %w", offset, l.first.Load(), ErrTruncated)
	case offset > l.Last():
		// Whoever asked saw the log before a truncation of its end; the new segment's index is still being written.
		return nil, l.beyond(offset, l.Last())
	}
	l.segments[i].users.Add(1)
	return l.segments[i], nil
}

// newSalt returns a number that no other store has.
func newSalt() uint64 {
	var salt [8]byte
	for binary.LittleEndian.Uint64(salt[:]) == 0 {
		_, _ = rand.Read(salt[:]) // It never fails: crypto/rand ends the process instead.
	}
	return binary.LittleEndian.Uint64(salt[:])
}
