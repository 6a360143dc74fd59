package cluster

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// network carries the connections of a test's nodes through a proxy for each, which reads who calls, and can cut two nodes off from
// each other.
type network struct {
	t       testing.TB
	serving sync.WaitGroup

	mu      sync.Mutex
	targets map[string]string // The port of each node.
	cut     map[[2]string]bool
	conns   map[net.Conn][2]string
	proxies map[string]net.Listener
}

func newNetwork(t testing.TB) *network {
	n := &network{
		t: t, targets: map[string]string{}, cut: map[[2]string]bool{}, conns: map[net.Conn][2]string{}, proxies: map[string]net.Listener{},
	}
	t.Cleanup(func() {
		for _, proxy := range n.proxies {
			require.NoError(t, proxy.Close())
		}
		n.mu.Lock()
		for conn := range n.conns {
			_ = conn.Close()
		}
		n.mu.Unlock()
		n.serving.Wait()
	})
	return n
}

// address returns under which address the others reach a node.
func (n *network) address(node string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	proxy := n.proxies[node]
	if proxy == nil {
		var err error
		proxy, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(n.t, err)
		n.proxies[node] = proxy
		n.serving.Go(func() { n.accept(node, proxy) })
	}
	return proxy.Addr().String()
}

func (n *network) accept(node string, proxy net.Listener) {
	for {
		conn, err := proxy.Accept()
		if err != nil {
			return
		}
		n.serving.Go(func() { n.carry(node, conn) })
	}
}

// carry connects a caller with a node.
func (n *network) carry(node string, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	h, _, err := readHello(conn)
	if err != nil {
		return
	}
	n.mu.Lock()
	target := n.targets[node]
	n.mu.Unlock()
	on, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = on.Close() }()
	pair := [2]string{h.from, node}
	n.mu.Lock()
	if n.cut[pair] {
		n.mu.Unlock()
		return
	}
	n.conns[conn], n.conns[on] = pair, pair
	n.mu.Unlock()
	if _, err := on.Write(h.encode()); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, on)
		_ = conn.Close()
	})
	_, _ = io.Copy(on, conn)
	_ = on.Close()
	back.Wait()
	n.mu.Lock()
	delete(n.conns, conn)
	delete(n.conns, on)
	n.mu.Unlock()
}

// isolate cuts a node off from all others, or ends that.
func (n *network) isolate(node string, off bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.targets {
		if other != node {
			n.cut[[2]string{node, other}], n.cut[[2]string{other, node}] = off, off
		}
	}
	for conn, pair := range n.conns {
		if n.cut[pair] {
			_ = conn.Close()
		}
	}
}
