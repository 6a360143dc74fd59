package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/loopback"
)

// TestMain is walnutd where a test starts this program as that.
func TestMain(m *testing.M) {
	switch os.Getenv("WALNUTD_TEST") {
	case "":
	case hurried:
		hurriedMain()
	default:
		main()
	}
	os.Exit(m.Run())
}

// trio is three nodes in this process.
type trio struct {
	t     *testing.T
	dir   string
	nodes map[string]*running
	flags map[string][]string // Of each node, in the command line's words.
	admin map[string]string
	redis map[string]string // Addresses for clients, which no flag names.
}

// running is a node that runs.
type running struct {
	daemon *daemon
	stop   context.CancelFunc
	ended  chan error
}

var names = []string{"a", "b", "c"}

// freeAddresses returns addresses that nothing listens on, each another one.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses, err := loopback.Addresses(n)
	require.NoError(t, err)
	return addresses
}

// newTrio makes the flags of three nodes, and starts none.
func newTrio(t *testing.T) *trio {
	c := &trio{t: t, dir: t.TempDir(), nodes: map[string]*running{}, flags: map[string][]string{}, admin: map[string]string{}, redis: map[string]string{}}
	places := freeAddresses(t, 3*len(names))
	join := places[:len(names)]
	for i, name := range names {
		c.admin[name], c.redis[name] = places[len(names)+i], places[2*len(names)+i]
		c.flags[name] = []string{
			"--dir", filepath.Join(c.dir, name), "--cluster", "test", "--id", name, "--listen", join[i], "--join", strings.Join(join, ","),
			"--bootstrap-expect", "3", "--insecure", "--admin", c.admin[name], "--heartbeat", "400ms", "--lease", "300ms",
		}
	}
	t.Cleanup(func() {
		for name := range c.nodes {
			c.stop(name)
		}
	})
	return c
}

// alone makes a node one that makes a cluster by itself.
func (c *trio) alone(name string) {
	at := slices.Index(c.flags[name], "--join")
	c.flags[name] = append(slices.Delete(c.flags[name], at, at+2), "--bootstrap-expect", "1")
}

// logged keeps what a node logs, and shows it when the test has failed.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (c *trio) start(name string) {
	c.t.Helper()
	f, err := parseFlags(c.flags[name], io.Discard)
	require.NoError(c.t, err)
	log := &logged{}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Log(name, log)
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	n := &running{daemon: newDaemon(f, log), stop: stop, ended: make(chan error, 1)}
	go func() { n.ended <- n.daemon.run(ctx) }()
	c.nodes[name] = n
}

func (c *trio) startAll() {
	for _, name := range names {
		c.start(name)
	}
	for _, name := range names {
		c.waitReady(name)
	}
}

func (c *trio) stop(name string) {
	c.t.Helper()
	n := c.nodes[name]
	delete(c.nodes, name)
	n.stop()
	require.NoError(c.t, <-n.ended)
}

// get asks an admin listener.
func (c *trio) get(name, path string) (status int, body string) {
	answer, err := http.Get("http://" + c.admin[name] + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	return answer.StatusCode, string(text)
}

func (c *trio) waitReady(name string) {
	c.t.Helper()
	body := ""
	waitUntil(c.t, func() bool {
		var status int
		status, body = c.get(name, admin.PathReady)
		return status == http.StatusOK
	}, &body)
}

func (c *trio) client(name string) *admin.Client { return admin.NewClient(c.admin[name], nil) }

func (c *trio) node(name string) *cluster.Cluster { return c.nodes[name].daemon.node.Load() }

// leader waits for one.
func (c *trio) leader() (name string) {
	c.t.Helper()
	waitUntil(c.t, func() bool {
		for n := range c.nodes {
			if node := c.node(n); node != nil && node.Leads() {
				name = n
			}
		}
		return name != ""
	}, new(string))
	return name
}

func (c *trio) follower() string {
	leader := c.leader()
	for _, name := range names {
		if name != leader && c.nodes[name] != nil {
			return name
		}
	}
	c.t.Fatal("there is no follower")
	return ""
}

// put puts a pair on the leader until that is done.
func (c *trio) put(key, value string) {
	c.t.Helper()
	why := ""
	waitUntil(c.t, func() bool {
		_, err := c.node(c.leader()).DB().Put([]byte(key), []byte(value))
		if err != nil {
			why = err.Error()
		}
		return err == nil
	}, &why)
}

// requireShows shows that a node has a pair.
func (c *trio) requireShows(name, key, value string) {
	c.t.Helper()
	require.NoError(c.t, c.node(name).Linearizable(soon(c.t)))
	got, err := c.node(name).DB().Get([]byte(key))
	require.NoError(c.t, err)
	require.Equal(c.t, value, string(got))
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitUntil(t *testing.T, condition func() bool, why *string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "it doesn't happen: %s", *why)
	}
}
