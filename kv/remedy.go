package kv

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/wal"
)

// remedy is one way in which a damaged store can be made to open: a state to begin with, and a run of commits after it.
type remedy struct {
	base     uint64 // The snapshot to begin with; 0 is the empty state.
	archived bool   // Commits between that and the run come from an archive.
	run      run    // Empty where nothing of the log follows.
	end      uint64 // The last commit of the store afterwards.
	keep     uint64 // The segment from which the log stays; 0 where it starts over after end.
	write    uint64 // The snapshot to write first; 0 where none is needed.
	log      wal.Repair
}

// first returns the first commit that the log holds afterwards.
func (o remedy) first() uint64 {
	if o.keep != 0 {
		return o.keep
	}
	return o.end + 1
}

// better reports whether a remedy keeps more than another one: later commits, or else more of the log.
func (o remedy) better(than remedy) bool {
	if o.end != than.end {
		return o.end > than.end
	}
	return o.first() < than.first() || o.first() == than.first() && o.write == 0 && than.write != 0
}

// reached is a state that can be made without the log: that of a snapshot, or an empty one, and what an archive adds to it.
type reached struct {
	base     uint64
	to       uint64
	archived bool
}

// reach returns the states that can be made without the log.
func (w *wreck) reach() (states []reached, err error) {
	for _, place := range w.sound {
		states = append(states, reached{base: place.Offset, to: place.Offset})
	}
	states = append(states, reached{})
	if w.opts.ArchiveDir == "" {
		return states, nil
	}
	archive, err := wal.OpenArchive(w.opts.log(w.dir), w.opts.ArchiveDir)
	if err != nil {
		return nil, err
	}
	if len(w.log.Bases())+len(w.sound) > 0 && archive.ID() != w.id {
		err = fmt.Errorf("archive %s is of another store, %x, where this one is %x: %w", w.opts.ArchiveDir, archive.ID(), w.id, ErrMismatch)
	}
	for _, s := range states {
		if to := unbroken(archive.Segments(), s.to); to > s.to {
			states = append(states, reached{s.base, to, true})
		}
	}
	return states, errors.Join(err, archive.Close())
}

// best returns the remedy that keeps most.
func (w *wreck) best() (best remedy, ok bool, err error) {
	states, err := w.reach()
	consider := func(o remedy) {
		if !ok || o.better(best) {
			best, ok = o, true
		}
	}
	for _, s := range states {
		if s.to > 0 {
			o := remedy{base: s.base, archived: s.archived, end: s.to}
			if s.archived {
				o.write = s.to
			}
			consider(o)
		}
		for _, r := range w.runs {
			if r.from <= s.to+1 && r.to >= s.to && (r.to > 0 || w.isWhole()) {
				consider(w.goesOn(s, r))
			}
		}
	}
	return best, ok, err
}

// isWhole reports whether the log is sound, though perhaps empty.
func (w *wreck) isWhole() bool { return !w.foreign && !w.torn && len(w.log.Bases()) > 0 }

// goesOn returns the remedy of a state and a run of commits that goes on from it, or from before it.
func (w *wreck) goesOn(s reached, r run) remedy {
	o := remedy{base: s.base, archived: s.archived && r.from > s.base+1, run: r, end: r.to}
	if w.isWhole() {
		o.keep = r.from
	}
	for _, at := range w.log.Bases() {
		if o.keep == 0 && at >= r.from && at <= r.to && at <= s.to+1 {
			o.keep = at
		}
	}
	if i := slices.IndexFunc(w.log.Bases(), func(at uint64) bool { return at > s.to+1 && at <= r.to }); o.keep == 0 && i >= 0 {
		o.keep = w.log.Bases()[i]
	}
	switch {
	case o.keep > s.base+1:
		o.write = o.keep - 1
	case o.keep == 0 && r.to > s.base:
		o.write = r.to
	}
	return o
}

// planLog plans what a remedy needs of the log.
func (w *wreck) planLog(o remedy) (wal.Repair, error) {
	if o.keep != 0 {
		return w.log.Keep(o.keep, o.end)
	}
	return w.log.StartOver(w.id, o.end+1)
}

// whyNot says why nothing that is left makes a store.
func (w *wreck) whyNot() string {
	first := w.log.First()
	switch {
	case len(w.sound) == 0 && len(w.damaged) > 0:
		return fmt.Sprintf("no snapshot can be read whole, and the log holds no commits before %d", first)
	case len(w.sound) == 0:
		return fmt.Sprintf("there is no snapshot, and the first commit in %s can't be read", filepath.Join(w.dir, walName))
	}
	return fmt.Sprintf("the newest snapshot that can be read is as of %d, and the log begins with %d", w.sound[0].Offset, first)
}
