package cluster

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// network carries the connections of a test's nodes through a proxy for each, which reads which node calls, and can cut two nodes off from
// each other.
type network struct {
	t       testing.TB
	serving sync.WaitGroup

	mu      sync.Mutex
	targets map[string]string // The port of each node.
	cut     map[[2]string]bool
	held    map[[2]string]chan struct{} // By the node that sends and the one that gets: what is sent waits until it is closed.
	conns   map[net.Conn][2]string
	proxies map[string]net.Listener
}

func newNetwork(t testing.TB) *network {
	n := &network{
		t: t, targets: map[string]string{}, cut: map[[2]string]bool{}, held: map[[2]string]chan struct{}{}, conns: map[net.Conn][2]string{}, proxies: map[string]net.Listener{},
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
	from := nameOf(h.from)
	pair := [2]string{from, node}
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
		n.copy(conn, on, node, from)
		_ = conn.Close()
	})
	n.copy(on, conn, from, node)
	_ = on.Close()
	back.Wait()
	n.mu.Lock()
	delete(n.conns, conn)
	delete(n.conns, on)
	n.mu.Unlock()
}

// copy carries what one node sends another.
func (n *network) copy(to io.Writer, from io.Reader, sender, getter string) {
	piece := make([]byte, 32<<10)
	for {
		size, err := from.Read(piece)
		n.mu.Lock()
		held := n.held[[2]string{sender, getter}]
		n.mu.Unlock()
		if held != nil {
			<-held
		}
		if size > 0 {
			if _, err := to.Write(piece[:size]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold lets what one node sends another wait, until the function that is returned is called, at the latest when the test has ended.
func (n *network) hold(sender, getter string) (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pair, held := [2]string{sender, getter}, make(chan struct{})
	n.held[pair] = held
	release = sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.held, pair)
		close(held)
	})
	n.t.Cleanup(release)
	return release
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
