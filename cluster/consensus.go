package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// consensus lets the other nodes decide what the store commits. The store calls it as soon as it is open.
type consensus struct{ cluster *Cluster }

var _ kv.Consensus = consensus{}

// errNotHere says why a commit isn't proposed.
var errNotHere = errors.New("another node leads, or none yet")

// Propose implements kv.Consensus. What it says of a record is certain, or kv.ErrUndecided.
func (s consensus) Propose(record []byte) error {
	err := s.propose(record)
	s.cluster.counts.proposed(err)
	return err
}

func (s consensus) propose(record []byte) error {
	c := s.cluster
	e := c.engine()
	if e == nil || c.closing.Load() || !e.isEstablished() {
		return fmt.Errorf("%w: %w", kv.ErrNotLeader, errNotHere)
	}
	f := e.raft.Apply(record, 0)
	err := e.await(context.Background(), f)
	if err == nil {
		return applied(f.Response())
	}
	return outcome(err)
}

// applied is the outcome of an entry that was agreed upon and came here.
func applied(answer any) error {
	err, _ := answer.(error)
	if err == nil || errors.Is(err, kv.ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: the entry is agreed upon, and can't be applied here: %w", kv.ErrUndecided, err)
}

// outcome is the outcome of an entry of which raft says no more than an error. What raft hasn't put into its log, and what its log has
// refused whole, is in none.
func outcome(err error) error {
	for _, never := range []error{
		raft.ErrNotLeader, raft.ErrLeadershipTransferInProgress, raft.ErrEnqueueTimeout, kv.ErrNoSpace, kv.ErrCommitTooLarge, kv.ErrVersion,
	} {
		if errors.Is(err, never) && !errors.Is(err, kv.ErrFailed) {
			return fmt.Errorf("%w: %w", kv.ErrNotLeader, err)
		}
	}
	return fmt.Errorf("%w: %w", kv.ErrUndecided, err)
}

// Checkpoint implements kv.Consensus: raft takes a snapshot, which is a checkpoint of the store, and then lets go of its log before that.
func (s consensus) Checkpoint(ctx context.Context) error {
	c := s.cluster
	e := c.engine()
	if e == nil {
		return errNotHere
	}
	err := e.await(ctx, e.raft.Snapshot())
	if !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return err
	}
	// Nothing has come since this run began, but the replica may have a long log.
	state, err := c.replica.Snapshot()
	if err != nil {
		return err
	}
	return c.history.keep(ctx, state)
}
