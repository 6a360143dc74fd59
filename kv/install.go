package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// The file INSTALLING: see docs/format.md.
const (
	installingName  = "INSTALLING"
	installingTitle = "walnut install 1"
	installingLines = installingTitle + "\noffset %d\n"
	installingMax   = 1 << 10 // More bytes than the file has.
)

// Install makes the state that Snapshot.WriteTo, or DB.Backup, of another node of the cluster has written the replica's, and returns its
// offset: the replica then has applied all up to there. It reads in to the end of the state. The log begins again after that offset, since
// what it held may never have been agreed upon, unless Log was told that all up to there is. An archive has a gap then. A state that isn't newer than the replica's
// changes nothing, and is not read. Views and scans go on with what they see; proposals that were not proposed yet are refused, with
// ErrConflict.
//
// The state is made beside the old one, in memory and on the disk, so for a moment both take room. A crash leaves the one or the other.
// Errors change nothing: ErrMismatch for what is no state of this cluster, a *CorruptError whose Path is "snapshot", ErrNoSpace,
// ErrClosed, ctx's. After ErrFailed the replica takes no entries until it is opened again.
func (r *Replica) Install(ctx context.Context, in io.Reader) (offset uint64, err error) {
	if err := r.db.use(ctx); err != nil {
		return 0, fmt.Errorf("kv: install: %w", err)
	}
	defer r.db.inflight.Done()
	ctx, cancel := r.db.untilClosed(ctx)
	defer cancel()
	offset, err = r.install(ctx, in)
	if err != nil {
		return 0, fmt.Errorf("kv: install: %w", noSpace(err))
	}
	return offset, nil
}

func (r *Replica) install(ctx context.Context, in io.Reader) (uint64, error) {
	read, err := snapshot.NewReader(in, snapshot.Options{})
	if err != nil {
		return 0, snapshotError("snapshot", err)
	}
	head := read.Header()
	switch {
	case head.Kind != kindReplica:
		return 0, fmt.Errorf("%w: it is no state of a replica", ErrMismatch)
	case head.ID != r.db.log.ID():
		return 0, otherStore(head.ID, r.db.log.ID())
	case head.Offset <= r.Applied(): // As a consensus asks for at each start.
		return head.Offset, nil
	}
	s, err := r.load(ctx, head, read)
	if err != nil {
		return 0, err
	}
	select {
	case <-r.db.checkpoints.turn:
		defer func() { r.db.checkpoints.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if err := r.replaceBy(ctx, s); err != nil {
		return 0, err
	}
	if err := r.db.snapshots.pruneSkipped(r.db.opts.SnapshotsKept); err != nil {
		r.db.opts.Logger.Warn("older snapshots can't be removed; the next checkpoint does that", "dir", r.db.dir, "error", err)
	}
	return head.Offset, nil
}

// load makes a state of what is read.
func (r *Replica) load(ctx context.Context, head snapshot.Header, read *snapshot.Reader) (*state, error) {
	indexes := startIndexes(ctx, r.db.opts.Indexes)
	pairs := indexes.following(whileLasting(ctx, decoded(read.Entries(), decodePair)))
	s, err := loadState(head.Offset, nil, pairs, func(uint64) {})
	if err == nil {
		err = s.checkSum(read.Info())
	}
	if err != nil {
		return nil, snapshotError("snapshot", err)
	}
	s.indexes, s.made = indexes, unixNano(head.Time)
	s.accepted, _ = acceptedIn(head)
	return s, s.finishIndexes()
}

// replaceBy makes a state the replica's unless that is newer.
func (r *Replica) replaceBy(ctx context.Context, s *state) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if s.offset <= r.Applied() {
		return nil
	}
	return r.replace(ctx, s)
}

// replace makes a state the replica's. Its order makes it one step, whenever the machine dies: see docs/design.md. The log's lock is held.
func (r *Replica) replace(ctx context.Context, s *state) error {
	db := r.db
	if r.log.broken != nil {
		return r.log.broken
	}
	if err := db.requireLock(); err != nil {
		return err
	}
	worthless := s.offset > min(r.log.committed, db.log.Last())
	place, err := r.keep(ctx, s, worthless)
	if err == nil && worthless {
		err = db.log.Reset(s.offset + 1)
	}
	switch {
	case err != nil && !worthless:
		return orClosed(err)
	case errors.Is(err, ErrFailed): // Whether the log was reset isn't known. The next start finishes the install.
		return r.log.failed(err)
	case err != nil && db.log.First() != s.offset+1:
		if left := r.withdraw(s.offset); left != nil { // The next start may finish it.
			r.log.fail(fmt.Errorf("%w: an install was neither finished nor undone: %w", ErrFailed, left))
			return errors.Join(r.log.broken, orClosed(err))
		}
		return orClosed(err)
	case err != nil:
		db.opts.Logger.Warn("a file of the log before an install can't be closed", "dir", db.dir, "error", err)
	}
	if worthless {
		r.log.front.Store(0)
	}
	db.mu.Lock()
	r.giveUp(ErrConflict)
	db.clock.goesOnFrom(s.made)
	db.visible.mu.Lock()
	db.visible.replace(s)
	db.visible.mu.Unlock()
	db.mu.Unlock()
	db.checkpoints.taken(s.offset, db.checkpoints.logBytes.Load())
	db.setDue(place.Bytes)
	db.opts.Logger.Info("snapshot installed", "dir", db.dir, "path", place.Path, "offset", s.offset)
	if err := db.removeDurably(installingName); err != nil {
		r.log.fail(fmt.Errorf("%w: the file %s can't be removed: %w", ErrFailed, installingName, err))
		return r.log.broken
	}
	return nil
}

// keep writes the state's snapshot. Where the log is worthless, it writes before that the file which says so.
func (r *Replica) keep(ctx context.Context, s *state, worthless bool) (place snapshot.Place, err error) {
	db, dir := r.db, r.db.snapshots.dir
	if worthless {
		text := sealed(fmt.Sprintf(installingLines, s.offset))
		if err := vfs.WriteAs(db.opts.fs, filepath.Join(db.dir, installingName), bytes.NewReader(text), true); err != nil {
			return place, err
		}
	}
	opts := db.opts.stateSnapshot(&s.sum)
	opts.Replace = true // A snapshot of that offset can only be what a failed install has left.
	path, info, err := snapshot.Write(ctx, db.opts.fs, dir, db.stateHeader(s), opts, s.entries())
	if err != nil {
		return place, snapshotError(dir, err)
	}
	place = snapshot.Place{Path: path, Offset: info.Offset, Bytes: info.FileBytes}
	db.snapshots.verdicts.Delete(place)
	return place, db.snapshots.verify(ctx, place, nil)
}

// withdraw removes what an install has made that failed: the snapshot first, which would otherwise count.
func (r *Replica) withdraw(offset uint64) error {
	db := r.db
	err := snapshot.Remove(db.opts.fs, db.snapshots.dir, offset)
	if err = ignoreMissing(err); err != nil {
		return err
	}
	return db.removeDurably(installingName)
}

// removeDurably removes a file in the store's directory that may be gone already.
func (db *DB) removeDurably(name string) error {
	if err := vfs.RemoveIfThere(db.opts.fs, filepath.Join(db.dir, name)); err != nil {
		return err
	}
	return db.opts.fs.SyncDir(db.dir)
}

// finishInstall finishes what an install has left that died: if its snapshot is there the log begins after that, otherwise all is as it
// was.
func (db *DB) finishInstall() error {
	if id := db.log.ID(); id != db.opts.member.Cluster {
		return &CorruptError{Path: db.walDir(), Err: fmt.Errorf("the log's identity is %x, not the cluster's", id)}
	}
	path := filepath.Join(db.dir, installingName)
	text, err := readSmall(db.opts.fs, path, installingMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	offset, err := parseInstalling(text)
	if errors.Is(err, ErrVersion) {
		return err
	}
	if err != nil {
		return &CorruptError{Path: path, Err: err}
	}
	if err := db.installLeft(offset); err != nil {
		return err
	}
	return db.removeDurably(installingName)
}

func parseInstalling(text []byte) (offset uint64, err error) {
	lines, err := unsealed(text, installingTitle)
	if err != nil || len(lines) != 1 {
		return 0, errors.Join(errSeal, err)
	}
	number, _ := strings.CutPrefix(lines[0], "offset ")
	return strconv.ParseUint(number, 10, 64)
}

// installLeft makes the log go on after the snapshot of an install, if that is there. Its name may not be durable yet.
func (db *DB) installLeft(offset uint64) error {
	places, err := db.snapshots.list()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(places, func(p snapshot.Place) bool { return p.Offset == offset })
	if i < 0 || db.log.First() == offset+1 {
		return nil
	}
	if err := db.snapshots.verify(context.Background(), places[i], nil); err != nil {
		return err
	}
	if err := db.opts.fs.SyncDir(db.snapshots.dir); err != nil {
		return err
	}
	return db.log.Reset(offset + 1)
}
