package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// restoringName is there while a store is being restored: without it, one that died half-way could be taken for a store.
const restoringName = "RESTORING"

// RestoreOptions say what to restore besides a backup, and up to when. The zero value restores the backup alone.
type RestoreOptions struct {
	// Increments are what BackupSince wrote, one after the other.
	Increments []io.Reader
	// Archive are directories with segments of the store's log: what Options.ArchiveDir named, and the store's own
	// directory wal where that is left.
	Archive []string
	// ToOffset is the commit whose state to restore; 0 is the last one that there is.
	ToOffset uint64
	// ToTime, unless it is zero, restores the last commit that was made at that time or before.
	ToTime time.Time
	// Compression says how the restored snapshot is stored.
	Compression Compression
	// Logger gets what an operator should know. The default discards it.
	Logger *slog.Logger
	// Progress, if set, is called ten times a second at most.
	Progress func(Progress)
	// FS is the file system; nil is the operating system's. Its type is internal: it is there for this module's tests.
	FS vfs.FS
}

// Restore makes a store in a new or empty directory from a backup, which it reads to its end and no further, and returns
// the offset of the last commit in it; the next commit gets the one behind that. The store has an identity of its own, so
// that nobody takes its history for that of the store which was backed up.
//
// With increments, an archive, or both it goes on from the backup to the offset or time asked for, and holds the store in
// memory meanwhile. An error leaves nothing behind: ErrNotEmpty; ErrMismatch; ErrCorrupt, where the backup, an increment or
// the archive is damaged or lacks a part; ErrVersion; ErrTruncated for a target in front of the backup; ErrOutOfRange for one
// that lies behind what there is; ErrNoSpace, ctx's, or one of the file system. A Restore that was killed leaves a directory
// that no store opens in, and which another Restore may use.
func Restore(ctx context.Context, backup io.Reader, dir string, opts RestoreOptions) (offset uint64, err error) {
	r, err := newRestore(ctx, dir, opts)
	if err == nil {
		offset, err = r.run(backup)
	}
	if err != nil {
		return 0, fmt.Errorf("kv: restore %s: %w", dir, noSpace(snapshotError(err)))
	}
	return offset, nil
}

// restore is a Restore under way.
type restore struct {
	ctx  context.Context
	dir  string
	opts RestoreOptions
	kv   Options // What the store's own code needs to know.
	pace *pace
}

func newRestore(ctx context.Context, dir string, opts RestoreOptions) (*restore, error) {
	own, err := Options{
		SnapshotCompression: opts.Compression, Logger: opts.Logger, Progress: opts.Progress, FS: opts.FS, CheckpointFactor: -1,
	}.withDefaults()
	return &restore{ctx: ctx, dir: dir, opts: opts, kv: own, pace: newPace(own.Progress)}, err
}

// run takes the directory, restores, and gives up everything where that fails.
func (r *restore) run(backup io.Reader) (offset uint64, err error) {
	missing, err := r.check()
	if err != nil {
		return 0, err
	}
	if err := r.kv.FS.MkdirAll(r.dir); err != nil {
		return 0, err
	}
	lock, err := r.kv.FS.Lock(filepath.Join(r.dir, lockName))
	if err != nil {
		return 0, err
	}
	// Somebody may have made a store here before the lock was taken. What undo removes must be this restore's own.
	if _, err := r.check(); err != nil {
		return 0, errors.Join(err, lock.Close())
	}
	if err = r.claim(); err == nil {
		offset, err = r.fill(backup)
	}
	if err == nil {
		err = r.finish()
	}
	if err != nil {
		err = errors.Join(err, r.undo(missing))
	}
	return offset, errors.Join(err, lock.Close())
}

// check refuses a directory that holds anything but what a restore has left that died. missing says that there is none.
func (r *restore) check() (missing bool, err error) {
	entries, err := r.kv.FS.List(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	isMarker := func(e vfs.Entry) bool { return e.Name == restoringName }
	for _, entry := range entries {
		if entry.Name != lockName && !slices.ContainsFunc(entries, isMarker) {
			return false, fmt.Errorf("%w: %s is in it", ErrNotEmpty, entry.Name)
		}
	}
	return false, nil
}

// claim makes sure that nobody takes the directory for a store, or for empty.
func (r *restore) claim() error {
	marker, err := r.kv.FS.Create(filepath.Join(r.dir, restoringName))
	if errors.Is(err, fs.ErrExist) {
		return r.clear()
	}
	if err != nil {
		return err
	}
	return errors.Join(marker.Close(), r.kv.FS.SyncDir(r.dir))
}

// clear removes what was made but for the marker.
func (r *restore) clear() error {
	for _, name := range []string{walName, snapshotName, quarantineName} {
		if err := r.removeAll(filepath.Join(r.dir, name)); err != nil {
			return err
		}
	}
	return r.kv.FS.SyncDir(r.dir)
}

// fill makes the log and the snapshot.
func (r *restore) fill(backup io.Reader) (uint64, error) {
	in, err := snapshot.NewReader(backup, snapshot.Options{})
	if err != nil {
		return 0, err
	}
	head := in.Header()
	if head.Kind != kindPairs || head.From != 0 {
		return 0, fmt.Errorf("%w: the backup is an increment from offset %d", ErrMismatch, head.From)
	}
	if err := r.reachable(head); err != nil {
		return 0, err
	}
	if len(r.opts.Increments)+len(r.opts.Archive) == 0 {
		return head.Offset, r.write(head, checked(in.Entries()))
	}
	state, err := loadState(head.Offset, nil, decodePairs(in.Entries()), func(loaded uint64) { r.pace.tell(Progress{Loaded: loaded}) })
	if err != nil {
		return 0, err
	}
	if err := r.advance(state, head); err != nil {
		return 0, err
	}
	head.Offset = state.offset
	return state.offset, r.write(head, func(yield func(snapshot.Entry, error) bool) {
		for key, data := range state.entries() {
			if !yield(snapshot.Entry{Key: key, Data: data}, nil) {
				return
			}
		}
	})
}

// reachable refuses a target that lies in front of the backup, or behind it where nothing goes on from there.
func (r *restore) reachable(head snapshot.Header) error {
	alone := len(r.opts.Increments)+len(r.opts.Archive) == 0
	switch to := r.opts.ToOffset; {
	case to != 0 && to < head.Offset:
		return fmt.Errorf("%w: the target %d lies in front of the backup, which is as of %d", ErrTruncated, to, head.Offset)
	case alone && to > head.Offset:
		return fmt.Errorf("%w: the target %d lies behind the backup, which is as of %d", ErrOutOfRange, to, head.Offset)
	}
	switch to := r.opts.ToTime; {
	case to.IsZero():
	case to.Before(head.Time):
		return fmt.Errorf("%w: the target %v lies in front of the backup, which is as of %v", ErrTruncated, to, head.Time)
	case alone && to.After(head.Time):
		return fmt.Errorf("%w: the target %v lies behind the backup, which is as of %v", ErrOutOfRange, to, head.Time)
	}
	return nil
}

// checked yields entries, and an error instead of one that is no pair.
func checked(entries iter.Seq2[snapshot.Entry, error]) iter.Seq2[snapshot.Entry, error] {
	return func(yield func(snapshot.Entry, error) bool) {
		for e, err := range entries {
			if err == nil {
				_, err = decodePair(e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// write makes the store's files: a log that goes on behind the offset, and a snapshot of everything up to it.
func (r *restore) write(head snapshot.Header, entries iter.Seq2[snapshot.Entry, error]) error {
	log, err := openWAL(r.dir, r.kv)
	if err != nil {
		return err
	}
	head.ID = log.ID()
	if err := errors.Join(log.Reset(head.Offset+1), log.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	_, _, err = snapshot.Write(ctx, r.kv.FS, r.snapshotDir(), head, r.kv.snapshot(), func(yield func(key, data []byte) bool) {
		for e, err := range entries {
			if err != nil {
				cancel(err)
				return
			}
			if !yield(e.Key, e.Data) {
				return
			}
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause // What ended the entries; the snapshot was withdrawn.
	}
	return err
}

// advance applies increments and the archive to a state, up to the target.
func (r *restore) advance(s *state, head snapshot.Header) error {
	target := target{offset: r.opts.ToOffset, time: r.opts.ToTime}
	for i, increment := range r.opts.Increments {
		if err := r.addIncrement(increment, s, head.ID, &target); err != nil {
			return fmt.Errorf("increment %d: %w", i+1, err)
		}
	}
	if len(r.opts.Archive) > 0 && !target.reached {
		if err := r.addArchive(s, head.ID, &target); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
	}
	return target.check(s.offset)
}

// target is where a restore is to end.
type target struct {
	offset  uint64    // 0 is any.
	time    time.Time // The zero time is any.
	reached bool
}

// admits reports whether a commit belongs into the restored store, and whether more can follow.
func (t *target) admits(offset uint64, at time.Time) bool {
	if t.offset != 0 && offset > t.offset || !t.time.IsZero() && at.After(t.time) {
		t.reached = true
	}
	return !t.reached
}

// check refuses what ended in front of the target.
func (t *target) check(last uint64) error {
	switch {
	case t.reached || t.offset == 0 && t.time.IsZero() || t.offset != 0 && last == t.offset:
		return nil
	case t.offset != 0:
		return fmt.Errorf("%w: the target is %d, and what there is ends with %d", ErrOutOfRange, t.offset, last)
	}
	return fmt.Errorf("%w: the target is %v, and what there is ends with commit %d, made before it", ErrOutOfRange, t.time, last)
}

// addIncrement applies the commits of an increment that the state doesn't have.
func (r *restore) addIncrement(increment io.Reader, s *state, id [16]byte, target *target) error {
	in, err := snapshot.NewReader(increment, snapshot.Options{})
	if err != nil {
		return err
	}
	switch head := in.Header(); {
	case head.Kind != kindRecords:
		return fmt.Errorf("%w: it is a whole backup", ErrMismatch)
	case head.ID != id:
		return fmt.Errorf("%w: it is of another store: its identity is %x, the backup's %x", ErrMismatch, head.ID, id)
	case head.From > s.offset:
		return fmt.Errorf("%w: it begins behind commit %d, and what is in front of it ends with %d", ErrMismatch, head.From, s.offset)
	}
	for e, err := range in.Entries() {
		if err == nil && len(e.Key) != 8 {
			err = &CorruptError{Err: fmt.Errorf("an entry's key has %d bytes, not the 8 of an offset", len(e.Key))}
		}
		if err != nil {
			return err
		}
		record := wal.Record{Offset: binary.BigEndian.Uint64(e.Key), Payload: e.Data}
		if err := r.add(record, s, target, undecodableIn("")); err != nil {
			return err
		}
	}
	return nil
}

// addArchive applies the commits of the archive that the state doesn't have.
func (r *restore) addArchive(s *state, id [16]byte, target *target) (err error) {
	archive, err := wal.OpenArchive(r.kv.log(r.dir), r.opts.Archive...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	switch {
	case archive.ID() != id:
		return fmt.Errorf("%w: it is of another store: its identity is %x, the backup's %x", ErrMismatch, archive.ID(), id)
	case archive.First() > s.offset+1:
		return fmt.Errorf("%w: it begins with commit %d, and what is in front of it ends with %d", ErrMismatch, archive.First(), s.offset)
	case archive.Last() <= s.offset:
		return nil
	}
	for record, err := range archive.Records(s.offset + 1) {
		if err != nil {
			return err
		}
		if err := r.add(record, s, target, undecodableIn(r.opts.Archive[0])); err != nil {
			return err
		}
		if target.reached || record.Offset == target.offset {
			return nil
		}
	}
	return nil
}

// add applies one commit, unless the state has it or the target lies in front of it.
func (r *restore) add(record wal.Record, s *state, target *target, refuse func(uint64, error) error) error {
	if record.Offset <= s.offset || target.reached {
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if record.Offset != s.offset+1 {
		return &CorruptError{Offset: record.Offset, Err: fmt.Errorf("commit %d follows commit %d", record.Offset, s.offset)}
	}
	at, mutations, err := decodeRecord(record.Payload, nil)
	if err != nil {
		return refuse(record.Offset, err)
	}
	if target.admits(record.Offset, time.Unix(0, at)) {
		s.apply(record.Offset, mutations)
		r.pace.tell(Progress{Offset: s.offset, Last: max(s.offset, target.offset)})
	}
	return nil
}

// undecodableIn says that a record of a file, or of a directory of them, is no commit.
func undecodableIn(path string) func(offset uint64, err error) error {
	return func(offset uint64, err error) error {
		if errors.Is(err, ErrVersion) {
			return fmt.Errorf("commit %d: %w", offset, err)
		}
		return &CorruptError{Path: path, Offset: offset, Err: fmt.Errorf("the record is no commit: %w", err)}
	}
}

// finish makes the directory a store.
func (r *restore) finish() error {
	if err := r.kv.FS.Remove(filepath.Join(r.dir, restoringName)); err != nil {
		return err
	}
	return r.kv.FS.SyncDir(r.dir)
}

// undo removes what was made, the marker last, and the directory where that was missing.
func (r *restore) undo(missing bool) error {
	if err := r.clear(); err != nil {
		return err
	}
	if err := ignoreMissing(r.kv.FS.Remove(filepath.Join(r.dir, restoringName))); err != nil || !missing {
		return err
	}
	return errors.Join(ignoreMissing(r.kv.FS.Remove(filepath.Join(r.dir, lockName))), r.kv.FS.Remove(r.dir))
}

// removeAll removes a directory that a restore made, with all that is in it.
func (r *restore) removeAll(dir string) error {
	entries, err := r.kv.FS.List(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name)
		if entry.Dir {
			err = r.removeAll(path)
		} else {
			err = ignoreMissing(r.kv.FS.Remove(path))
		}
		if err != nil {
			return err
		}
	}
	return ignoreMissing(r.kv.FS.Remove(dir))
}

func (r *restore) snapshotDir() string { return filepath.Join(r.dir, snapshotName) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
