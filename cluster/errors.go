package cluster

import "errors"

// Errors of a cluster. Those of commits are kv's: ErrNotLeader, ErrConflict, ErrUndecided.
var (
	// ErrOption reports options that can't be.
	ErrOption = errors.New("cluster: option")
	// ErrClosed reports a call of a cluster that is closed.
	ErrClosed = errors.New("cluster: closed")
	// ErrStopped reports a node that has left the consensus until it is opened again: its disk failed or hung. It still reads what it has.
	ErrStopped = errors.New("cluster: node has stopped taking part")
	// ErrNoLeader reports that no node is known to lead: an election is in progress, or most nodes can't be reached.
	ErrNoLeader = errors.New("cluster: no leader is known")
	// ErrStale reports a node that may show a state which is older than the caller accepts.
	ErrStale = errors.New("cluster: node may be stale")
	// ErrMember reports a change of the members that can't be made, or a node that is no member: it was refused, or removed.
	ErrMember = errors.New("cluster: membership")
	// ErrPeer reports a connection that was refused since the other end isn't the node that was called.
	ErrPeer = errors.New("cluster: peer is refused")
	// ErrCorrupt reports a file of the consensus that is damaged.
	ErrCorrupt = errors.New("cluster: file is damaged")
)
