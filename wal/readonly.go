package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"time"
)

// A live writer may roll or truncate between two looks at its directory, so that what a look finds belongs together in no way.
// Damage stays as it is: it counts once two looks, one after the other, agree on it.
const surveyTries = 12

// emptyTries is how often a directory without a log is looked at: a listing made during a cut may have no segment.
const emptyTries = 5

// openReadOnly is Open for a log that is only read, perhaps beside a live writer in another process.
func (l *Log) openReadOnly() (*survey, error) {
	v, err := surveyLive(l.dir, l.opts)
	if err == nil && len(v.stores) == 0 {
		err = fmt.Errorf("no segment in %s: %w", l.dir, fs.ErrNotExist)
	}
	if !l.opts.Follow && errors.As(err, &l.damage) {
		err = errors.Join(v.close(), v.readable(l.damage))
	}
	if err == nil {
		err = l.adoptReadOnly(v)
	}
	if err == nil && l.opts.Follow {
		err = l.syncRead() // What is shown at first.
	}
	return v, err
}

// surveyLive surveys a directory until what it sees is a whole log, or is the same damage twice.
func surveyLive(dir string, opts Options) (*survey, error) {
	opts.ReadOnly = true
	before := ""
	for try := 0; ; try++ {
		v, err := surveyDir(dir, opts)
		mayPass := errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist)
		seen := fmt.Sprint(v.identities(), err)
		switch {
		case err == nil && (len(v.stores) > 0 || try >= emptyTries), err != nil && (!mayPass || seen == before), try == surveyTries:
			return v, err
		}
		before = seen
		if err := v.close(); err != nil {
			return v, err
		}
		time.Sleep(time.Millisecond << min(try, 5))
	}
}

// identities says which stores were found.
func (v *survey) identities() (salts []uint64) {
	for _, s := range v.found {
		salts = append(salts, s.head.salt)
	}
	return salts
}

// adoptReadOnly takes over what a survey found, mending nothing.
func (l *Log) adoptReadOnly(v *survey) error {
	l.recovery = v.outcome()
	err := errors.Join(v.closeOthers(), l.adopt(v))
	l.proven.Store(l.Last())
	if last := v.stores[len(v.stores)-1]; v.tail.seal == 0 {
		before := sort.Search(int(v.positions.count), func(i int) bool { return v.positions.get(uint64(i), nil) >= v.tail.proven })
		l.proven.Store(last.head.base - 1 + uint64(before))
	}
	return err
}

// readable makes a survey of the part of a damaged log that can be read: segments that follow one another, from the first of the
// newest such run, up to the first frame that doesn't check out.
func (v *survey) readable(damage *CorruptError) error {
	for _, base := range v.bases {
		s, err := v.openStore(base)
		if err != nil {
			break
		}
		if s.head.base != base || len(v.found) > 0 && !v.found[len(v.found)-1].leadsTo(s) {
			if err := s.file.Close(); err != nil {
				return err
			}
			break
		}
		v.found = append(v.found, s)
	}
	if len(v.found) == 0 {
		return damage
	}
	last := v.found[len(v.found)-1]
	v.stores, v.positions = v.found, &index{}
	t, err := last.read(wholeFile, v.positions)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if err != nil { // A mark contradicts the frames before it.
		t.end, t.next, t.chain = t.recordEnd, last.head.base+uint64(v.positions.count), 0
	}
	last.cutAt(t.end, t.next, t.chain)
	v.tail = t
	v.tail.first, v.tail.seal, v.tail.written = v.stores[0].head.base, 0, t.end
	return nil
}

// leadsTo lets a store end where the next one follows, and reports whether it does: everything before that is read.
func (s *store) leadsTo(next *store) bool {
	if s.head.salt != next.head.prevSalt || s.head.generation == next.head.generation && s.readSeal(next) != nil {
		return false
	}
	r, err := s.read(next.head.prevEnd, nil)
	if err != nil || s.judgeSealed(&r, next) != nil {
		return false
	}
	s.endWith(next)
	return true
}
