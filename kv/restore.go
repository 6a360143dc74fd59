package kv

import (
	"context"
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
)

// restoringName is there while a store is being restored. Without it, an unfinished one could be taken for a store.
const restoringName = "RESTORING"

// RestoreOptions say what to restore besides a backup, and up to when. The zero value restores the backup alone.
type RestoreOptions struct {
	// Increments are what BackupSince wrote, each one going on where the last one ends, or before that.
	Increments []io.Reader
	// Archive are directories with segments of the store's log: Options.ArchiveDir, and the store's directory wal if it is left. Those of
	// a replica are one node's; the backup may be another's. Of its wal counts what is known to be agreed upon.
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

	fs vfs.FS // The file system; nil is the operating system's.
}

// Restore makes a store in a new or empty directory from a backup, which it reads to its end and no further, and returns
// the offset of the last commit in it; the next commit gets the one after that. The store has its own identity, so that its
// history isn't taken for that of the store which was backed up.
//
// With increments, an archive, or both it goes on from the backup to the offset or time asked for, and holds the store in
// memory meanwhile. It reads all increments to their ends and, for a time, all of the archive, since a clock may have been
// set back; a gap in a replica's archive ends that where the commits before it are later than the time. An error leaves nothing:
// ErrNotEmpty; ErrMismatch; ErrNotBackup; ErrCorrupt, whose Path is "backup", "increment 1" and so on, or a file's; ErrVersion;
// ErrTruncated for a target before the backup, or after a gap in the archive; ErrOutOfRange for one after the last commit there is;
// ErrNoSpace, ctx's, or one of the file system. A Restore that was killed, or can't remove what it made, leaves what no store opens and
// another Restore may use; but where the disk fails for good at the last step, the whole store stays.
func Restore(ctx context.Context, backup io.Reader, dir string, opts RestoreOptions) (offset uint64, err error) {
	own, err := Options{
		SnapshotCompression: opts.Compression, Logger: opts.Logger, Progress: opts.Progress, fs: opts.fs, CheckpointFactor: -1,
	}.withDefaults()
	if err == nil {
		r := &restore{ctx: ctx, dir: dir, opts: opts, kv: own, to: target{opts.ToOffset, opts.ToTime}, report: limited(own.Progress)}
		offset, err = r.run(backup)
	}
	if err != nil {
		return 0, fmt.Errorf("kv: restore %s: %w", dir, noSpace(err))
	}
	return offset, nil
}

// restore is a Restore in progress.
type restore struct {
	ctx    context.Context
	dir    string
	opts   RestoreOptions
	kv     Options // What the store's own code needs to know.
	to     target
	report func(Progress)
}

// run makes and locks the directory, and restores. Where that fails, it removes the directories that it made, and leaves a lock
// file only if there was one.
func (r *restore) run(backup io.Reader) (offset uint64, err error) {
	hasLock, err := r.check()
	if err != nil {
		return 0, err
	}
	var missing []string
	for dir := r.dir; ; dir = filepath.Dir(dir) {
		if _, err := r.kv.fs.List(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	defer func() {
		for _, dir := range missing {
			if err != nil {
				_ = r.kv.fs.Remove(dir) // Unless something else is in it by now.
			}
		}
	}()
	if err := r.kv.fs.MkdirAll(r.dir); err != nil {
		return 0, err
	}
	lockPath := filepath.Join(r.dir, lockName)
	lock, err := r.kv.fs.Lock(lockPath)
	if err != nil {
		return 0, err
	}
	// Another restore may have made a store here before the lock was taken. What is removed must be this restore's own.
	if _, err = r.check(); err == nil {
		offset, err = r.fillClaimed(backup)
		if err != nil && !hasLock {
			err = errors.Join(err, r.kv.fs.Remove(lockPath))
		}
	}
	return offset, errors.Join(err, lock.Close())
}

// fillClaimed makes the store. A marker says meanwhile that the directory is neither a store nor empty.
func (r *restore) fillClaimed(backup io.Reader) (offset uint64, err error) {
	marker := filepath.Join(r.dir, restoringName)
	if err = markDir(r.kv.fs, r.dir, restoringName); err == nil {
		err = r.clear()
	}
	if err == nil {
		offset, err = r.fill(backup)
	}
	if err == nil {
		err = r.kv.fs.Remove(marker)
	}
	if err == nil {
		err = r.kv.fs.SyncDir(r.dir)
	}
	if err != nil {
		err = errors.Join(err, r.takeBack(marker))
	}
	return offset, err
}

// takeBack removes what was made. The marker is there until all of it is gone: without it, what can't be removed would pass for a store,
// or keep another restore away.
func (r *restore) takeBack(marker string) error {
	if err := markDir(r.kv.fs, r.dir, restoringName); err != nil {
		return err
	}
	if err := r.clear(); err != nil {
		return err
	}
	return r.kv.fs.Remove(marker)
}

// check refuses a directory that holds anything but what an unfinished restore has left.
func (r *restore) check() (hasLock bool, err error) {
	if err := checkName(r.dir); err != nil {
		return false, err
	}
	entries, err := r.kv.fs.List(r.dir)
	if err != nil {
		return false, ignoreMissing(err)
	}
	restoring, other := false, ""
	for _, entry := range entries {
		switch entry.Name {
		case lockName:
			hasLock = true
		case restoringName:
			restoring = true
		default:
			other = entry.Name
		}
	}
	if other != "" && !restoring {
		return false, fmt.Errorf("%w: %s is in it", ErrNotEmpty, other)
	}
	return hasLock, nil
}

// markDir makes an empty file, whose name says something about a directory, durably.
func markDir(fsys vfs.FS, dir, name string) error {
	file, err := fsys.Create(filepath.Join(dir, name))
	if err == nil {
		err = file.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = nil // Perhaps of a process that died before it was durable.
	}
	return errors.Join(err, fsys.SyncDir(dir))
}

// clear removes what a restore has made but for the marker.
func (r *restore) clear() error {
	if err := r.removeFrom(r.dir, walName, snapshotName, quarantineName); err != nil {
		return err
	}
	return r.kv.fs.SyncDir(r.dir)
}

// removeFrom removes entries of a directory, those of some names or all, with everything in them. It follows no link.
func (r *restore) removeFrom(dir string, names ...string) error {
	entries, err := r.kv.fs.List(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		if len(names) > 0 && !slices.Contains(names, entry.Name) {
			continue
		}
		path := filepath.Join(dir, entry.Name)
		if entry.Dir {
			if err := r.removeFrom(path); err != nil {
				return err
			}
		}
		if err := ignoreMissing(r.kv.fs.Remove(path)); err != nil {
			return err
		}
	}
	return nil
}

func (r *restore) fill(backup io.Reader) (uint64, error) {
	in, err := snapshot.NewReader(backup, snapshot.Options{})
	if err != nil {
		return 0, snapshotError("backup", err)
	}
	head := in.Header()
	accepted, isState := acceptedIn(head)
	if !isState {
		return 0, fmt.Errorf("%w: the backup is an increment from offset %d", ErrMismatch, head.From)
	}
	head.Kind, head.From = kindPairs, 0 // The store is no replica, whatever was backed up.
	alone := len(r.opts.Increments)+len(r.opts.Archive) == 0
	if end := (moment{head.Offset, unixNano(head.Time), accepted}); alone || r.to.offset != 0 && r.to.offset < end.offset {
		if err := r.to.check(end, false); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	if alone {
		var sum uint64
		return head.Offset, r.write(ctx, head, r.kv.stateSnapshot(&sum), entriesOf(in, &sum, cancel))
	}
	s, err := r.advance(head, accepted, in)
	if err != nil {
		return 0, err
	}
	head.Offset, head.Time = s.state.offset, deadlineTime(s.time)
	return head.Offset, r.write(ctx, head, r.kv.stateSnapshot(&s.state.sum), s.state.entries())
}

// advance applies the increments and the archive to the backup, up to the target.
func (r *restore) advance(head snapshot.Header, accepted uint64, in *snapshot.Reader) (replayed, error) {
	pairs := whileLasting(r.ctx, decoded(in.Entries(), decodePair))
	s, err := loadState(head.Offset, nil, pairs, func(loaded uint64) { r.report(Progress{Loaded: loaded}) })
	if err == nil {
		err = s.checkSum(in.Info())
	}
	if err != nil {
		return replayed{}, snapshotError("backup", err)
	}
	s.accepted = accepted
	var sources []source
	for i, increment := range r.opts.Increments {
		sources = append(sources, incrementSource(i+1, increment, head.ID))
	}
	if len(r.opts.Archive) > 0 {
		sources = append(sources, archiveSource(r.kv, r.opts.Archive, head.ID))
	}
	rest := replay{sources: sources, to: r.to, last: r.to.offset, report: func(p Progress) {
		r.report(Progress{Offset: p.Offset, Last: p.Last})
	}}
	return rest.run(r.ctx, s, unixNano(head.Time))
}

// entriesOf yields a backup's entries as they are, and sums their pairs. Where one can't be read or is no pair, or the sum is wrong, it
// ends and cancels with the error.
func entriesOf(in *snapshot.Reader, sum *uint64, cancel context.CancelCauseFunc) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, data []byte) bool) {
		for e, err := range in.Entries() {
			var checked checkedPair
			if err == nil {
				checked, err = checkPair(e)
			}
			if err != nil {
				cancel(snapshotError("backup", err))
				return
			}
			if *sum += checked.sum; !yield(e.Key, e.Data) {
				return
			}
		}
		if err := compareSums(*sum, in.Info()); err != nil {
			cancel(snapshotError("backup", err))
		}
	}
}

// write makes the store's files: a log that goes on after the offset, and a snapshot of everything up to it.
func (r *restore) write(ctx context.Context, head snapshot.Header, opts snapshot.Options, entries iter.Seq2[[]byte, []byte]) error {
	log, err := openWAL(r.dir, r.kv, nil)
	if err != nil {
		return err
	}
	head.ID = log.ID()
	if err := errors.Join(log.Reset(head.Offset+1), log.Close()); err != nil {
		return err
	}
	_, _, err = snapshot.Write(ctx, r.kv.fs, filepath.Join(r.dir, snapshotName), head, opts, entries)
	if cause := context.Cause(ctx); cause != nil {
		return cause // What ended the entries; the snapshot was withdrawn.
	}
	return snapshotError(r.dir, err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
