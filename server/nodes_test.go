package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// nodes are the servers of a replicated store whose nodes share one memory. One of them leads, or none.
type nodes struct {
	t   *testing.T
	db  *kv.DB
	all []*node

	mu      sync.Mutex
	leader  int // -1 where none does.
	term    uint64
	changed map[net.Conn]int // The connections to leaders, and to which.
	deaf    atomic.Bool      // Connections to leaders are closed at once, as older programs do.
}

// leaderWait is Options.LeaderWait of nodes.
const leaderWait = 500 * time.Millisecond

// node is one of them: its store and its cluster.
type node struct {
	*kv.DB
	of      *nodes
	number  int
	server  *server.Server
	address string

	asked   atomic.Int64  // How often it was asked for what was acknowledged.
	commits atomic.Int64  // How many commits were tried.
	refusal atomic.Value  // A func() error that a commit has to pass first.
	applied atomic.Uint64 // What it says that it has applied.
}

// newNodes serves three nodes, of which the first leads.
func newNodes(t *testing.T) *nodes {
	t.Helper()
	n := &nodes{t: t, db: openStore(t, kv.Options{}), term: 1, changed: map[net.Conn]int{}}
	for i := range 3 {
		at := &node{DB: n.db, of: n, number: i}
		at.refusal.Store(func() error { return nil })
		n.all = append(n.all, at)
	}
	for _, at := range n.all {
		at.server, at.address = serveStore(t, at, server.Options{Cluster: at, LeaderWait: leaderWait})
	}
	return n
}

// lead lets a node lead, none where the number is negative.
func (n *nodes) lead(number int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leader = number
	n.term++
	for conn, to := range n.changed {
		if number >= 0 && to != number {
			time.AfterFunc(20*time.Millisecond, func() { _ = conn.Close() }) // A leader that lives answers before.
			delete(n.changed, conn)
		}
	}
}

func (n *nodes) leads() (number int, term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leader, n.term
}

// client connects to a node.
func (n *nodes) client(number int) *client {
	n.t.Helper()
	return dial(n.t, n.all[number].address)
}

var errNobody = errors.New("nobody leads")

func (at *node) propose() error {
	at.commits.Add(1)
	if at.Term() == 0 {
		return fmt.Errorf("%w: another node does", kv.ErrNotLeader)
	}
	return at.refusal.Load().(func() error)()
}

// ApplyContext implements server.Store.
func (at *node) ApplyContext(ctx context.Context, b *kv.Batch) (uint64, error) {
	if err := at.propose(); err != nil {
		return 0, err
	}
	return at.DB.ApplyContext(ctx, b)
}

// UpdateOffset implements server.Store. As in a replica, a function that writes nothing is refused nowhere.
func (at *node) UpdateOffset(ctx context.Context, fn func(tx *kv.Tx) error) (uint64, error) {
	before := at.DB.Offset()
	refused := at.propose()
	if refused == nil {
		return at.DB.UpdateOffset(ctx, fn)
	}
	var wrote bool
	_ = at.DB.Update(func(tx *kv.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		_, err := tx.Get([]byte("nothing"))
		wrote = true
		return err
	})
	if !wrote {
		return before, nil
	}
	return 0, refused
}

// Term implements server.Cluster.
func (at *node) Term() uint64 {
	if leader, term := at.of.leads(); leader == at.number {
		return term
	}
	return 0
}

// Linearizable implements server.Cluster.
func (at *node) Linearizable(ctx context.Context) error {
	at.asked.Add(1)
	for {
		if leader, _ := at.of.leads(); leader >= 0 {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return errNobody
		}
	}
}

// Stale implements server.Cluster.
func (at *node) Stale(context.Context, time.Duration) error { return nil }

// Members implements server.Cluster.
func (at *node) Members() (members []server.Member) {
	leader, term := at.of.leads()
	for _, other := range at.of.all {
		applied := other.applied.Load()
		if other.number == leader {
			applied = at.DB.Offset()
		}
		members = append(members, server.Member{
			Name: fmt.Sprint("n", other.number), Address: other.address, Self: other == at, Leads: other.number == leader, Voter: true, Alive: true,
			Term: term, Applied: applied,
		})
	}
	return members
}

// Survey implements server.Cluster.
func (at *node) Survey(context.Context) []server.Member { return at.Members() }

// DialLeader implements server.Cluster.
func (at *node) DialLeader(context.Context) (net.Conn, error) {
	leader, _ := at.of.leads()
	if leader < 0 {
		return nil, errNobody
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	there, err := listener.Accept()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	for _, end := range []net.Conn{conn, there} { // What doesn't fit into a buffer waits for a reader.
		_ = end.(*net.TCPConn).SetReadBuffer(64 << 10)
		_ = end.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	if at.of.deaf.Load() {
		return conn, there.Close()
	}
	go at.of.all[leader].server.ServeForwarded(there)
	at.of.mu.Lock()
	at.of.changed[conn] = leader
	at.of.mu.Unlock()
	return conn, nil
}
