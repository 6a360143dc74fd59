package wal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Salvage reads what is left of a damaged log, and plans how to make a log of it again. It works on a sound log, too. Its
// methods must not be called concurrently.
//
// Invariant: parts are the files that make up the log, in the order of their bases; nothing on disk is changed but by Apply of a
// Repair.
type Salvage struct {
	log     *Log // Without segments: the paths and the options.
	mended  *mendedFS
	survey  *survey
	parts   []part
	strays  []part        // Files that are none of its segments and yet keep it from opening.
	orphans []uint64      // Bases of index files without a store.
	first   uint64        // The first offset that the log should hold.
	verdict *CorruptError // What is wrong with the log's end; nil where it is sound or torn.
	fixes   []Fix
}

// part is a file that should be a segment of the log.
type part struct {
	path  string
	base  uint64 // Of the header; of the name where the header doesn't check out.
	size  int64
	store *store // nil where the header doesn't check out.
	limit int64  // Where the next segment follows, or the log ends.
	err   error  // Why the header doesn't check out.
}

// OpenSalvage looks at the directory of a log. The error is ErrVersion, or one of the file system: damage is met by reading.
func OpenSalvage(dir string, opts Options) (*Salvage, error) {
	l, err := newLog(dir, opts)
	if err != nil {
		return nil, err
	}
	s := &Salvage{log: l, mended: newMendedFS(l.opts.FS)}
	if err := s.look(); err != nil {
		return nil, fmt.Errorf("look at log %s: %w", dir, errors.Join(err, s.Close()))
	}
	return s, nil
}

// Close closes the files.
func (s *Salvage) Close() error {
	if s.survey == nil {
		return nil
	}
	return s.survey.close()
}

// ID returns the identity of the log; ok is false where no segment's header checks out.
func (s *Salvage) ID() (id [16]byte, ok bool) {
	for _, p := range s.parts {
		if p.store != nil {
			return p.store.head.id, true
		}
	}
	return id, false
}

// Bases returns the first offsets of the segments that are there and whose headers check out.
func (s *Salvage) Bases() (bases []uint64) {
	for _, p := range s.parts {
		if p.store != nil {
			bases = append(bases, p.base)
		}
	}
	return bases
}

// First returns the first offset that the log should hold.
func (s *Salvage) First() uint64 { return s.first }

// look opens every file that there is, as it is after the fixes that are known.
func (s *Salvage) look() error {
	err := s.Close()
	opts := s.log.opts
	opts.FS, opts.ReadOnly = s.mended, true
	v := &survey{dir: s.log.dir, opts: opts}
	s.survey, s.parts, s.strays, s.orphans, s.verdict, s.first = v, nil, nil, nil, nil, 1
	if err := errors.Join(err, v.list()); err != nil {
		return err
	}
	var all []part
	for _, base := range v.bases {
		p, err := s.open(base)
		if err != nil {
			return err
		}
		all = append(all, p)
		delete(v.indexes, base)
	}
	s.orphans = slices.Sorted(maps.Keys(v.indexes))
	return s.choose(all)
}

// open opens one store.
func (s *Salvage) open(base uint64) (part, error) {
	p := part{path: joinName(s.log.dir, storeName(base)), base: base}
	opened, err := s.survey.openStore(base)
	if err != nil {
		var damage *CorruptError
		if !errors.As(err, &damage) {
			return p, err
		}
		p.err = damage.Err
		file, err := s.mended.OpenRead(p.path)
		if err == nil {
			p.size, err = file.Size()
			err = errors.Join(err, file.Close())
		}
		return p, err
	}
	s.survey.found = append(s.survey.found, opened)
	p.store = opened
	p.size, err = opened.file.Size()
	switch {
	case err != nil:
		return p, err
	case opened.head.base != base:
		p.store, p.err = nil, fmt.Errorf("the header says that its first offset is %d", opened.head.base)
	}
	return p, nil
}

// choose finds the parts of the log among all files, and where each ends.
func (s *Salvage) choose(all []part) error {
	isOthers := s.otherLogs(all)
	for i := range all {
		if p := &all[i]; p.store != nil && isOthers(p.store) {
			p.err, p.store = fmt.Errorf("it belongs to another log, %x", p.store.head.id), nil
		}
	}
	var newest *store
	for _, p := range all {
		if p.store != nil && (newest == nil || newer(p.store, newest) > 0) {
			newest = p.store
		}
	}
	if newest == nil {
		if s.parts = all; len(all) > 0 {
			s.first = all[0].base
		}
		return nil
	}
	end, err := s.judge(newest)
	if err != nil {
		return err
	}
	for _, p := range all {
		switch {
		case p.base < s.first && p.store == nil:
			s.strays = append(s.strays, p)
		case p.base >= s.first && (p.store == nil || p.store == newest || !isReplaced(all, p.store)):
			s.parts = append(s.parts, p)
		}
	}
	s.limit(newest, end)
	return nil
}

// otherLogs returns what reports whether a store is none of the log to which most belong.
func (s *Salvage) otherLogs(all []part) func(*store) bool {
	count := map[[16]byte]int{}
	var most [16]byte
	for _, p := range all {
		if p.store != nil {
			if count[p.store.head.id]++; count[p.store.head.id] > count[most] {
				most = p.store.head.id
			}
		}
	}
	return func(f *store) bool { return f.head.id != most }
}

// isReplaced reports whether a segment took the place of a store, by a cut or reset.
func isReplaced(all []part, f *store) bool {
	return slices.ContainsFunc(all, func(p part) bool {
		return p.store != nil && p.store.head.generation > f.head.generation && (p.store.head.prevSalt == 0 || p.base <= f.head.base)
	})
}

// judge finds where the log ends, and whether that is damage.
func (s *Salvage) judge(newest *store) (end int64, err error) {
	r, err := newest.read(wholeFile, nil)
	if err == nil {
		err = newest.judgeEnd(&r, s.survey.index(newest))
	}
	s.first = max(newest.head.first, r.first)
	if err != nil && !errors.As(err, &s.verdict) {
		return 0, err
	}
	if s.verdict != nil && s.verdict.Path == newest.path {
		return r.size, nil
	}
	return r.end, nil
}

// limit notes where each part ends: where the next one follows it.
func (s *Salvage) limit(newest *store, end int64) {
	for i := range s.parts {
		p := &s.parts[i]
		switch {
		case p.store == nil:
		case p.store == newest:
			p.limit = end
		case s.follows(i + 1):
			p.limit = min(p.size, s.parts[i+1].store.head.prevEnd)
		default:
			p.limit = p.size
		}
	}
}

// follows reports whether a part was made to follow the one before it.
func (s *Salvage) follows(i int) bool {
	if i == 0 || i >= len(s.parts) {
		return false
	}
	p, next := s.parts[i-1].store, s.parts[i].store
	return p != nil && next != nil && next.head.prevSalt == p.head.salt
}
