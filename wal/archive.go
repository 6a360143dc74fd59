package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/walnutkv/walnut/internal/vfs"
)

// The archive (Options.ArchiveDir) is where segments go that a truncation takes from the log's front. A segment that leaves is
// sealed, and never written to again, so it can be a second name of the same file. What a truncation put into the archive and
// then didn't take from the log, a cut takes from the archive first: so no record in it is truncated from the log's end later.

// archive gives the stores of segments that are to leave the log a name in the archive, oldest first and durably. It is
// called without the submit lock, since copying takes long. An error leaves the log as it is.
func (l *Log) archive(leaving []*segment) error {
	dir := l.opts.ArchiveDir
	if dir == "" {
		return nil
	}
	err := l.opts.FS.MkdirAll(dir)
	if err == nil {
		err = errors.Join(l.refuseOwnDirectory(), l.refuseOthersArchive())
	}
	if err != nil {
		return archiveError(leaving[0], err)
	}
	for _, s := range leaving {
		if err := l.archiveStore(s.store); err != nil {
			return archiveError(s, err)
		}
	}
	if err := l.opts.FS.SyncDir(dir); err != nil {
		return archiveError(leaving[0], err)
	}
	l.opts.Logger.Debug("segments archived", "dir", dir, "base", leaving[0].base(), "segments", len(leaving))
	return nil
}

// archiveError says which segment could not be archived, and marks a full disk.
func archiveError(s *segment, err error) error {
	if vfs.IsNoSpace(err) {
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return fmt.Errorf("archive segment %d: %w", s.base(), err)
}

// refuseOwnDirectory refuses an archive that is the log's directory, perhaps by another path: there, each segment would
// seem to be archived already, and then be lost. No archive ever has the segment that is written to.
func (l *Log) refuseOwnDirectory() error {
	active := l.segments.activeStore.Load()
	return l.withArchived(active, func(kept *store) error {
		if kept.head.salt == active.head.salt {
			return fmt.Errorf("the archive %s is the log's own directory", l.opts.ArchiveDir)
		}
		return nil
	})
}

// refuseOthersArchive refuses an archive whose newest segment is another log's: a store that was restored is a log of its
// own, and with the segments of both nobody could read either.
func (l *Log) refuseOthersArchive() error {
	v := &survey{dir: l.opts.ArchiveDir, opts: l.opts}
	if err := v.list(); err != nil || len(v.bases) == 0 {
		return err
	}
	newest, err := openStore(l.opts.FS, joinName(v.dir, storeName(v.bases[len(v.bases)-1])), true)
	if errors.Is(err, ErrCorrupt) {
		return nil // It doesn't say whose it is. A segment that needs its place is refused that.
	}
	if err != nil {
		return err
	}
	if newest.head.id != l.ID() {
		err = fmt.Errorf("the archive is another log's: %s belongs to %x, this is %x", newest.path, newest.head.id, l.ID())
	}
	return errors.Join(err, newest.file.Close())
}

// archivePath returns a store's name in the archive.
func (l *Log) archivePath(s *store) string {
	return joinName(l.opts.ArchiveDir, storeName(s.head.base))
}

// withArchived calls a function with the store that has this one's name in the archive, if there is one.
func (l *Log) withArchived(s *store, do func(kept *store) error) error {
	kept, err := openStore(l.opts.FS, l.archivePath(s), true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(do(kept), kept.file.Close())
}

// archiveStore gives a sealed store a name in the archive, unless a truncation that died or failed has done that.
func (l *Log) archiveStore(s *store) error {
	isKept := false
	err := l.withArchived(s, func(kept *store) error {
		isKept = true
		return kept.requireSame(s)
	})
	switch {
	case isKept:
		return err
	case err != nil:
		return fmt.Errorf("%s can't take the place of what is there: %w", s.path, err)
	}
	if !s.sealed.Load() { // Its end was cut, so the file goes on after it.
		return l.copyToArchive(s)
	}
	err = l.opts.FS.Link(s.path, l.archivePath(s))
	// A file may have no second name in another file system, or in this one.
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		return l.copyToArchive(s)
	}
	return err
}

// copyToArchive copies a store up to its end, with a seal after that, under a temporary name until the copy is durable.
func (l *Log) copyToArchive(s *store) error {
	if s.sealed.Load() {
		return vfs.WriteAs(l.opts.FS, l.archivePath(s), io.NewSectionReader(s.file, 0, s.end+boundsFrameSize), true)
	}
	payload := bounds{first: s.head.first, chain: s.chain}.encode()
	seal := s.layOut(nil, kindRolled, payload[:], payloadSum(payload[:]))
	return vfs.WriteAs(l.opts.FS, l.archivePath(s), io.MultiReader(io.NewSectionReader(s.file, 0, s.end), bytes.NewReader(seal)), true)
}

// requireSame refuses a store in the archive that is not the sealed store whose name it has.
func (s *store) requireSame(sealed *store) error {
	if s.head != sealed.head {
		return fmt.Errorf("%s (log %x, salt %x) is another segment than %s (log %x, salt %x)",
			s.path, s.head.id, s.head.salt, sealed.path, sealed.head.id, sealed.head.salt)
	}
	if err := s.sealAt(sealed.end, sealed.next, sealed.chain); err != nil {
		return fmt.Errorf("%s is not the same as %s: %w", s.path, sealed.path, readError(s.path, sealed.end, sealed.next, err))
	}
	return nil
}

// unarchive takes segments of the log from the archive again, durably, before records in them are truncated from its end. There
// are some only where a truncation of the front died or failed in between. The submit lock is held.
func (l *Log) unarchive(segments []*segment) error {
	dir := l.opts.ArchiveDir
	if dir == "" {
		return nil
	}
	if err := l.refuseOwnDirectory(); err != nil {
		return err
	}
	for _, g := range segments {
		err := l.withArchived(g.store, func(kept *store) error {
			if kept.head != g.store.head {
				return nil // It isn't the same store.
			}
			return vfs.RemoveIfThere(l.opts.FS, kept.path)
		})
		if err != nil {
			return fmt.Errorf("take segment %d from the archive: %w", g.base(), err)
		}
	}
	// Even where nothing is there: a process that removed it may have died before that was durable.
	if err := l.opts.FS.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sync the archive: %w", err)
	}
	return nil
}
