package wal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Log is an append-only sequence of records in a directory. Its methods may be called concurrently.
//
// It has three parts: a list of segments, the last of which is active; a committer that writes groups of records; and the
// submit lock, whose holder decides what comes next: it lays out frames, rolls, and truncates. Readers see first ≤ offset ≤
// acknowledged, and durable is at most that, or the same under SyncAlways.
//
// Locks, in the order in which they are taken: truncateMu, submitMu, committer.mu, segments.mu.
type Log struct {
	dir      string
	opts     Options
	recovery Recovery
	damage   *CorruptError // Where a read-only log ends before its time.

	*committer
	segments segments
	rebuilt  atomic.Uint64 // Indexes made again.
	proven   atomic.Uint64 // In a read-only log: the last offset that is proven durable.

	truncateMu sync.Mutex // Held to truncate and close, also while segments are archived and appends go on.
	dropped    []uint64   // Bases of truncated segments with files to remove; their names aren't used again. Guarded by truncateMu.
	submitMu   sync.Mutex
	ended      bool // Close has begun. Guarded by submitMu.
	unmappable bool // Files can't be mapped. Guarded by submitMu.

	background
}

// Open opens the log in a directory, which it makes where it isn't there. It judges the log's end and mends what a
// crash left unfinished (Recovery says what that was), or refuses with a *CorruptError where bytes are damaged that were
// durable. Only the last segment is read as a whole; damage to a record of another one shows when that is read.
//
// A log that is opened with Options.ReadOnly changes nothing on disk. It opens a damaged log too: what comes before the
// damage can be read, and reading on gives the *CorruptError.
//
// Two processes must not have one log open for writing. Nothing here prevents that: the caller locks.
func Open(dir string, opts Options) (*Log, error) {
	l, err := newLog(dir, opts)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	open := l.openForWriting
	if l.opts.ReadOnly {
		open = l.openReadOnly
	}
	if v, err := open(); err != nil {
		err = fmt.Errorf("open log %s: %w", dir, errors.Join(err, v.close(), l.segments.close()))
		if errors.Is(err, ErrCorrupt) {
			l.opts.Logger.Error("log is refused as damaged", "dir", dir, "error", err)
		}
		return nil, err
	}
	r := &l.recovery
	r.First, r.Last, r.Segments = l.First(), l.Last(), len(l.segments.list)
	r.Elapsed = time.Since(started)
	l.report()
	if !l.opts.ReadOnly {
		l.meter.checkSpace()
	}
	l.startBackground()
	return l, nil
}

// newLog returns a log that has no segments yet.
func newLog(dir string, opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if opts.QuarantineDir == "" {
		opts.QuarantineDir = joinName(dir, "quarantine")
	}
	for _, path := range []*string{&dir, &opts.QuarantineDir, &opts.ArchiveDir} {
		if *path, err = absolute(opts.FS, *path); err != nil {
			return nil, err
		}
	}
	l := &Log{dir: dir, opts: opts}
	l.wake = make(chan struct{}, 1)
	l.committer = newCommitter(opts, newMeter(dir, opts))
	l.full = l.wakeBackground
	return l, nil
}

// absolute returns a path that outlives a change of the working directory.
func absolute(fs vfs.FS, path string) (string, error) {
	if fs != vfs.OS || path == "" {
		return path, nil
	}
	return filepath.Abs(path)
}

// report logs what Open found. A read-only open changes nothing, and beside a live writer it always finds what was not closed, so it
// is no reason for a warning.
func (l *Log) report() {
	r := l.recovery
	level := slog.LevelDebug
	if !l.opts.ReadOnly && (r.Outcome == Torn || len(r.RebuiltIndexes) > 0 || len(r.Removed) > 0) {
		level = slog.LevelWarn
	}
	l.opts.Logger.Log(context.Background(), level, "log opened", "dir", l.dir, "outcome", r.Outcome, "first", r.First, "last", r.Last,
		"segments", r.Segments, "cut_bytes", r.CutBytes, "cut_path", r.CutPath, "cut_position", r.CutPosition,
		"quarantine", r.QuarantinePath, "relogged_bytes", r.ReloggedBytes, "rebuilt_indexes", r.RebuiltIndexes,
		"removed", r.Removed, "elapsed", r.Elapsed)
}

// Close makes every record durable, seals the log and closes its files. Readers that are under way end with ErrClosed or
// finish what they can still read. A second Close returns ErrClosed.
func (l *Log) Close() error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.submitMu.Lock()
	if l.ended {
		l.submitMu.Unlock()
		return ErrClosed
	}
	l.ended = true
	l.stopBackground()
	err := l.sealForGood()
	l.committer.close()
	l.submitMu.Unlock()
	l.writers.Wait() // The last write could land in the files after they were opened again.
	l.awaitShown()
	return errors.Join(err, l.segments.close())
}

// sealForGood ends the active segment with the seal of a clean close, unless it has one. Its index, written after that, is a
// second witness of the end in another file.
func (l *Log) sealForGood() error {
	if l.opts.ReadOnly {
		return nil
	}
	if err := l.settle(); err != nil {
		return err
	}
	active := l.segments.active()
	if !active.store.sealed.Load() {
		if err := active.store.seal(kindClosed, l.First()); err != nil {
			return l.failWith(err)
		}
		active.wrong.Store(true)
	}
	for _, g := range l.segments.list {
		if g.wrong.Load() {
			l.keepIndex(g, true)
		}
	}
	return nil
}

// First returns the offset of the first record held; it is Last()+1 where the log is empty.
func (l *Log) First() uint64 { return l.segments.first.Load() }

// Last returns the offset of the last acknowledged record; it is First()-1 where the log is empty.
func (l *Log) Last() uint64 { return l.acknowledged.Load() }

// Durable returns the offset of the last record that a power cut can't take. A log that was opened for reading only knows that
// of records that a later frame, or the seal of a close, proves to be durable.
func (l *Log) Durable() uint64 {
	if l.opts.ReadOnly {
		return l.proven.Load()
	}
	for {
		epoch := l.segments.epoch.Load()
		s := l.segments.activeStore.Load()
		durable := min(s.head.base-1+s.durable.records(), l.Last())
		if l.segments.epoch.Load() == epoch { // Otherwise the end was cut in between.
			return durable
		}
	}
}

// ID returns the identity that the log was given when it was made.
func (l *Log) ID() [16]byte { return l.segments.activeStore.Load().head.id }

// Recovery returns what Open found and did.
func (l *Log) Recovery() Recovery { return l.recovery }

// syncsSeldom reports whether a sync is not part of every append.
func (l *Log) syncsSeldom() bool { return l.opts.Sync != SyncAlways }

// sticky makes an error final for the log if it is one of a write or sync.
func (l *Log) sticky(err error) error {
	if err != nil && errors.Is(err, ErrFailed) {
		return l.failWith(err)
	}
	return err
}

// newSalt returns a number that no other store has.
func newSalt() uint64 {
	var salt [8]byte
	for binary.LittleEndian.Uint64(salt[:]) == 0 {
		_, _ = rand.Read(salt[:]) // It never fails: crypto/rand ends the process instead.
	}
	return binary.LittleEndian.Uint64(salt[:])
}
