package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
)

// recover is Open for a log that will be written to: it surveys the directory, and finishes or takes back whatever a
// crash left half done. Each step may die at any point: the next recovery finds a state that it knows.
func (l *Log) recover() error {
	start := time.Now()
	fsys := l.opts.FS
	if err := fsys.MkdirAll(l.dir); err != nil {
		return err
	}
	v, err := surveyDir(l.dir, l.opts)
	if err != nil {
		return errors.Join(err, v.close())
	}
	if err := l.mend(v); err != nil {
		return errors.Join(err, v.close())
	}
	r := &l.recovery
	r.First, r.Last, r.Segments = l.first.Load(), l.acknowledged.Load(), len(l.segments)
	r.Elapsed = time.Since(start)
	return nil
}

// mend brings a surveyed directory into order and takes its segments over.
func (l *Log) mend(v *survey) error {
	if len(v.leftovers) > 0 || v.tail.seal == 0 {
		// A name that can be seen may not be durable. Nothing may be removed or sealed because of it before it is.
		if err := l.opts.FS.SyncDir(l.dir); err != nil {
			return err
		}
	}
	if len(v.stores) > 0 {
		if err := l.mendTail(v); err != nil {
			return err
		}
	}
	// What is left over may be so by a mark in the tail, which is durable only now.
	if err := l.removeLeftovers(v.leftovers); err != nil {
		return err
	}
	if len(v.stores) == 0 {
		return l.create()
	}
	if v.rolling {
		if err := v.finishRoll(); err != nil {
			return err
		}
	}
	segments, err := l.openIndexes(v.stores, &v.tail)
	if err != nil {
		return err
	}
	v.stores = nil
	l.adopt(segments)
	l.first.Store(v.tail.first)
	l.marked = v.tail.proven >= v.tail.end
	if v.tail.withdrawn {
		l.recovery.Truncated = true
		successor, err := l.copyStore(l.holder(v.tail.last).store, v.tail.last)
		if err != nil {
			return err
		}
		return l.withdraw(successor, v.tail.last)
	}
	return nil
}

// removeLeftovers removes files that a creation or truncation left when it died.
func (l *Log) removeLeftovers(names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if err := removeFile(l.opts.FS, joinName(l.dir, name)); err != nil {
			return err
		}
	}
	l.recovery.Removed = names
	return l.opts.FS.SyncDir(l.dir)
}

// create makes the first segment of a log that isn't there yet.
func (l *Log) create() error {
	var id [16]byte
	_, _ = rand.Read(id[:]) // It never fails: crypto/rand ends the process instead.
	only, err := l.createSegment(storeHead{id: id, base: 1, first: 1})
	if err != nil {
		return err
	}
	l.recovery.Outcome = Created
	l.adopt([]*segment{only})
	return nil
}

// mendTail makes the last segment's end fit to be added to. What the last run of the process wrote may be readable
// and yet on no disk, if its sync failed: so what nothing proves durable is written once more, as are the zeros behind
// it, and what stands behind the end is cut off, before anything is served or added.
func (l *Log) mendTail(v *survey) error {
	store, t := v.stores[len(v.stores)-1], &v.tail
	l.recovery.Outcome = Clean
	if t.seal == 0 {
		l.recovery.Outcome = Unclean
	}
	if cut := t.cutFrom(); t.written > cut {
		if err := l.quarantine(store, cut, t.written); err != nil {
			return err
		}
		l.recovery.Outcome = Torn
		l.recovery.CutBytes, l.recovery.CutPath, l.recovery.CutPosition = t.written-cut, store.path, cut
	}
	size := t.end + boundsFrameSize
	if t.seal == 0 {
		if err := l.relog(store, t); err != nil {
			return err
		}
	}
	if t.seal == 0 || t.size != size {
		if err := shorten(store.file, size); err != nil {
			return fmt.Errorf("cut %s at position %d: %w", store.path, size, err)
		}
		if err := l.opts.FS.SyncDir(l.dir); err != nil {
			return err
		}
	}
	store.seldomSynced = l.syncsSeldom()
	store.allocated.Store(size)
	store.written.Store(t.end)
	store.durable.Store(t.end)
	return nil
}

// shorten sets a file's length and makes it and everything in it durable.
func shorten(file vfs.File, size int64) error {
	if err := file.Truncate(size); err != nil {
		return err
	}
	return file.Sync()
}

// relog writes the frames that nothing proves durable, and zeros where a seal will go, over themselves.
func (l *Log) relog(store *store, t *tail) error {
	l.recovery.ReloggedBytes = t.end - t.proven
	buffer := make([]byte, min(t.end-t.proven, scanChunk))
	for at := t.proven; at < t.end; {
		n := int(min(t.end-at, int64(len(buffer))))
		if _, err := store.file.ReadAt(buffer[:n], at); err != nil {
			return fmt.Errorf("read %s at position %d: %w", store.path, at, err)
		}
		if err := store.write(buffer[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	if err := store.write(make([]byte, boundsFrameSize), t.end); err != nil {
		return err
	}
	// The zeros must be on the disk before the file is shortened to them: a torn frame that then reached over the
	// file's end would look as if somebody had cut it.
	return store.sync()
}

// quarantine copies bytes that are to be cut to a file of their own, durably.
func (l *Log) quarantine(store *store, from, to int64) error {
	fsys, dir := l.opts.FS, l.opts.QuarantineDir
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	var file vfs.File
	var err error
	var path string
	for number := 0; ; number++ {
		path = quarantinePath(dir, store.head.base, from, number)
		if file, err = fsys.Create(path); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	l.recovery.QuarantinePath = path
	err = errors.Join(copyRange(file, store.file, from, to), file.Close())
	if err != nil {
		return fmt.Errorf("keep what is cut from %s: %w", store.path, err)
	}
	return fsys.SyncDir(dir)
}

// copyRange writes the bytes between two positions of one file to another, durably.
func copyRange(to io.WriterAt, from io.ReaderAt, start, end int64) error {
	if _, err := io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(from, start, end-start)); err != nil {
		return err
	}
	return to.(vfs.File).Sync()
}

// finishRoll writes the seal of a segment whose roll died after it had made the next one.
func (v *survey) finishRoll() error {
	store := v.stores[len(v.stores)-2]
	return store.seal(kindRolled, v.tail.first, store.next-1)
}

// openIndexes pairs stores with their indexes, rebuilding those that don't fit.
func (l *Log) openIndexes(stores []*store, t *tail) ([]*segment, error) {
	segments := make([]*segment, 0, len(stores))
	for i, store := range stores {
		var x *index
		var same bool
		var err error
		if i < len(stores)-1 {
			x, same, err = openSealedIndex(l.opts.FS, store, l.opts.ReadOnly)
		} else {
			x, same, err = l.openTailIndex(store, t)
		}
		if err != nil {
			return nil, fmt.Errorf("index of segment %d: %w", store.head.base, err)
		}
		if !same {
			l.rebuilt.Add(1)
			l.recovery.RebuiltIndexes = append(l.recovery.RebuiltIndexes, x.path)
		}
		segments = append(segments, newSegment(store, x, &l.rebuilt))
	}
	return segments, nil
}

// openTailIndex opens the last segment's index and makes it say what the scan found.
func (l *Log) openTailIndex(store *store, t *tail) (x *index, same bool, err error) {
	path := joinName(l.dir, indexName(store.head.base))
	if l.opts.ReadOnly {
		x = newMemoryIndex(path)
	} else if x, err = openIndex(l.opts.FS, path); err != nil {
		return nil, false, err
	}
	x, same, err = x.fillAnyway(t.positions)
	return x, same || l.opts.ReadOnly, err
}
