package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// surveyTries is how often a read-only open looks at a directory that seems damaged: a live writer may have rolled or
// truncated between two looks at it.
const surveyTries = 6

// openReadOnly is Open for a log that is only read, perhaps beside a live writer in another process.
func (l *Log) openReadOnly() error {
	start := time.Now()
	v, err := l.surveyLive()
	if err == nil && len(v.stores) == 0 {
		err = fmt.Errorf("no segment in %s: %w", l.dir, fs.ErrNotExist)
	}
	if errors.As(err, &l.damage) {
		v, err = surveyReadable(l.dir, l.opts, l.damage)
	}
	if err != nil {
		return errors.Join(err, v.close())
	}
	if err := l.adoptReadOnly(v); err != nil {
		return errors.Join(err, v.close())
	}
	l.recovery.Elapsed = time.Since(start)
	return nil
}

// surveyLive surveys until what it sees is consistent, or stays as it is. A listing that was made while a segment came
// and another went may have neither.
func (l *Log) surveyLive() (v *survey, err error) {
	for try := range surveyTries {
		if v, err = surveyDir(l.dir, l.opts); err == nil && len(v.stores) > 0 {
			return v, nil
		}
		if err := v.close(); err != nil {
			return v, err
		}
		time.Sleep(time.Millisecond << try)
	}
	return v, err
}

// adoptReadOnly takes over what a survey found, mending nothing.
func (l *Log) adoptReadOnly(v *survey) error {
	stores := v.stores[:v.standing()]
	for _, s := range v.stores[len(stores):] {
		if err := s.file.Close(); err != nil {
			return err
		}
	}
	v.stores = stores
	segments, err := l.openIndexes(stores, &v.tail)
	if err != nil {
		return err
	}
	v.stores = nil
	l.adopt(segments)
	l.first.Store(v.tail.first)
	if v.tail.withdrawn {
		l.acknowledged.Store(v.tail.last)
		l.durable.Store(v.tail.last)
	}
	r := &l.recovery
	r.First, r.Last, r.Segments = l.first.Load(), l.acknowledged.Load(), len(segments)
	r.Outcome = Clean
	if v.tail.seal == 0 {
		r.Outcome = Unclean
	}
	if cut := v.tail.cutFrom(); v.tail.written > cut {
		r.Outcome, r.CutBytes, r.CutPosition = Torn, v.tail.written-cut, cut
		r.CutPath = joinName(l.dir, storeName(segments[len(segments)-1].base()))
	}
	return nil
}

// surveyReadable finds the part of a damaged log that can be read: whole segments one after the other, up to the first
// frame that doesn't check out.
func surveyReadable(dir string, opts Options, damage *CorruptError) (*survey, error) {
	v := &survey{dir: dir, indexes: map[uint64]bool{}}
	bases, err := v.list(opts)
	if err != nil {
		return v, damage
	}
	for _, base := range bases {
		s, err := openStore(opts.FS, joinName(dir, storeName(base)), true)
		if err != nil {
			break
		}
		if n := len(v.stores); s.head.base != base || n > 0 && !v.stores[n-1].followedBy(s) {
			if err := s.file.Close(); err != nil {
				return v, err
			}
			break
		}
		v.stores = append(v.stores, s)
		if _, err := s.scanReadable(); err != nil {
			return v, err
		}
	}
	if len(v.stores) == 0 {
		return v, damage
	}
	last := v.stores[len(v.stores)-1]
	positions, err := last.positions(last.end)
	v.tail = tail{end: last.end, next: last.next, chain: last.chain, first: v.stores[0].head.base, last: last.next - 1, written: last.end, positions: positions}
	return v, err
}

// followedBy reports whether a store continues where this one's frames end.
func (s *store) followedBy(next *store) bool {
	return s.next == next.head.base && s.head.salt == next.head.prevSalt && s.chain == next.head.prevChain
}

// scanReadable finds the end of the frames that check out, and the kind of the seal behind them; it is 0 where there is
// none. A seal may be read, but is none of the store's frames.
func (s *store) scanReadable() (seal frameKind, err error) {
	size, err := s.file.Size()
	if err != nil {
		return 0, err
	}
	sc := s.scan(size)
	for {
		f, err := sc.frame()
		if err != nil && !isScanStop(err) {
			return 0, fmt.Errorf("read %s at position %d: %w", s.path, sc.position, err)
		}
		if err != nil || f.kind.isSeal() {
			s.written.Store(sc.position)
			return f.kind, nil
		}
		s.end, s.next, s.chain = sc.position, sc.next, sc.chain
	}
}
