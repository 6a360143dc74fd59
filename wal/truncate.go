package wal

import (
	"fmt"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TruncateFront removes the segments all of whose records have offsets below first, but never the active one. The first offset
// held is then at most first, and often less. A crash leaves the log as it was or truncated. Readers that are inside a removed
// segment finish it and then get ErrTruncated.
//
// With Options.ArchiveDir the segments are in the archive, durably, before they leave the log; appends don't wait for that. An
// error of archiving leaves the log as it was; ErrNoSpace is a full disk. That files can't be removed is no error: it is logged, and
// the next call tries again, or the next open.
func (l *Log) TruncateFront(first uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	leaving, err := l.before(first)
	if err != nil {
		return err
	}
	if len(leaving) > 0 {
		err = l.drop(leaving)
	}
	l.removeDropped()
	return err
}

// ArchiveFront puts the segments into Options.ArchiveDir, durably, that TruncateFront would remove, and leaves the log as it is. So the
// caller knows that they are kept before it gives up something else. Without an archive it does nothing.
func (l *Log) ArchiveFront(first uint64) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	leaving, err := l.before(first)
	if err != nil || len(leaving) == 0 {
		return err
	}
	return l.archive(leaving)
}

// drop archives the first segments and lets them go. Their files stay.
func (l *Log) drop(leaving []*segment) error {
	if err := l.archive(leaving); err != nil {
		return err
	}
	// The mark is what makes it so: a segment that is missing without one is damage. A segment that follows says it too. Appends
	// wait neither for the mark nor for the files to go.
	durable, err := l.markFirst(leaving[len(leaving)-1].next.Load().base())
	if err != nil {
		return err
	}
	if err := durable(); err != nil {
		return err
	}
	l.submitMu.Lock()
	l.segments.dropFront(len(leaving))
	l.submitMu.Unlock()
	l.dropped = append(l.dropped, basesOf(leaving)...)
	return each(leaving, (*segment).release)
}

// removeDropped removes the files of segments that were let go, and keeps in mind those that it can't remove. The log is as good without:
// an error would make each later checkpoint fail.
func (l *Log) removeDropped() {
	var err error
	if l.dropped, err = l.removeFiles(l.dropped); err != nil {
		l.opts.Logger.Warn("truncated segments can't be removed; the next truncation or open tries again", "dir", l.dir,
			"segments", len(l.dropped), "error", err)
	}
}

// before returns the segments all of whose records have offsets below first, but never the active one.
func (l *Log) before(first uint64) ([]*segment, error) {
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return nil, err
	}
	if last := l.segments.active().store.next - 1; first > last+1 {
		return nil, fmt.Errorf("truncate before %d, the last offset is %d: %w", first, last, ErrOutOfRange)
	}
	return slices.Clone(l.segments.list[:l.segments.holder(first)]), nil
}

// markFirst lays out the mark that says that the log begins with a segment, and returns what waits for it to be durable.
func (l *Log) markFirst(first uint64) (durable func() error, err error) {
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	was := l.First()
	l.segments.first.Store(first)
	if durable, err = l.mark(); err != nil {
		l.segments.first.Store(was)
	}
	return durable, err
}

// removeFiles removes segments' files, durably, indexes before stores, and returns the bases of those that it leaves. One that can't be
// removed keeps no other from going: they may be many gigabytes.
func (l *Log) removeFiles(bases []uint64) (left []uint64, err error) {
	going := bases
	for _, name := range [...]func(base uint64) string{indexName, storeName} {
		var gone []uint64
		for _, base := range going {
			failed := vfs.RemoveIfThere(l.opts.FS, joinName(l.dir, name(base)))
			if failed == nil {
				gone = append(gone, base)
				continue
			}
			left = append(left, base)
			if err == nil {
				err = failed
			}
		}
		if len(gone) > 0 {
			if err := l.opts.FS.SyncDir(l.dir); err != nil {
				return bases, err
			}
		}
		going = gone
	}
	return left, err
}

// removeNames removes files in steps, each of which is durable before the next begins.
func (l *Log) removeNames(steps ...[]string) error {
	for _, names := range steps {
		for _, name := range names {
			if err := vfs.RemoveIfThere(l.opts.FS, joinName(l.dir, name)); err != nil {
				return err
			}
		}
		if len(names) > 0 {
			if err := l.opts.FS.SyncDir(l.dir); err != nil {
				return err
			}
		}
	}
	return nil
}
