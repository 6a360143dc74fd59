package kv

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// wreck is what is left of a damaged store, as far as it can be read, and after what can be mended without a loss.
//
// Invariant: a stretch of damage lies before each of the runs but the first, which alone may be empty.
type wreck struct {
	dir  string
	opts Options
	log  *wal.Salvage
	id   [16]byte
	// The log in the directory is another store's, so it counts for nothing: the snapshots are the store.
	foreign bool

	runs    []run
	torn    bool   // There is a stretch of damage.
	newest  uint64 // The last commit of which anything is known.
	unknown bool   // There may have been later ones.

	inventory *inventory
	sound     []snapshot.Place // Those of later offsets first.
	damaged   []damagedSnapshot
}

// run is a run of commits that can be read, one after the other. An empty one has to = from-1.
type run struct{ from, to uint64 }

// damagedSnapshot is a snapshot that no start can begin with.
type damagedSnapshot struct {
	snapshot.Place
	err error
}

// survey reads everything that is left. Where the log is another store's than a snapshot, what keeps more is taken for the store.
func survey(ctx context.Context, dir string, opts Options) (*wreck, error) {
	w, err := surveyAs(ctx, dir, opts, false)
	if err != nil || !slices.ContainsFunc(w.damaged, func(d damagedSnapshot) bool { return errors.Is(d.err, errOtherStore) }) {
		return w, err
	}
	other, err := surveyAs(ctx, dir, opts, true)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	mine, _, err := w.best()
	theirs, _, otherErr := other.best()
	if theirs.end > mine.end {
		w, other = other, w
	}
	if err = errors.Join(err, otherErr, other.close()); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func surveyAs(ctx context.Context, dir string, opts Options, foreign bool) (w *wreck, err error) {
	w = &wreck{dir: dir, opts: opts, inventory: newInventory(dir, opts), foreign: foreign}
	if w.log, err = wal.OpenSalvage(filepath.Join(dir, walName), opts.log(dir)); err != nil {
		return nil, err
	}
	if !foreign {
		if _, err = w.log.Fix(); err == nil {
			err = w.readLog(ctx)
		}
	}
	if err == nil {
		err = w.readSnapshots(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *wreck) close() error { return w.log.Close() }

// pieces yields what is left of the log. A record that is no commit is a stretch.
func (w *wreck) pieces(ctx context.Context) iter.Seq2[wal.Piece, error] {
	return func(yield func(wal.Piece, error) bool) {
		if w.foreign {
			return
		}
		for p, err := range whileLasting(ctx, w.log.Pieces()) {
			if err == nil && p.Err == nil {
				p.Err = checkEntry(p.Payload)
				if errors.Is(p.Err, ErrVersion) {
					err = undecodable(p.Path, p.Offset, p.Err)
				}
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// readLog finds the runs.
func (w *wreck) readLog(ctx context.Context) error {
	w.runs = []run{{w.log.First(), w.log.First() - 1}} // What comes before the damage, perhaps nothing.
	follows := true
	w.unknown = len(w.log.Bases()) == 0
	for p, err := range w.pieces(ctx) {
		if err != nil {
			return err
		}
		last := &w.runs[len(w.runs)-1]
		switch {
		case p.Err != nil:
			w.torn, follows = true, false
			w.unknown = w.unknown || p.Last == 0
		case follows && p.Offset == last.to+1:
			last.to = p.Offset
		default:
			w.runs, follows = append(w.runs, run{p.Offset, p.Offset}), true
		}
		w.newest = max(w.newest, p.Last)
	}
	return nil
}

// readSnapshots reads every snapshot. Where the log has no identity any more it is that of the newest one.
func (w *wreck) readSnapshots(ctx context.Context) error {
	id, known := w.log.ID()
	known = known && !w.foreign
	logged := max(w.newest, w.log.First()-1) // An empty log says where it goes on.
	w.unknown = w.unknown || w.foreign
	w.inventory.id = &id
	places, err := w.inventory.list()
	if err != nil {
		return err
	}
	for _, place := range places {
		if !known {
			id, known = w.identityOf(place)
		}
		err := w.inventory.verify(ctx, place, nil)
		switch {
		case err == nil:
			w.sound = append(w.sound, place)
		case errors.Is(err, fs.ErrNotExist):
		case ctx.Err() != nil || errors.Is(err, ErrVersion):
			return err
		default:
			w.damaged = append(w.damaged, damagedSnapshot{place, err})
		}
		w.newest = max(w.newest, place.Offset)
	}
	w.unknown = w.unknown || w.newest > logged // The end of the log is gone, and nothing says where it was.
	w.id = id
	return nil
}

// identityOf returns the identity of the store of a snapshot.
func (w *wreck) identityOf(place snapshot.Place) (id [16]byte, ok bool) {
	file, err := snapshot.Open(w.opts.fs, place.Path)
	if err != nil {
		return id, false
	}
	id = file.Info().ID
	return id, file.Close() == nil
}

// source is where a replay reads the commits of a run.
func (w *wreck) source(ctx context.Context, r run) source {
	return source{
		path: func(uint64) string { return filepath.Join(w.dir, walName) },
		records: func(at moment) (iter.Seq2[wal.Record, error], error) {
			return func(yield func(wal.Record, error) bool) {
				for p, err := range w.pieces(ctx) {
					if err == nil && (p.Err != nil || p.Offset < max(r.from, at.offset) || p.Offset > r.to) {
						continue
					}
					if !yield(wal.Record{Offset: p.Offset, Payload: p.Payload}, err) {
						return
					}
				}
			}, nil
		},
	}
}
