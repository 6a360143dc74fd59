package wal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// openForWriting surveys the directory, and finishes or takes back whatever a crash left half done. Each step may die at any
// point: the next recovery finds a state that it knows. Nothing is changed in a directory that is refused.
func (l *Log) openForWriting() (*survey, error) {
	v, err := surveyDir(l.dir, l.opts)
	if err == nil {
		err = l.mend(v)
	}
	return v, err
}

// mend brings a surveyed directory into order and takes its segments over.
func (l *Log) mend(v *survey) error {
	if len(v.found) == 0 {
		return l.create(v)
	}
	if len(v.leftovers) > 0 || v.tail.seal == 0 {
		// A name that can be seen may not be durable. Nothing may be removed or sealed because of it before it is.
		if err := l.opts.FS.SyncDir(l.dir); err != nil {
			return err
		}
	}
	if err := l.mendTail(v); err != nil {
		return err
	}
	// What is left over may be so by a mark in the tail, which is durable only now.
	if err := l.removeLeftovers(v); err != nil {
		return err
	}
	if v.rolling {
		if err := v.stores[len(v.stores)-2].seal(kindRolled, v.tail.first); err != nil {
			return err
		}
	}
	return l.adopt(v)
}

// create makes the first segment of a log that isn't there yet.
func (l *Log) create(v *survey) error {
	if l.opts.MustExist {
		return fmt.Errorf("no segment in %s: %w", l.dir, fs.ErrNotExist)
	}
	if err := l.opts.FS.MkdirAll(l.dir); err != nil {
		return err
	}
	if err := l.removeLeftovers(v); err != nil {
		return err
	}
	id := l.opts.ID
	if id == [16]byte{} {
		_, _ = rand.Read(id[:]) // It never fails: crypto/rand ends the process instead.
	}
	head := storeHead{id: id, salt: newSalt(), base: 1, first: 1}
	s, err := l.createStore(head)
	if err != nil {
		return err
	}
	l.recovery.Outcome = Created
	v.stores, v.positions, v.tail = []*store{s}, &index{anchored: true}, reading{first: 1}
	return l.adopt(v)
}

// outcome says what the end of the log is like.
func (v *survey) outcome() Recovery {
	t, cut := &v.tail, v.tail.cutFrom()
	switch {
	case t.written > cut:
		return Recovery{Outcome: Torn, CutBytes: t.written - cut, CutPosition: cut, CutPath: v.stores[len(v.stores)-1].path}
	case t.seal == 0:
		return Recovery{Outcome: Unclean}
	}
	return Recovery{Outcome: Clean}
}

// removeLeftovers removes files that a creation or truncation left when it died, indexes before stores. What stood before the log's first
// record may stay where it can't be removed: nothing gets its name any more, unless by a Reset to an earlier offset.
func (l *Log) removeLeftovers(v *survey) error {
	l.recovery.Removed = v.leftovers
	if err := v.closeOthers(); err != nil {
		return err
	}
	var front, rest [2][]string // Indexes, and others.
	var bases []uint64          // Of front.
	for _, name := range v.leftovers {
		kind := 0
		base, isIndex := parseName(name, indexSuffix)
		if !isIndex {
			kind = 1
			base, _ = parseName(name, storeSuffix)
		}
		if 0 < base && base < v.tail.first {
			front[kind], bases = append(front[kind], name), append(bases, base)
		} else {
			rest[kind] = append(rest[kind], name)
		}
	}
	if err := l.removeNames(front[:]...); err != nil {
		l.dropped = slices.Compact(bases) // The names are sorted.
		l.removeDropped()
	}
	return l.removeNames(rest[:]...)
}

// mendTail makes the last segment's end fit to be added to. What the last process wrote may be readable and yet on no disk, if
// its sync failed. So what nothing proves durable is written again, with zeros after it, and the rest is cut off.
func (l *Log) mendTail(v *survey) error {
	s, t := v.stores[len(v.stores)-1], &v.tail
	l.recovery = v.outcome()
	if l.recovery.Outcome == Torn {
		path, err := l.quarantine(s, t.cutFrom(), t.written)
		if vfs.IsNoSpace(err) { // The log must open to be truncated, and nothing in the tail was acknowledged as durable.
			l.opts.Logger.Warn("the disk is full: an unfinished tail is cut without being kept", "path", s.path,
				"position", l.recovery.CutPosition, "bytes", l.recovery.CutBytes, "error", err)
			path, err = "", nil
		}
		if err != nil {
			return fmt.Errorf("keep what is cut from %s: %w", s.path, err)
		}
		l.recovery.QuarantinePath = path
	}
	size := min(t.size, t.end+reserveSize)
	if t.seal == 0 || l.recovery.Outcome == Torn {
		if err := l.relog(s, t, size); err != nil {
			return err
		}
	}
	if t.seal == 0 || t.size != size {
		err := s.file.Truncate(size)
		if err == nil {
			err = s.file.Sync()
		}
		if err != nil {
			return fmt.Errorf("cut %s at position %d: %w", s.path, size, err)
		}
		if err := l.opts.FS.SyncDir(l.dir); err != nil {
			return err
		}
	}
	s.seldomSynced = l.syncsSeldom()
	s.allocated.Store(size)
	return nil
}

// relog writes the frames that nothing proves durable, and zeros after them, over themselves. After a seal it writes zeros alone: the first
// append after a clean close may have left a frame there without the mark that takes the seal's place, and a later mark must not
// lead to it.
func (l *Log) relog(s *store, t *reading, size int64) error {
	from, end := t.proven, t.cutFrom()
	if t.seal != 0 {
		from = end
	}
	l.recovery.ReloggedBytes = end - from
	again := io.MultiReader(io.NewSectionReader(s.file, from, end-from), bytes.NewReader(zeros[:size-end]))
	if _, err := io.Copy(io.NewOffsetWriter(s.file, from), again); err != nil {
		return fmt.Errorf("write %s again from position %d: %w", s.path, from, err)
	}
	// The zeros must be durable before the file is shortened to them: a torn frame that reached over its end would look cut.
	return s.sync()
}

// quarantine copies bytes that are to be cut to a file, durably. Its name says which: recoveries that die keep them once.
func (l *Log) quarantine(s *store, from, to int64) (path string, err error) {
	fsys, dir := l.opts.FS, l.opts.QuarantineDir
	sum, err := s.sum(from, to)
	if err != nil {
		return "", err
	}
	if err = l.refuseLink(dir); err == nil {
		err = fsys.MkdirAll(dir)
	}
	if err != nil {
		return "", err
	}
	path = joinName(dir, quarantineName(s.head.base, from, sum))
	if known, err := fsys.OpenRead(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = known.Close()
		}
		return path, errors.Join(err, fsys.SyncDir(dir))
	}
	return path, vfs.WriteAs(fsys, path, io.NewSectionReader(s.file, from, to-from), true)
}

// refuseLink refuses a name in the log's directory that is no directory's. Where it is a link, the files there are not the log's.
func (l *Log) refuseLink(dir string) error {
	if filepath.Dir(dir) != filepath.Clean(l.dir) {
		return nil // The caller has named it.
	}
	entries, err := l.opts.FS.List(l.dir)
	isLink := func(e vfs.Entry) bool { return e.Name == filepath.Base(dir) && !e.Dir }
	if err == nil && slices.ContainsFunc(entries, isLink) {
		err = fmt.Errorf("%s is no directory, and a link to one is not followed", dir)
	}
	return err
}

// sum returns the checksum of a part of the file.
func (s *store) sum(from, to int64) (uint32, error) {
	sum := crc32.New(castagnoli)
	_, err := io.Copy(sum, io.NewSectionReader(s.file, from, to-from))
	return sum.Sum32(), err
}

// adopt takes over the stores that a survey found, the last one as active, and opens their indexes. One that doesn't fit is made
// again, and written when the log is closed.
func (l *Log) adopt(v *survey) error {
	last := v.stores[len(v.stores)-1]
	var errs []error
	for _, s := range v.stores {
		x, fits := v.positions, true
		if s == last {
			fits = v.tail.seal == 0 || v.index(s).fits(s)
		} else if file, err := loadIndex(l.opts.FS, s); err == nil {
			x = file
		} else if x, err = s.indexAgain(); err != nil {
			errs = append(errs, fmt.Errorf("index of segment %d: %w", s.head.base, err))
		} else {
			fits = false
		}
		g := l.newSegment(s, x)
		if !fits {
			l.rebuilt.Add(1)
			l.recovery.RebuiltIndexes = append(l.recovery.RebuiltIndexes, indexPath(s))
			g.wrong.Store(true)
		}
		l.segments.add(g)
	}
	v.found = nil // They are the log's now.
	l.segments.first.Store(v.tail.first)
	l.submitted = last.next - 1
	l.acknowledged.Store(last.next - 1)
	return errors.Join(errs...)
}
