package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/snapshot"
)

// messageBytes is about how many bytes of entries go into one message. A larger entry goes alone. Otherwise a follower that lacks some large
// commits would be sent 64 of them at once, in more memory than there may be, and for longer than Options.DialTimeout.
const messageBytes = 4 << 20

// connsKept is how many idle connections to each node are kept.
const connsKept = 3

// longPause is how many times transport.patience a snapshot may pause although its leader isn't silent.
const longPause = 10

// transport is raft's, with messages of bounded size, and without those of which raft would panic. What is received goes through a goroutine,
// which Close ends.
type transport struct {
	*raft.NetworkTransport
	layer    *layer
	limit    int                   // messageBytes, but in tests.
	patience time.Duration         // How long a snapshot that comes may pause where its leader is silent, too.
	taker    atomic.Pointer[taker] // What takes the messages; nil until it has started.
	// reads asks for the newest format of snapshots that a node's program reads.
	reads   func(ctx context.Context, place string) (format uint32, err error)
	log     *slog.Logger
	heard   atomic.Pointer[heartbeat] // The last one.
	checked chan raft.RPC
	ctx     context.Context // Done once it is closed.
	cancel  context.CancelFunc
	ended   sync.WaitGroup
}

// taker is what takes the messages.
type taker struct {
	applied func() uint64 // Up to which index raft has handed entries on to be applied.
	term    func() uint64 // That raft is in.
	// agrees returns an error where an entry that is applied here is known to be of another term than that. It stops the node then.
	agrees func(index, term uint64) error
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

// start lets a transport with its fields set carry messages.
func (t *transport) start(conf *raft.NetworkTransportConfig) {
	conf.Stream = t.layer
	t.NetworkTransport = raft.NewNetworkTransportWithConfig(conf)
	t.checked = make(chan raft.RPC)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.ended.Go(t.check)
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.checked }

// check hands on what comes, if raft can take it.
func (t *transport) check() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			switch m := rpc.Command.(type) {
			case *raft.AppendEntriesRequest:
				known, err := t.trim(m)
				if known || err != nil {
					last := m.PrevLogEntry + uint64(len(m.Entries))
					rpc.Respond(&raft.AppendEntriesResponse{Term: m.Term, LastLog: last, Success: err == nil}, err)
					continue
				}
			case *raft.InstallSnapshotRequest:
				t.receive(&rpc, m)
				if _, err := decodeMembers(m.Configuration); err != nil { // raft would panic. Members in entries are checked when they are appended.
					t.ended.Go(func() { // The next message comes after the snapshot.
						_, _ = io.Copy(io.Discard, rpc.Reader)
						rpc.Respond(&raft.InstallSnapshotResponse{}, err)
					})
					continue
				}
			}
			select {
			case t.checked <- rpc:
			case <-t.ctx.Done():
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// trim leaves out of a leader's message what this node has applied, and reports whether that was all. So what the leader asks about its log
// before that needs no answer from raft, which refuses where the entries are compacted here: the leader would go back to what it can
// only send as a snapshot, again and again. An entry that is applied here is the same in the log of a leader of this node's term.
//
// No message says that more is agreed upon than it reaches. raft 1.8.0 would take whatever this node has up to there for agreed upon, also
// entries that a later message replaces.
func (t *transport) trim(m *raft.AppendEntriesRequest) (known bool, err error) {
	end := m.PrevLogEntry + uint64(len(m.Entries))
	m.LeaderCommitIndex = min(m.LeaderCommitIndex, end)
	by := t.taker.Load()
	if by == nil {
		return false, nil
	}
	applied := by.applied() // Before the term: then all of it was agreed upon in that term or before.
	if by.term() != m.Term || applied <= m.PrevLogEntry {
		return false, nil
	}
	index, term := min(applied, end), m.PrevLogTerm
	n := index - m.PrevLogEntry
	if n > 0 {
		term = m.Entries[n-1].Term
	}
	if err := by.agrees(index, term); err != nil || index == end {
		return true, err
	}
	m.PrevLogEntry, m.PrevLogTerm, m.Entries = index, term, m.Entries[n:]
	return false, nil
}

// receive watches over a snapshot that comes, and over what raft answers.
func (t *transport) receive(rpc *raft.RPC, m *raft.InstallSnapshotRequest) {
	state := &arriving{in: rpc.Reader, term: m.Term, ended: make(chan struct{})}
	answers, caller := make(chan raft.RPCResponse, 1), rpc.RespChan
	rpc.Reader, rpc.RespChan = state, answers
	t.ended.Go(func() { t.watch(state) })
	t.ended.Go(func() {
		defer state.finish()
		t.answer(m, answers, caller)
	})
}

// answer hands on what comes of a snapshot. That one was refused since the node has applied as much means that it has what the leader sent:
// the leader had not heard so, as where an answer was lost, and goes on after it.
func (t *transport) answer(m *raft.InstallSnapshotRequest, from <-chan raft.RPCResponse, to chan<- raft.RPCResponse) {
	select {
	case r := <-from:
		a, is := r.Response.(*raft.InstallSnapshotResponse)
		if by := t.taker.Load(); is && by != nil && r.Error != nil && a.Term == m.Term && m.LastLogIndex <= by.applied() {
			if err := by.agrees(m.LastLogIndex, m.LastLogTerm); err == nil {
				r.Response, r.Error = &raft.InstallSnapshotResponse{Term: a.Term, Success: true}, nil
			}
		}
		to <- r
	case <-t.ctx.Done():
	}
}

// AppendEntries implements raft.Transport. raft goes on after the last entry that it finds in the message afterwards.
func (t *transport) AppendEntries(
	id raft.ServerID, place raft.ServerAddress, message *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse,
) error {
	size := 0
	for i, l := range message.Entries {
		if size += len(l.Data) + len(l.Extensions); size > t.limit && i > 0 {
			message.Entries = message.Entries[:i]
			break
		}
	}
	message.LeaderCommitIndex = min(message.LeaderCommitIndex, message.PrevLogEntry+uint64(len(message.Entries))) // See trim.
	return again(func() error { return t.NetworkTransport.AppendEntries(id, place, message, answer) })
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(
	id raft.ServerID, place raft.ServerAddress, message *raft.RequestVoteRequest, answer *raft.RequestVoteResponse,
) error {
	return again(func() error { return t.NetworkTransport.RequestVote(id, place, message, answer) })
}

// RequestPreVote implements raft.WithPreVote.
func (t *transport) RequestPreVote(
	id raft.ServerID, place raft.ServerAddress, message *raft.RequestPreVoteRequest, answer *raft.RequestPreVoteResponse,
) error {
	return again(func() error { return t.NetworkTransport.RequestPreVote(id, place, message, answer) })
}

// again sends a message once more where the other node has hung up, as it does when it sweeps or starts again: so many connections as are kept
// may be of before. It is for messages that do the same when they come twice.
func again(send func() error) (err error) {
	for range connsKept + 1 {
		if err = send(); !hungUp(err) || errors.Is(err, errNotConnected) {
			return err
		}
	}
	return err
}

// hungUp reports whether an error is that of a connection which the other end has closed. Its process may have ended, so that there is nothing
// at its port that knows the connection, and it is reset.
func hungUp(err error) bool {
	return slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET}, func(e error) bool { return errors.Is(err, e) })
}

// InstallSnapshot implements raft.Transport. A node whose program is older is sent what that reads: otherwise, while a cluster is upgraded, a
// newer leader could send it nothing, and the node would lack entries until it is upgraded too.
func (t *transport) InstallSnapshot(
	id raft.ServerID, place raft.ServerAddress, message *raft.InstallSnapshotRequest, answer *raft.InstallSnapshotResponse, state io.Reader,
) error {
	file, is := state.(*os.File)
	if !is {
		return t.NetworkTransport.InstallSnapshot(id, place, message, answer, state)
	}
	format, err := t.reads(t.ctx, string(place))
	if err != nil {
		return fmt.Errorf("cluster: which snapshots the node reads: %w", err)
	}
	if format < snapshot.FormatVersion {
		older, err := snapshot.Open(nil, file.Name())
		if err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
		defer func() { _ = older.Close() }()
		state, message.Size = older.Format1()
		t.log.Info("the node's program is older: it is sent a snapshot of format 1", "node", nameOf(string(id)), "offset", message.LastLogIndex)
	}
	return t.NetworkTransport.InstallSnapshot(id, place, message, answer, state)
}

// heartbeat says that there was a leader.
type heartbeat struct {
	term uint64
	at   time.Time
}

// SetHeartbeatHandler implements raft.Transport.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if m, is := rpc.Command.(*raft.AppendEntriesRequest); is {
			t.heard.Store(&heartbeat{m.Term, time.Now()})
		}
		handle(rpc)
	})
}

// watch closes the connections on which other nodes call where a snapshot that comes pauses and its leader is silent, or it pauses for long.
// raft reads it without a limit, and meanwhile takes no entries, doesn't vote and doesn't stand for election. So a leader that hangs could not be
// replaced, or what another one says would not arrive. A second look follows the first: a node that was stopped itself has to read first.
func (t *transport) watch(state *arriving) {
	look := time.NewTicker(t.patience / 4)
	defer look.Stop()
	for stalled := 0; stalled < 2; {
		select {
		case <-look.C:
		case <-state.ended:
			return
		case <-t.ctx.Done():
			return
		}
		waits, silent := state.waits(), true
		if last := t.heard.Load(); last != nil && last.term == state.term {
			silent = time.Since(last.at) > t.patience
		}
		if stalled++; waits <= t.patience || !silent && waits <= longPause*t.patience {
			stalled = 0
		}
	}
	t.log.Warn("a snapshot that another node sends doesn't go on: the connections from other nodes are closed", "term", state.term)
	t.layer.cutIncoming()
}

// Close implements raft.WithClose. It closes all connections, and may be called again.
func (t *transport) Close() error {
	t.cancel()
	err := t.NetworkTransport.Close()
	t.ended.Wait()
	return err
}
