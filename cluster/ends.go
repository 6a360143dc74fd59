package cluster

import (
	"fmt"
	"maps"
	"slices"

	"github.com/walnutkv/walnut/snapshot"
)

// endKey is the prefix of the keys of ends in the stable file.
const endKey = "snapshot "

// ends are notes of the entries that snapshots end with, by their offsets. One that the consensus asks for is noted before it is taken, one that
// another node has sent before it is installed, and others once they are found.
type ends struct {
	notes
	dir    string // Of the snapshots.
	coming uint64 // The end of the one that is being taken, or was last. Its note stays, also where a later end is noted.
}

// places returns the snapshots that are there, the newest first.
func (e *ends) places() ([]snapshot.Place, error) {
	places, err := snapshot.List(nil, e.dir)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return places, nil
}

// check removes the notes of snapshots that aren't there, and that aren't of the node's entries: they were sent, and never installed. In a
// cluster that was recovered other entries may come in the place of theirs. Others may be all that says which members there are, also once
// their snapshots are gone.
func (e *ends) check(log entryLog, applied uint64) error {
	places, err := e.places()
	if err != nil {
		return err
	}
	first, last := log.Bounds()
	for at, n := range e.notes {
		if at+1 == first || hasEnd(places, at) {
			continue
		}
		own := at <= applied // Nothing else can be in its place. Its entry may be one that can't be read and isn't needed.
		if !own && at >= first && at <= last {
			entry, err := log.Read(at)
			if err != nil {
				return fmt.Errorf("cluster: %w", err)
			}
			own = entry.Term == n.term
		}
		if !own {
			delete(e.notes, at)
		}
	}
	return nil
}

// drop removes the notes that aren't needed: those before the one that speaks for all before the oldest snapshot that is there, and those of
// snapshots that were to be taken and aren't there, but for the last. It returns the offset of the one that speaks: that snapshot's, or where it
// has none an earlier one; 0 where there is none. One after what is applied speaks for nothing: the store went back to before it, or it may come.
func (e *ends) drop(log entryLog, applied uint64) (oldest uint64) {
	places, err := e.places()
	if err != nil {
		return 0
	}
	if len(places) > 0 {
		oldest, _ = e.last(min(places[len(places)-1].Offset, applied))
	}
	last, _ := e.last(applied)
	first, _ := log.Bounds()
	maps.DeleteFunc(e.notes, func(at uint64, _ note) bool {
		return at < oldest || oldest < at && at < last && at != e.coming && first <= at && !hasEnd(places, at)
	})
	return oldest
}

// hasEnd reports whether one of the snapshots ends with an entry.
func hasEnd(places []snapshot.Place, offset uint64) bool {
	return slices.ContainsFunc(places, func(p snapshot.Place) bool { return p.Offset == offset })
}
