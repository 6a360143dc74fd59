package cluster

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// counts are what has happened on a node since it was opened, for metrics. They go on over the runs of the consensus.
type counts struct {
	elections   atomic.Uint64 // Times that the node stood for election.
	leaderships atomic.Uint64 // Times that it was elected.
	sent        atomic.Uint64 // Snapshots that it began to send.
	installed   atomic.Uint64 // Snapshots that it received whole.

	// What became of the groups of commits that were proposed here.
	done, refused, conflicts, undecided atomic.Uint64
}

// proposed counts an outcome.
func (n *counts) proposed(err error) {
	switch {
	case err == nil:
		n.done.Add(1)
	case errors.Is(err, kv.ErrConflict):
		n.conflicts.Add(1)
	case errors.Is(err, kv.ErrNotLeader):
		n.refused.Add(1)
	default:
		n.undecided.Add(1)
	}
}

// observe counts what a run of the consensus becomes. raft calls the function, and must not wait for it; nothing is passed on.
func (n *counts) observe(r *raft.Raft) {
	r.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch o.Data {
		case raft.Candidate:
			n.elections.Add(1)
		case raft.Leader:
			n.leaderships.Add(1)
		}
		return false
	}))
}

// countedSnapshots counts the snapshots that raft opens: to send them, or to install one that was received.
type countedSnapshots struct {
	*snapshots
	counts *counts
}

// Open implements raft.SnapshotStore.
func (s countedSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, state, err := s.snapshots.Open(id)
	switch {
	case err != nil:
	case strings.HasPrefix(id, receivedID):
		s.counts.installed.Add(1)
	default:
		s.counts.sent.Add(1)
	}
	return meta, state, err
}
