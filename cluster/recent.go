package cluster

import (
	"bytes"
	"sync"

	"github.com/hashicorp/raft"
)

const (
	recentEntries = 64       // As many as a message has at most.
	recentBytes   = 64 << 10 // Of data. Larger entries aren't kept, so that all take at most 4 MiB.
)

// recent is the last entries of the log. The leader reads each for every follower, and a follower to apply it: from the disk that took a
// sixth of the processors' time (docs/notebook.md).
//
// Invariant: each entry is in the log, as it was appended.
type recent struct {
	mu      sync.Mutex
	entries [recentEntries]raft.Log // By index; without one, the index isn't that.
	next    uint64                  // The index that follows the last one that was kept.
}

// keep notes entries that were appended.
func (r *recent) keep(logs []*raft.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(logs) > 0 && logs[0].Index != r.next {
		r.entries = [recentEntries]raft.Log{} // The log was begun anew.
	}
	for _, l := range logs {
		kept := &r.entries[l.Index%recentEntries]
		if *kept, r.next = (raft.Log{}), l.Index+1; len(l.Data)+len(l.Extensions) <= recentBytes {
			*kept = *l
		}
	}
}

// forget forgets all entries, before the log changes in another way.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.next = [recentEntries]raft.Log{}, 0
}

// get copies an entry, data included: that of a proposal must not be taken for what was proposed here, which memory tells.
func (r *recent) get(index uint64, into *raft.Log) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := &r.entries[index%recentEntries]
	if index == 0 || kept.Index != index {
		return false
	}
	*into = *kept
	into.Data, into.Extensions = bytes.Clone(kept.Data), bytes.Clone(kept.Extensions)
	return true
}
