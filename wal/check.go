package wal

import (
	"errors"
	"fmt"
	"io/fs"
)

// Violation is one thing that Check found.
type Violation struct {
	Path     string
	Position int64  // In bytes.
	Offset   uint64 // The record it is about, 0 where there is none.
	Damage   bool   // Something that was durable is gone or wrong; otherwise a notice that Open deals with.
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
// It changes nothing and goes on behind damage. It may run while the log is open, and may then report as a notice what
// is being written. The error is one of the disk, or ErrVersion.
func Check(dir string, opts Options) ([]Violation, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	opts.ReadOnly = true
	if opts.QuarantineDir == "" {
		opts.QuarantineDir = joinName(dir, "quarantine")
	}
	l := &Log{dir: dir, opts: opts}
	v, err := l.surveyLive()
	c := &checker{dir: dir, opts: opts, survey: v}
	var damage *CorruptError
	if errors.As(err, &damage) {
		c.damaged(damage)
	} else if err != nil {
		return nil, errors.Join(err, v.close())
	}
	if err := v.close(); err != nil {
		return nil, err
	}
	return c.violations, errors.Join(c.names(), c.stores(), c.notices())
}

// checker gathers violations.
type checker struct {
	dir        string
	opts       Options
	survey     *survey
	violations []Violation
}

// damaged adds damage, unless it is known.
func (c *checker) damaged(e *CorruptError) {
	found := Violation{Path: e.Path, Position: e.Position, Offset: e.Offset, Damage: true, Problem: e.Err.Error()}
	for _, v := range c.violations {
		if v.Path == found.Path && v.Position == found.Position {
			return
		}
	}
	c.violations = append(c.violations, found)
}

func (c *checker) notice(path string, position int64, offset uint64, format string, args ...any) {
	c.violations = append(c.violations, Violation{Path: path, Position: position, Offset: offset, Problem: fmt.Sprintf(format, args...)})
}

// names reports files that are nobody's, or that the next open will remove.
func (c *checker) names() error {
	for _, name := range c.survey.foreign {
		c.notice(joinName(c.dir, name), 0, 0, "not a file of the log; it is left alone")
	}
	for _, name := range c.survey.leftovers {
		c.notice(joinName(c.dir, name), 0, 0, "left by a creation or truncation that died; the next open removes it")
	}
	return nil
}

// stores reads every store to its end.
func (c *checker) stores() error {
	listing := &survey{dir: c.dir, indexes: map[uint64]bool{}}
	bases, err := listing.list(c.opts)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	for i, base := range bases {
		if err := c.store(base, i == len(bases)-1); err != nil {
			return err
		}
	}
	return nil
}

// store reads one store and its index.
func (c *checker) store(base uint64, last bool) error {
	s, err := openStore(c.opts.FS, joinName(c.dir, storeName(base)), true)
	var damage *CorruptError
	switch {
	case errors.As(err, &damage):
		c.damaged(damage)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil // A live writer has truncated it since.
	case err != nil:
		return err
	}
	err = c.frames(s, last)
	return errors.Join(err, s.file.Close())
}

// frames reads the frames of a store. How the last store may end was judged before; any other ends with its seal.
func (c *checker) frames(s *store, last bool) error {
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	sc := s.scan(size)
	var positions []uint32
	for {
		chain := sc.chain
		f, err := sc.frame()
		switch {
		case err != nil && !isScanStop(err):
			return fmt.Errorf("read %s at position %d: %w", s.path, sc.position, err)
		case err != nil && last:
			return c.index(s, positions, false)
		case err != nil && errors.Is(err, errNeverWritten) && c.survey.rolling && c.beforeLast(s):
			c.notice(s.path, sc.position, sc.next, "the seal is missing; the next open writes it")
			return c.index(s, positions, false)
		case err != nil:
			return c.behindDamage(s, sc, err)
		case f.kind == kindRecord:
			positions = append(positions, uint32(f.position))
			continue
		}
		if _, err := f.bounds(chain); err != nil {
			c.damaged(&CorruptError{Path: s.path, Position: f.position, Offset: f.offset, Err: err})
		}
		if f.kind.isSeal() {
			return c.index(s, positions, true)
		}
	}
}

// beforeLast reports whether a store is the last but one.
func (c *checker) beforeLast(s *store) bool {
	return s.head.base < c.survey.tail.next && c.survey.tail.end == headSize
}

// behindDamage reports a frame that doesn't check out, and how many bytes in front of the next one that does.
func (c *checker) behindDamage(s *store, sc *scanner, stop error) error {
	proof, written, err := sc.evidence()
	if err != nil {
		return err
	}
	if proof != 0 {
		stop = fmt.Errorf("%w; frames check out again at position %d", stop, proof)
	} else {
		stop = fmt.Errorf("%w; nothing behind it proves more, the last byte is at %d", stop, written)
	}
	c.damaged(&CorruptError{Path: s.path, Position: sc.position, Offset: sc.next, Err: stop})
	return nil
}

// index compares a store's index with where its records stand. Only a sealed store's must be whole.
func (c *checker) index(s *store, positions []uint32, sealed bool) error {
	path := joinName(c.dir, indexName(s.head.base))
	x := openIndexReadOnly(c.opts.FS, path)
	for i, position := range positions {
		if got, ok := x.get(uint32(i)); !ok || got != int64(position) {
			c.notice(path, int64(i)*entrySize, s.head.base+uint64(i), "the index says position %d where it is %d; it is rebuilt when the log is opened", got, position)
			return x.close()
		}
	}
	if sealed && int64(len(*x.entries.Load())) > int64(len(positions))*entrySize {
		c.notice(path, int64(len(positions))*entrySize, 0, "the index has more than the segment's %d entries", len(positions))
	}
	return x.close()
}

// notices reports how the log ends, where Open will say it too.
func (c *checker) notices() error {
	t := &c.survey.tail
	if len(c.violations) > 0 && c.violations[0].Damage || t.end == 0 {
		return nil
	}
	switch cut := t.cutFrom(); {
	case t.written > cut:
		c.notice(t.path, cut, t.next, "an unfinished tail of %d bytes; the next open cuts it and keeps it aside", t.written-cut)
	case t.seal == 0:
		c.notice(t.path, t.end, t.next, "the log is open, or was not closed")
	}
	if t.withdrawn {
		c.notice(t.path, t.end, t.last+1, "records %d to %d are being truncated; the next open finishes that", t.last+1, t.next-1)
	}
	return nil
}
