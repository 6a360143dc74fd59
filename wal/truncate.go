package wal

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TruncateFront removes the segments all of whose records have offsets below first. The first offset held is then that
// of the segment which holds first: at most first, and often less. The active segment stays. A crash leaves the log as
// it was or truncated.
//
// With Options.ArchiveDir the segments are in the archive, durably, before they leave the log; appends don't wait for
// that. An error of archiving them leaves the log as it was, and it goes on; ErrNoSpace is a full disk.
//
// Readers that are inside a removed segment finish it and then get ErrTruncated.
func (l *Log) TruncateFront(first uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	leaving, err := l.inFrontOf(first)
	if err != nil || len(leaving) == 0 {
		return err
	}
	if err := l.archive(leaving); err != nil {
		return err
	}
	return l.dropFront(len(leaving))
}

// inFrontOf returns the segments all of whose records have offsets below first, but never the active one.
func (l *Log) inFrontOf(first uint64) ([]*segment, error) {
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return nil, err
	}
	if first > l.submitted+1 {
		return nil, fmt.Errorf("truncate in front of %d, the last offset is %d: %w", first, l.submitted, ErrOutOfRange)
	}
	keep := 0
	for keep+1 < len(l.segments) && l.segments[keep+1].base() <= first {
		keep++
	}
	return slices.Clone(l.segments[:keep]), nil
}

// dropFront takes the segments in front of one from the log. truncateMu has been held since they were chosen. The mark is
// what makes it so: a segment that is missing without one is damage. Appends wait neither for the mark nor for the files to
// go.
func (l *Log) dropFront(keep int) error {
	durable, err := l.markFront(keep)
	if err != nil {
		return err
	}
	if err := durable(); err != nil {
		return err
	}
	return l.remove(l.forgetFront(keep))
}

// markFront lays out the mark that says that the log begins with one of its segments, and returns what waits for it to be
// durable. A segment that follows says so as well.
func (l *Log) markFront(keep int) (durable func() error, err error) {
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return nil, err
	}
	first := l.segments[keep].base()
	if durable, err = l.putMark(first, l.submitted); err == nil {
		l.first.Store(first)
	}
	return durable, err
}

// forgetFront returns the segments in front of one, which are the log's no longer.
func (l *Log) forgetFront(keep int) (removed []*segment) {
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	return l.replaceSegments(l.segments[keep:])
}

// replaceSegments makes these the log's segments and returns those that no longer are.
func (l *Log) replaceSegments(segments []*segment) (removed []*segment) {
	l.segmentsMu.Lock()
	defer l.segmentsMu.Unlock()
	for _, s := range l.segments {
		if !slices.Contains(segments, s) {
			removed = append(removed, s)
		}
	}
	l.segments = slices.Clone(segments)
	return removed
}

// remove removes segments' files, in order and durably: each but the last may go in any order with the others, the last
// goes once they are gone. An index goes before its store, so that an index without a store is damage.
func (l *Log) remove(segments []*segment) error {
	for i, s := range segments {
		if i == len(segments)-1 && i > 0 {
			if err := l.opts.FS.SyncDir(l.dir); err != nil {
				return err
			}
		}
		if err := errors.Join(l.removeFiles(s), s.release()); err != nil {
			return fmt.Errorf("remove segment %d: %w", s.base(), err)
		}
	}
	return l.opts.FS.SyncDir(l.dir)
}

// removeFiles removes a segment's index, durably, and then its store.
func (l *Log) removeFiles(s *segment) error {
	if err := removeFile(l.opts.FS, joinName(l.dir, indexName(s.base()))); err != nil {
		return err
	}
	if err := l.opts.FS.SyncDir(l.dir); err != nil {
		return err
	}
	return removeFile(l.opts.FS, s.store.path)
}

// TruncateBack removes the records behind last, which may be the offset in front of the first one to empty the log.
// Later records get the removed ones' offsets again: this is for those who, like a consensus log, know that the removed
// records were never agreed upon. A crash leaves the log as it was or truncated. What it removes never
// gets into an archive.
//
// Readers that have passed last go on at the offset they have reached, once it is there again.
func (l *Log) TruncateBack(last uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if first := l.first.Load(); last+1 < first {
		return fmt.Errorf("truncate behind %d, the first held is %d: %w", last, first, ErrTruncated)
	}
	if last >= l.submitted {
		return nil
	}
	if err := l.settle(); err != nil {
		return err
	}
	l.awaitAcknowledged()
	if err := l.unarchive(l.holder(last)); err != nil {
		return err
	}
	successor, err := l.copyStore(l.holder(last).store, last)
	if err != nil {
		return err
	}
	// The mark is what makes it so: from here on the records behind last are withdrawn.
	if err := l.writeMark(l.first.Load(), last); err != nil {
		return errors.Join(err, l.dropCopy(successor))
	}
	if err := l.withdraw(successor, last); err != nil {
		return l.failWith(err)
	}
	return nil
}

// holder returns the segment that will be the last once the log ends with this offset.
func (l *Log) holder(last uint64) *segment {
	i := len(l.segments) - 1
	for i > 0 && l.segments[i].base() > last {
		i--
	}
	return l.segments[i]
}

// withdraw takes away the records behind last, once a mark at the log's end says that they no longer stand. The
// segment that holds last is replaced by a copy without them; the ones behind it go, the one with the mark last of
// all. The submit lock is held, or nobody else has the log yet.
func (l *Log) withdraw(store *store, last uint64) error {
	if err := publishName(l.opts.FS, l.dir, store.path+temporarySuffix, store.path); err != nil {
		return errors.Join(err, store.file.Close())
	}
	index, err := l.copyIndex(store)
	if err != nil {
		return errors.Join(err, store.file.Close())
	}
	successor, replaced := newSegment(store, index, &l.rebuilt), l.holder(last)
	kept := slices.Clone(l.segments[:slices.Index(l.segments, replaced)])
	l.mu.Lock()
	l.active, l.submitted, l.marked = successor, last, true
	l.acknowledged.Store(last)
	l.durable.Store(last)
	l.epoch.Add(1)
	removed := l.replaceSegments(append(kept, successor))
	l.mu.Unlock()
	removed = slices.DeleteFunc(removed, func(s *segment) bool { return s == replaced })
	return errors.Join(replaced.release(), l.remove(removed))
}

// copyStore makes, under a temporary name, a store of the same base whose records end with last. It has a salt of its
// own, so nothing of the old one can check out in it. A full disk is ErrNoSpace; no error changes the log.
func (l *Log) copyStore(old *store, last uint64) (*store, error) {
	head := old.head
	head.salt, head.first = newSalt(), l.first.Load()
	file, err := createFile(l.opts.FS, old.path+temporarySuffix)
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", old.path, err)
	}
	encoded := head.append(nil)
	s := &store{
		file: file, path: old.path, head: head, headChain: headChain(encoded), chain: headChain(encoded),
		end: headSize, next: head.base, seldomSynced: l.syncsSeldom(),
	}
	if err := s.copyRecords(old, encoded, last); err != nil {
		if vfs.IsNoSpace(err) {
			err = fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
		return nil, errors.Join(fmt.Errorf("copy %s: %w", old.path, err), l.dropCopy(s))
	}
	return s, nil
}

// dropCopy removes a copy that was not needed.
func (l *Log) dropCopy(s *store) error {
	return errors.Join(s.file.Close(), removeFile(l.opts.FS, s.path+temporarySuffix))
}

// copyRecords writes a new store: its header, and another store's records up to an offset.
func (s *store) copyRecords(old *store, encoded []byte, last uint64) error {
	sc := old.scan(old.written.Load())
	buffer, at := encoded, int64(0)
	for s.next <= last {
		f, err := sc.frame()
		if err != nil {
			return readError(old.path, sc.position, sc.next, err)
		}
		if f.kind == kindRecord {
			s.durable.Store(s.end) // As it will be, once the file gets its name.
			buffer = s.layOut(buffer, kindRecord, f.payload, f.sum)
		}
		if len(buffer) >= scanChunk {
			if err := s.write(buffer, at); err != nil {
				return err
			}
			at, buffer = at+int64(len(buffer)), buffer[:0]
		}
	}
	if err := s.write(buffer, at); err != nil {
		return err
	}
	size := s.end + reserveSize
	if err := s.file.Allocate(size); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.allocated.Store(size)
	return nil
}

// copyIndex makes the index of a store that replaces another.
func (l *Log) copyIndex(s *store) (*index, error) {
	path := joinName(l.dir, indexName(s.head.base))
	if err := removeFile(l.opts.FS, path); err != nil {
		return nil, err
	}
	x, err := openIndex(l.opts.FS, path)
	if err != nil {
		return nil, err
	}
	positions, err := s.positions(s.end)
	if err != nil {
		return nil, errors.Join(err, x.close())
	}
	x, _, err = x.fillAnyway(positions)
	return x, err
}

// SetFirst sets the offset of the first record that an empty log will get: a replica does that which starts from
// somebody else's snapshot. A log that holds records is ErrNotEmpty.
func (l *Log) SetFirst(first uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	switch {
	case first == 0 || first > math.MaxInt64:
		return fmt.Errorf("first offset %d, want 1 to %d: %w", first, uint64(math.MaxInt64), ErrOutOfRange)
	case l.submitted+1 != l.first.Load():
		return fmt.Errorf("first offset %d, but records %d to %d are held: %w", first, l.first.Load(), l.submitted, ErrNotEmpty)
	case l.first.Load() == first:
		return nil
	}
	// Of two empty segments the one with the higher base counts, so whichever way the base moves, one step decides: the
	// new file's name, or the old one's removal.
	successor, err := l.createSegment(storeHead{id: l.id, base: first, first: first})
	if err != nil {
		return l.sticky(err)
	}
	l.mu.Lock()
	l.active, l.submitted, l.marked = successor, first-1, true
	removed := l.replaceSegments([]*segment{successor})
	l.first.Store(first)
	l.acknowledged.Store(first - 1)
	l.durable.Store(first - 1)
	l.mu.Unlock()
	if err := l.remove(removed); err != nil {
		return l.failWith(err)
	}
	return nil
}
