package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// trio is a cluster of some nodes in this process, three as a rule.
type trio struct {
	t     testing.TB
	dir   string
	names []string
	net   *network
	nodes map[string]*Cluster // Those that are open.
	with  func(o *Options)    // What a test wants to be different.
}

// newTrio opens the nodes of a new cluster and waits until they have a leader.
func newTrio(t testing.TB, names ...string) *trio {
	t.Helper()
	return newTrioWith(t, func(*Options) {}, names...)
}

func newTrioWith(t testing.TB, with func(o *Options), names ...string) *trio {
	t.Helper()
	if len(names) == 0 {
		names = []string{"a", "b", "c"}
	}
	c := &trio{t: t, dir: t.TempDir(), names: names, net: newNetwork(t), nodes: map[string]*Cluster{}, with: with}
	t.Cleanup(c.close)
	for _, name := range names {
		c.open(name)
	}
	c.leader()
	return c
}

// options are those of a node.
func (c *trio) options(name string) Options {
	o := Options{
		Cluster: "test", Node: name, Listen: "127.0.0.1:0", Advertise: c.net.address(name), Insecure: true,
		BootstrapExpect: len(c.names), Logger: testLogger(c.t),
		Heartbeat: 400 * time.Millisecond, Lease: 300 * time.Millisecond, CommitEvery: 10 * time.Millisecond, DialTimeout: 3 * time.Second,
	}
	for _, other := range c.names {
		o.Join = append(o.Join, c.net.address(other))
	}
	o.Store.SegmentSize, o.Store.CheckpointFactor = 64<<10, -1
	c.with(&o)
	return o
}

// open opens a node.
func (c *trio) open(name string) *Cluster {
	c.t.Helper()
	return c.openWith(name, c.options(name))
}

func (c *trio) openWith(name string, o Options) *Cluster {
	c.t.Helper()
	node, err := Open(soon(c.t), filepath.Join(c.dir, name), o)
	require.NoError(c.t, err)
	c.net.mu.Lock()
	c.net.targets[name] = node.port.listener.Addr().String()
	c.net.mu.Unlock()
	c.nodes[name] = node
	return node
}

// stop closes a node.
func (c *trio) stop(name string) {
	c.t.Helper()
	require.NoError(c.t, c.nodes[name].Close())
	delete(c.nodes, name)
}

func (c *trio) close() {
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		c.stop(name)
	}
}

// leader waits until a node leads.
func (c *trio) leader() (name string) {
	c.t.Helper()
	waitUntil(c.t, func() bool {
		for n, node := range c.nodes {
			if node.Leads() {
				name = n
				return true
			}
		}
		return false
	})
	return name
}

// follower returns an open node that doesn't lead.
func (c *trio) follower() string {
	c.t.Helper()
	leader := c.leader()
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		if name != leader {
			return name
		}
	}
	c.t.Fatal("there is no follower")
	return ""
}

// put puts a pair on the leader, whichever that is, as a client does: again where it was refused, and where it is undecided, since to put
// the same twice does no harm.
func (c *trio) put(key, value string) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := c.nodes[c.leader()].DB().Put([]byte(key), []byte(value))
		if err == nil {
			return
		}
		again := errors.Is(err, kv.ErrNotLeader) || errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrUndecided)
		require.True(c.t, again && time.Now().Before(deadline), "put %s: %v", key, err)
	}
}

// fill puts many pairs.
func (c *trio) fill(prefix string, pairs int) {
	c.t.Helper()
	for i := range pairs {
		c.put(fmt.Sprint(prefix, i), string(make([]byte, 200)))
	}
}

// requireShows shows that a node has a pair after a linearizable read.
func (c *trio) requireShows(name, key, value string) {
	c.t.Helper()
	require.NoError(c.t, c.nodes[name].Linearizable(soon(c.t)), "node %s", name)
	got, err := c.nodes[name].DB().Get([]byte(key))
	require.NoError(c.t, err, "node %s", name)
	require.Equal(c.t, value, string(got), "node %s", name)
}

// requireAlike shows that all open nodes hold the same pairs, and returns them.
func (c *trio) requireAlike() (want map[string]string) {
	c.t.Helper()
	for name, node := range c.nodes {
		require.NoError(c.t, node.Linearizable(soon(c.t)), "node %s", name)
		held := map[string]string{}
		for key, value := range node.DB().Scan(kv.Range{}) {
			held[string(key)] = string(value)
		}
		if want == nil {
			want = held
		}
		require.Equal(c.t, want, held, "node %s", name)
	}
	return want
}

// checkpoint lets a node take one, as when its log has grown.
func (c *trio) checkpoint(name string) {
	c.t.Helper()
	waitUntil(c.t, func() bool { return consensus{c.nodes[name]}.Checkpoint(context.Background()) == nil })
}
