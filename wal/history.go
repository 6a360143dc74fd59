package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// history makes one archive of what several directories hold. They are looked at from the first to the last or backwards.
func history(opts Options, dirs []string, backwards bool) (a *Archive, err error) {
	parts := make([]*survey, len(dirs))
	for i, dir := range dirs {
		parts[i] = &survey{dir: dir, opts: opts}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, each(parts, (*survey).close))
		}
	}()
	for i := range parts {
		if backwards {
			i = len(parts) - 1 - i
		}
		if err := parts[i].look(); err != nil {
			return nil, err
		}
	}
	parts = slices.DeleteFunc(parts, func(p *survey) bool { return len(p.found) == 0 })
	if len(parts) == 0 {
		return nil, fmt.Errorf("there is no segment: %w", fs.ErrNotExist)
	}
	return merge(opts, parts)
}

// isLive reports whether the directory is a log's, which has an active segment. An archive hasn't.
func (v *survey) isLive() bool { return v.tail.seal != kindRolled }

// look surveys one directory. The newest segment of an archive was followed by another one when it came there, that of a log is
// active. An archive's files are opened only while they are read; a log's are held open, so that they may be truncated.
func (v *survey) look() error {
	held := v.opts.FS
	if _, err := held.List(v.dir); err != nil {
		return err // Unlike a log that is to be opened, it must be there.
	}
	v.opts.FS = vfs.Cold(held)
	if err := v.open(); err != nil || len(v.found) == 0 {
		return err
	}
	if err := v.identity(); err != nil {
		return err
	}
	err := v.readTail(v.newest())
	if !v.isLive() {
		// A log, which has indexes, or has the next segment by now, lacks it: it is gone, or a live writer has rolled since.
		if _, missing := v.openStore(v.tail.next); len(v.indexes) == 0 && errors.Is(missing, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err == nil {
		err = v.link(0, false)
	}
	if err != nil {
		return err
	}
	// What a truncation that died was taking from a log is left out where it no longer leads to the rest. What does is as good as any.
	v.found = slices.DeleteFunc(v.found, func(s *store) bool {
		return !slices.Contains(v.stores, s) && (s.head.base < v.tail.first || v.isSuperseded(s))
	})
	return v.hold(held)
}

// hold opens the files for as long as the survey is used. One that has been replaced since is damage, until the next try.
func (v *survey) hold(fsys vfs.FS) error {
	for _, s := range v.found {
		again, err := openStore(fsys, s.path, true)
		if err != nil {
			return err
		}
		s.file = again.file
		if s.head != again.head {
			return corrupt(s.path, 0, s.head.base, errors.New("it was replaced while it was being read"))
		}
	}
	return nil
}

// merge makes one history of the segments, and an archive of that.
func merge(opts Options, parts []*survey) (*Archive, error) {
	// Where two directories have the same segment, the archive's is taken: nothing is about to remove it.
	slices.SortStableFunc(parts, func(a, b *survey) int { return cmp.Compare(b.tail.seal, a.tail.seal) })
	v := &survey{dir: parts[0].dir, opts: opts}
	for _, p := range parts {
		v.found = append(v.found, p.found...)
	}
	slices.SortStableFunc(v.found, func(a, b *store) int { return cmp.Compare(a.head.base, b.head.base) })
	if err := errors.Join(v.identity(), v.choose()); err != nil {
		return nil, err
	}
	var archived []*store
	for _, p := range parts {
		switch {
		case !p.isLive():
			archived = append(archived, p.found...)
		case p.tail.first < v.stores[0].head.base:
			return nil, p.missing(p.tail.first)
		}
	}
	a := &Archive{archived: v.stores[0].head.base - 1}
	for _, s := range slices.Backward(v.stores) {
		if slices.Contains(archived, s) {
			a.archived = s.next - 1
			break
		}
	}
	if err := v.goBack(archived); err != nil {
		return nil, err
	}
	a.stores = v.stores
	return a, v.closeOthers()
}

// goBack puts before the segments what archives have from before the log was reset. What it held then and no archive got may have been
// worthless.
func (v *survey) goBack(archived []*store) error {
	front := v.stores[0].head
	if front.prevSalt != 0 {
		return nil
	}
	isLater := func(s *store) bool { return s.head.generation >= front.generation || s.head.base >= front.base }
	before := &survey{dir: v.dir, opts: v.opts, found: slices.DeleteFunc(slices.Clone(archived), isLater)}
	if len(before.found) == 0 {
		return nil
	}
	if err := before.choose(); err != nil {
		return err
	}
	if before.tail.next > front.base { // The reset gave these offsets out again.
		return nil
	}
	err := before.goBack(before.found)
	v.stores = slices.Concat(before.stores, v.stores)
	return err
}

// choose takes each segment from a directory that has all of it, and of the newest the most. Without a reset, all are part of one row.
func (v *survey) choose() error {
	if err := v.chooseLast(); err != nil {
		return err
	}
	for _, s := range slices.Backward(v.found) {
		if s.head.base < v.stores[0].head.base && !v.isSuperseded(s) {
			return v.wrongNeighbour(s)
		}
	}
	return nil
}

// chooseLast takes the newest segment, and those that it goes back to.
func (v *survey) chooseLast() error {
	last := v.newest()
	for _, s := range v.found {
		if s == last || s.head.salt != last.head.salt {
			continue
		}
		less, err := last.hasLess(s)
		if err != nil {
			return err
		}
		if less {
			last = s
		}
	}
	if err := v.readTail(last); err != nil && v.isLive() {
		return err
	}
	return v.link(0, true)
}

// hasLess compares two files that have the newest segment, and reports whether this one has less of it than the other. Each must
// begin with all that the other has, or they are not the same segment: the chain vouches for that.
func (s *store) hasLess(other *store) (bool, error) {
	if s.head != other.head {
		return false, corrupt(other.path, headSaltAt, other.head.base, fmt.Errorf("it is another segment (log %x, salt %x) than %s (log %x, salt %x)",
			other.head.id, other.head.salt, s.path, s.head.id, s.head.salt))
	}
	mine, err := s.read(wholeFile, nil)
	theirs, otherErr := other.read(wholeFile, nil)
	if err = cmp.Or(err, otherErr); err != nil {
		return false, err
	}
	less := theirs.end > mine.end || theirs.end == mine.end && theirs.seal == kindRolled
	longer, shorter := s, theirs
	if less {
		longer, shorter = other, mine
	}
	start, err := longer.read(shorter.end, nil)
	if err == nil && (start.end != shorter.end || start.chain != shorter.chain || shorter.seal == kindRolled && mine.end != theirs.end) {
		err = corrupt(other.path, theirs.end, theirs.next, fmt.Errorf("it ends with offset %d and chain %08x, but %s has other records there",
			theirs.next-1, theirs.chain, s.path))
	}
	return less, err
}
