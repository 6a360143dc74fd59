package cluster

import (
	"fmt"
	"slices"

	"github.com/walnutkv/walnut/snapshot"
)

// endKey is the prefix of the keys of ends in the stable file.
const endKey = "snapshot "

// ends are notes of the entries that snapshots end with, by their offsets. A snapshot that the store takes is noted once it is there; one that
// another node has sent is noted before it is installed.
type ends struct {
	notes
	dir string // Of the snapshots.
}

// places returns the snapshots that are there, the newest first.
func (e ends) places() ([]snapshot.Place, error) {
	places, err := snapshot.List(nil, e.dir)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return places, nil
}

// check removes the notes of snapshots that aren't there, and that aren't of the node's entries: they were sent, and never installed. In a
// cluster that was recovered other entries may come in the place of theirs. Others may be all that says which members there are, also once
// their snapshots are gone.
func (e ends) check(log entryLog, applied uint64) error {
	places, err := e.places()
	if err != nil {
		return err
	}
	first, last := log.Bounds()
	for at, n := range e.notes {
		if at+1 == first || slices.ContainsFunc(places, func(p snapshot.Place) bool { return p.Offset == at }) {
			continue
		}
		own := at <= applied
		if at >= first && at <= last {
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

// oldest returns the offset of the note that speaks for all before the oldest snapshot that is there: that one's, or where it has none an earlier
// one; 0 where there is none.
func (e ends) oldest() uint64 {
	places, err := e.places()
	if err != nil || len(places) == 0 {
		return 0
	}
	at, _ := e.last(places[len(places)-1].Offset)
	return at
}
