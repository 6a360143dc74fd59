package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// Cluster is what a replicated store adds to a Store. The server of each node has one. Its methods are called concurrently.
//
// A server whose node doesn't lead forwards commands to the leader's server. It reads from its own store for connections that have sent
// READONLY.
type Cluster interface {
	// Term returns the term in which this node leads and takes commits, or believes so, and 0 where it doesn't. If another node may have led
	// in between, it returns another term.
	Term() uint64
	// Linearizable waits until this node shows everything that was acknowledged before the call.
	Linearizable(ctx context.Context) error
	// Stale waits until this node shows everything that was acknowledged longer ago than a bound.
	Stale(ctx context.Context, bound time.Duration) error
	// Members returns the members, this node among them, in an order that doesn't change. What it returns may be some seconds old, except
	// for Leads and Self. It doesn't wait.
	Members() []Member
	// Survey is Members, but asks all of them now, as long as ctx lasts at most.
	Survey(ctx context.Context) []Member
	// DialLeader connects to the leader's server, which serves the connection with ServeForwarded. The connection must be closed once this
	// node knows that another one leads. So a leader that hangs stops nobody for longer than an election takes.
	DialLeader(ctx context.Context) (net.Conn, error)
}

// Member is a node of a replicated store, as another one knows it.
type Member struct {
	Name    string
	Address string // Where clients reach its server; empty where that isn't known.
	Self    bool   // It is this node.
	Leads   bool   // As far as is known here.
	Voter   bool   // It counts for the majority.
	Alive   bool   // It answered when it was asked.
	Term    uint64 // In which it is, as it said.
	Applied uint64 // The offset up to which it shows all, as it said.
}

// Texts of errors that only a replicated store has.
const (
	errNoLeader  = "CLUSTERDOWN no leader is known"
	errUndecided = "UNDECIDED the leader didn't answer: the command may have been executed"
	// errReplyDropped is for a command that writes.
	errReplyDropped = "UNDECIDED the reply is too large to be kept until it can be sent: the command may have been executed"
	errNoCluster    = "ERR This instance has cluster support disabled"
)

// A command waits for an eighth of the time that it has waited before it looks for a leader again, within these limits. Each look at a leader
// that can't be reached costs that a connection.
const (
	leaderLook     = 10 * time.Millisecond
	leaderLookMost = 100 * time.Millisecond
)

// leads reports whether commands run here: always where there is one store, and for what another node has forwarded.
func (s *session) leads() bool {
	cluster := s.server.opts.Cluster
	return cluster == nil || s.guest || cluster.Term() != 0
}

// runsHere reports whether a group runs on this node. After WATCH the client reads what the watched keys are compared with, which is no stale
// state.
func (s *session) runsHere(needs need) bool {
	return s.leads() || s.readOnly && needs == toRead && !s.isWatching()
}

// fresh waits until this node shows what the session may expect to read. One store alone always does.
func (s *session) fresh(ctx context.Context) error {
	cluster := s.server.opts.Cluster
	if cluster == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, s.waitUntil())
	defer cancel()
	var err error
	if s.readOnly {
		err = cluster.Stale(ctx, s.server.opts.StaleBound)
	} else {
		err = cluster.Linearizable(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotFresh, err)
	}
	return nil
}

// errNotFresh reports a read that can't be answered, since no leader has said what is acknowledged.
var errNotFresh = errors.New("server: no leader is known")

// commit runs a function in an Update. In a replicated store only a commit shows that this node leads. Thus a function that wrote nothing
// runs again, once the node is known to show what was acknowledged before.
func (s *session) commit(ctx context.Context, body func(tx *kv.Tx) error) error {
	s.wrote = false
	_, err := s.server.store.UpdateOffset(s.patient, body)
	if err != nil || s.wrote || s.server.opts.Cluster == nil {
		return err
	}
	if err := s.fresh(ctx); err != nil {
		return err
	}
	_, err = s.server.store.UpdateOffset(s.patient, body)
	return err
}

// isRefused reports whether a group may run again on the node that leads, since nothing of it has happened.
func (s *session) isRefused(err error) bool {
	if s.server.opts.Cluster == nil || errors.Is(err, kv.ErrUndecided) {
		return false
	}
	return errors.Is(err, errNotRun) || errors.Is(err, kv.ErrNotLeader) || errors.Is(err, kv.ErrConflict)
}

// waitUntil returns until when the group that runs waits for a leader.
func (s *session) waitUntil() time.Time {
	if s.giveUp.IsZero() {
		s.giveUp = time.Now().Add(s.server.opts.LeaderWait)
	}
	return s.giveUp
}

// await waits a moment before a refused command is tried again. It returns false when the command has waited for a leader long enough, or
// the session ends.
func (s *session) await(ctx context.Context) bool {
	left := time.Until(s.waitUntil())
	if s.stopping.Load() || left < 0 {
		return false
	}
	waited := s.server.opts.LeaderWait - left
	select {
	case <-time.After(min(max(waited/8, leaderLook), leaderLookMost)):
		return true
	case <-ctx.Done():
		return false
	}
}

// unreached returns the error for a command that was not run, since the leader couldn't be reached or there is none.
func (s *session) unreached(why error) string {
	for _, m := range s.server.opts.Cluster.Members() {
		if m.Leads && !m.Self && errors.Is(why, errUnreached) {
			cause := strings.TrimPrefix(why.Error(), errUnreached.Error()+": ")
			return fmt.Sprintf("CLUSTERDOWN %s leads, but its server can't be reached: %s", m.Name, cause)
		}
	}
	return errNoLeader
}

// leaderOf returns the member that leads, if it and its address are known.
func leaderOf(members []Member) (leader Member, known bool) {
	for _, m := range members {
		if m.Leads && m.Address != "" {
			return m, true
		}
	}
	return Member{}, false
}
