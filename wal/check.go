package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// Violation is one thing that Check found.
type Violation struct {
	Path     string
	Position int64  // In bytes.
	Offset   uint64 // The record it is about, 0 where there is none.
	Damage   bool   // Something that was durable is gone or wrong; otherwise a notice of what Open deals with.
	Problem  string
}

// String returns the violation as a line.
func (v Violation) String() string {
	kind := "notice"
	if v.Damage {
		kind = "damage"
	}
	return fmt.Sprintf("%s: %s at position %d, offset %d: %s", kind, v.Path, v.Position, v.Offset, v.Problem)
}

// Check reads every byte of a log's directory and lists what is wrong, damage and notices, in the order of the files.
// It judges as Open does, changes nothing, and goes on after damage. It may run while the log is open, and may then report as
// a notice what is being written. The error is one of the disk, or ErrVersion.
func Check(dir string, opts Options) ([]Violation, error) {
	l, err := newLog(dir, opts)
	if err != nil {
		return nil, err
	}
	l.opts.ReadOnly = true
	for try := 0; ; try++ {
		c := &checker{}
		before, err := c.check(l.dir, l.opts)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(c.violations, func(v Violation) bool { return v.Damage }) || try == surveyTries {
			return c.violations, nil
		}
		after, err := surveyLive(l.dir, l.opts)
		now := after.identities()
		if errors.Is(err, ErrCorrupt) {
			err = nil // It is listed where it is met again.
		}
		if err := errors.Join(err, after.close()); err != nil {
			return nil, err
		}
		if slices.Equal(before, now) {
			return c.violations, nil
		}
		// A live writer has rolled or truncated since: look again.
	}
}

// checker gathers violations.
type checker struct{ violations []Violation }

// check looks at the directory once, and returns which stores it found.
func (c *checker) check(dir string, opts Options) (found []uint64, err error) {
	v, err := surveyLive(dir, opts)
	defer func() { err = errors.Join(err, v.close()) }()
	found = v.identities()
	var damage *CorruptError
	if errors.As(err, &damage) {
		c.damaged(damage)
	} else if err != nil {
		return nil, err
	}
	for _, name := range v.foreign {
		c.notice(joinName(dir, name), 0, 0, "not a file of the log; it is left alone")
	}
	for _, name := range v.leftovers {
		c.notice(joinName(dir, name), 0, 0, "left by a creation or truncation that died; the next open removes it")
	}
	if damage != nil {
		return found, c.apart(v)
	}
	return found, c.whole(v)
}

// damaged adds damage, unless it is known.
func (c *checker) damaged(e *CorruptError) {
	found := Violation{Path: e.Path, Position: e.Position, Offset: e.Offset, Damage: true, Problem: e.Err.Error()}
	isKnown := func(v Violation) bool { return v.Path == found.Path && v.Position == found.Position }
	if !slices.ContainsFunc(c.violations, isKnown) {
		c.violations = append(c.violations, found)
	}
}

func (c *checker) notice(path string, position int64, offset uint64, format string, args ...any) {
	c.violations = append(c.violations, Violation{Path: path, Position: position, Offset: offset, Problem: fmt.Sprintf(format, args...)})
}

// whole reads every store of a log that is sound as far as the survey saw.
func (c *checker) whole(v *survey) error {
	if len(v.stores) == 0 {
		return nil
	}
	for i, next := range v.stores[1:] {
		if err := c.store(v, v.stores[i], next); err != nil {
			return err
		}
	}
	err := c.index(v, v.stores[len(v.stores)-1], v.tail.seal != 0) // The survey has read the last store.
	c.end(v)
	return err
}

// store reads a store that another one follows.
func (c *checker) store(v *survey, s, next *store) error {
	r, err := s.read(next.head.prevEnd, nil)
	if err == nil {
		err = s.judgeSealed(&r, next)
	}
	if err != nil {
		return c.afterDamage(s, &r, err)
	}
	if v.rolling && next == v.stores[len(v.stores)-1] && s.readSeal(next) != nil {
		c.notice(s.path, next.head.prevEnd, next.head.base, "the seal is missing; the next open writes it")
	}
	return c.index(v, s, true)
}

// apart reads every store that can be opened. The survey met damage, so it may not have linked them.
func (c *checker) apart(v *survey) error {
	for i, base := range v.bases {
		s, err := v.openStore(base)
		var damage *CorruptError
		if errors.As(err, &damage) {
			c.damaged(damage)
			continue
		}
		if err == nil {
			err = errors.Join(c.alone(s, i == len(v.bases)-1), s.file.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone reads a store of a damaged log. Any but the last ends with a seal, or where its end was cut.
func (c *checker) alone(s *store, last bool) error {
	r, err := s.read(wholeFile, nil)
	isCut := r.proof == 0 && errors.Is(r.stop, errNeverWritten) // Its end was cut, so that it has no seal.
	if err == nil && r.seal == 0 && !last && !isCut {
		err = corrupt(s.path, r.end, r.next, r.stop)
	}
	return c.afterDamage(s, &r, err)
}

// afterDamage reports a frame that doesn't check out, and where frames check out again. It returns an error that is another one.
func (c *checker) afterDamage(s *store, r *reading, err error) error {
	var damage *CorruptError
	if !errors.As(err, &damage) {
		return err
	}
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	proof, written, err := s.scanFrom(damage.Position, r.next, size).evidence()
	if err != nil {
		return err
	}
	found := *damage
	if proof != 0 {
		found.Err = fmt.Errorf("%w; frames check out again at position %d", damage.Err, proof)
	} else {
		found.Err = fmt.Errorf("%w; nothing after it proves more, the last byte is at %d", damage.Err, written)
	}
	c.damaged(&found)
	return nil
}

// index compares a store's index file with where its records stand. One that doesn't fit is made again by Open.
func (c *checker) index(v *survey, s *store, ended bool) error {
	path := indexPath(s)
	head, file, err := openIndexFile(v.opts.FS, s)
	if err != nil {
		if ended || v.indexes[s.head.base] {
			c.notice(path, 0, 0, "no index of the store (%v); it is made again when the log is opened", err)
		}
		return nil
	}
	defer func() { _ = file.Close() }() // It was only read.
	entries := crc32.New(castagnoli)
	if _, err := io.Copy(entries, io.NewSectionReader(file, indexHeadSize, int64(head.count)*entrySize)); err != nil {
		return err
	}
	switch {
	case ended && !head.fits(s):
		c.notice(path, 0, 0, "the index says %d records up to position %d where there are %d up to %d; it is made again when the log is opened",
			head.count, head.end, s.count(), s.end)
	case entries.Sum32() != head.entriesSum:
		c.notice(path, indexHeadSize, 0, "the entries' checksum is wrong; an entry that leads to no record is made again when it is met")
	}
	return nil
}

// end reports how the log ends, where Open will say it too.
func (c *checker) end(v *survey) {
	switch t, found := &v.tail, v.outcome(); found.Outcome {
	case Torn:
		c.notice(found.CutPath, found.CutPosition, t.next, "an unfinished tail of %d bytes; the next open cuts it and keeps it aside", found.CutBytes)
	case Unclean:
		c.notice(v.stores[len(v.stores)-1].path, t.end, t.next, "the log is open, or was not closed")
	}
}
