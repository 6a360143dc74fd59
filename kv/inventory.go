package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// inventory is what is known of the snapshots in a store's directory. Everything that starts from snapshots, counts or
// removes them asks it, so that all agree on which ones are sound.
//
// A snapshot is sound once every byte of it was read and checked, by this process and after it was written. That takes
// long, so the verdict is kept for as long as the file has its name and size.
type inventory struct {
	opts     Options
	dir      string
	id       *[16]byte // Of the store, where no log is open.
	log      *wal.Log  // That the snapshots must belong to; set once it is open.
	verdicts sync.Map  // By snapshot.Place: nil for a sound one, else its damage. Other errors may pass, so they aren't kept.
}

// newInventory returns the inventory of the store in a directory.
func newInventory(dir string, opts Options) *inventory {
	return &inventory{opts: opts, dir: filepath.Join(dir, snapshotName)}
}

// list returns the snapshots there are, those of later offsets first.
func (v *inventory) list() ([]snapshot.Place, error) { return snapshot.List(v.opts.fs, v.dir) }

// openTries is how often something that reads snapshots is tried while a checkpoint, perhaps of another process, takes away
// what it is about to read.
const openTries = 8

// whileSteady calls try again as long as it fails and snapshots came or went meanwhile: a checkpoint prunes the snapshots,
// and the log before those that it keeps.
func (v *inventory) whileSteady(try func() error) error {
	for tries := 1; ; tries++ {
		before, listErr := v.list()
		err := try()
		if err == nil || listErr != nil || tries == openTries {
			return err
		}
		if after, listErr := v.list(); listErr != nil || slices.Equal(before, after) {
			return err
		}
	}
}

// open opens a snapshot and checks all of it but its blocks.
func (v *inventory) open(path string) (*snapshot.File, error) {
	file, err := snapshot.Open(v.opts.fs, path)
	if err != nil {
		return nil, snapshotError(path, err)
	}
	info := file.Info()
	_, isState := acceptedIn(info.Header)
	switch {
	case info.ID != v.identity():
		err = fmt.Errorf("%w: its identity is %x, the log's %x", errOtherStore, info.ID, v.identity())
	case !isState:
		err = fmt.Errorf("the snapshot is no state: kind %d, from offset %d", info.Kind, info.From)
	default:
		return file, nil
	}
	return nil, errors.Join(&CorruptError{Path: path, Offset: info.Offset, Err: err}, file.Close())
}

var errOtherStore = errors.New("the snapshot is of another store")

// identity returns the identity of the store.
func (v *inventory) identity() [16]byte {
	if v.log == nil {
		return *v.id
	}
	return v.log.ID()
}

// verdict returns what is known of a snapshot.
func (v *inventory) verdict(place snapshot.Place) (damage error, known bool) {
	value, known := v.verdicts.Load(place)
	damage, _ = value.(error)
	return damage, known
}

// judge keeps what reading a whole snapshot came to, and returns it.
func (v *inventory) judge(place snapshot.Place, err error) error {
	if err == nil || errors.Is(err, ErrCorrupt) {
		v.verdicts.Store(place, err)
	}
	return err
}

// verify reports why a snapshot isn't sound; nil where it is. It reads those that have no verdict yet, a block at a time.
func (v *inventory) verify(ctx context.Context, place snapshot.Place, pace *throttle) error {
	if damage, known := v.verdict(place); known {
		return damage
	}
	workers := 1
	if pace == nil {
		workers = 0 // As many as there are processors.
	}
	file, err := v.open(place.Path)
	if err == nil {
		err = errors.Join(snapshotError(place.Path, checkPairs(ctx, file, workers, pace)), file.Close())
	}
	return v.judge(place, err)
}

// checkPairs reads every block of a state's snapshot, and reports why it isn't what was written.
func checkPairs(ctx context.Context, file *snapshot.File, workers int, pace *throttle) error {
	var sum uint64
	for checked, err := range whileLasting(ctx, snapshot.Decode(file, workers, checkPair)) {
		if err != nil {
			return err
		}
		sum += checked.sum
		pace.worked(checked.size)
	}
	return compareSums(sum, file.Info())
}

// checkedPair is what an entry adds to its snapshot: bytes, and to the checksum.
type checkedPair struct {
	size int
	sum  uint64
}

// checkPair returns what an entry adds, or why it is no pair.
func checkPair(e snapshot.Entry) (checkedPair, error) {
	deadline, value, err := splitPair(e)
	return checkedPair{len(e.Key) + len(e.Data), pairSum(e.Key, value, deadline)}, err
}

// whileLasting yields values until ctx ends, and then its cause.
func whileLasting[T any](ctx context.Context, values iter.Seq2[T, error]) iter.Seq2[T, error] {
	if ctx.Done() == nil {
		return values
	}
	return func(yield func(T, error) bool) {
		for value, err := range values {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if !yield(value, err) || err != nil {
				return
			}
		}
	}
}

// prune removes the oldest snapshots, all but the given number of sound ones, and returns the offset of the oldest of
// these, as surplus does, and the paths that are gone.
func (v *inventory) prune(ctx context.Context, keep int, pace *throttle) (oldest uint64, removed []string, err error) {
	oldest, surplus, err := v.surplus(ctx, keep, pace)
	if err != nil || oldest == 0 {
		return 0, nil, err
	}
	if removed, err = v.remove(surplus); err != nil {
		return 0, removed, err
	}
	return oldest, removed, nil
}

// surplus returns the snapshots that are older than the given number of sound ones, and the offset of the oldest of these; it is 0 where
// fewer are sound, and then there is no surplus. Damaged ones don't count. Nor does one that the log doesn't follow any more: no start can
// begin with it. An archive doesn't change that, since no start reads it.
func (v *inventory) surplus(ctx context.Context, keep int, pace *throttle) (oldest uint64, surplus []snapshot.Place, err error) {
	places, err := v.list()
	if err != nil || len(places) < keep {
		return 0, nil, err
	}
	// What this process has not written itself may have a name that isn't durable yet.
	if err := v.opts.fs.SyncDir(v.dir); err != nil {
		return 0, nil, err
	}
	sound, next, first := 0, 0, v.log.First()
	for ; sound < keep && next < len(places) && places[next].Offset >= first-1; next++ {
		err := v.verify(ctx, places[next], pace)
		switch {
		case err == nil:
			sound, oldest = sound+1, places[next].Offset
		case ctx.Err() != nil:
			return 0, nil, err
		case errors.Is(err, ErrVersion):
			v.opts.Logger.Warn("snapshot is of a newer program; it is left alone and doesn't count", "path", places[next].Path, "error", err)
		default:
			v.opts.Logger.Warn("snapshot is damaged; it is left alone and doesn't count", "path", places[next].Path, "error", err)
		}
	}
	if sound < keep {
		return 0, nil, nil
	}
	return oldest, places[next:], nil
}

// pruneSkipped removes the oldest snapshots after an install, all but the given number of snapshots, as far as the log doesn't follow them
// any more. It can't count on a checkpoint for that: what installs skip is in no log, and makes none due.
func (v *inventory) pruneSkipped(keep int) error {
	places, err := v.list()
	if err != nil {
		return err
	}
	first := v.log.First()
	_, err = v.remove(slices.DeleteFunc(places[min(keep, len(places)):], func(p snapshot.Place) bool { return p.Offset+1 >= first }))
	return err
}

// remove removes snapshots, but for those that are damaged, and returns the paths that are gone.
func (v *inventory) remove(places []snapshot.Place) (removed []string, err error) {
	for _, place := range places {
		if damage, known := v.verdict(place); damage != nil || !known && v.describe(place).Err != nil {
			continue
		}
		if err := snapshot.Remove(v.opts.fs, v.dir, place.Offset); err != nil {
			return removed, err
		}
		v.verdicts.Delete(place)
		removed = append(removed, place.Path)
	}
	return removed, nil
}

// snapshotError returns an error of package snapshot, or of an entry, as one of this package. The name is of what was read.
func snapshotError(name string, err error) error {
	var theirs *snapshot.CorruptError
	var ours *CorruptError
	switch {
	case errors.As(err, &theirs):
		return &CorruptError{Path: cmp.Or(theirs.Path, name), Position: theirs.Position, Err: theirs.Err}
	case errors.As(err, &ours) && ours.Path == "":
		return &CorruptError{Path: name, Position: ours.Position, Offset: ours.Offset, Err: ours.Err}
	case errors.Is(err, snapshot.ErrVersion):
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	return err
}
