package cluster

import (
	"fmt"
	"maps"

	"github.com/hashicorp/raft"
)

// membersKey is the prefix of a roll's keys in the stable file.
const membersKey = "members "

// roll is which members there were, by the index of the entry that made them so. They are noted before their entry is in the log, so that no
// entry with members has to be looked for.
type roll struct{ notes }

// expect notes the members in entries that are to be appended, and reports whether anything has changed. What was noted from there on is of
// entries that were refused.
func (r roll) expect(logs []*raft.Log) (news bool) {
	before := len(r.notes)
	if len(logs) > 0 {
		r.forgetFrom(logs[0].Index)
	}
	news = len(r.notes) < before
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			r.notes[l.Index], news = note{l.Term, l.Index, string(l.Data)}, true
		}
	}
	return news
}

// forgetFrom removes the notes of entries from one on.
func (r roll) forgetFrom(index uint64) {
	maps.DeleteFunc(r.notes, func(at uint64, _ note) bool { return at >= index })
}

// supersede removes the notes of entries up to the end of a snapshot that the snapshot doesn't have.
func (r roll) supersede(offset uint64, end note) {
	maps.DeleteFunc(r.notes, func(at uint64, n note) bool {
		return at <= offset && (at > end.index || at == end.index && n.members != end.members)
	})
}

// find notes the members in the log's entries from one to another.
func (r roll) find(log entryLog, from, to uint64) error {
	first, last := log.Bounds()
	for at := max(from, first); at <= min(to, last); at++ {
		e, err := log.Read(at)
		if err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
		if e.Kind == uint8(raft.LogConfiguration) {
			r.notes[at] = note{e.Term, at, string(e.Data)}
		}
	}
	return nil
}

// check removes the notes whose entry should be in the log and isn't: the node died before it was.
func (r roll) check(log entryLog) error {
	first, last := log.Bounds()
	for index, n := range r.notes {
		if index < first {
			continue
		}
		if index <= last {
			e, err := log.Read(index)
			if err != nil {
				return fmt.Errorf("cluster: %w", err)
			}
			if e.Term == n.term && e.Kind == uint8(raft.LogConfiguration) && string(e.Data) == n.members {
				continue
			}
		}
		delete(r.notes, index)
	}
	return nil
}
