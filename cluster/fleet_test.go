//go:build unix

package cluster

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// fleet is a cluster whose nodes are processes, which reach each other through proxies.
type fleet struct {
	t     testing.TB
	dir   string
	names []string // Of those that make the cluster.
	net   *network
	with  func(p *plan)

	straight map[string]string // The addresses of nodes that reach each other without a proxy; nil where they have one.

	mu      sync.Mutex
	running map[string]*running
	moved   map[string]string // Under which name the network knows a node, if not its own.
}

// running is a process that was started.
type running struct {
	command *exec.Cmd
	stdin   io.Closer
	clients string // Where it takes requests.
	ended   chan struct{}
}

// newFleet starts three nodes and waits until one leads.
func newFleet(t testing.TB, with func(p *plan)) *fleet {
	t.Helper()
	f := emptyFleet(t, with)
	f.open()
	return f
}

func emptyFleet(t testing.TB, with func(p *plan)) *fleet {
	f := &fleet{
		t: t, dir: t.TempDir(), names: []string{"a", "b", "c"}, net: newNetwork(t), running: map[string]*running{}, moved: map[string]string{}, with: with,
	}
	t.Cleanup(f.close)
	return f
}

// open starts the nodes' processes, and waits until one leads.
func (f *fleet) open() {
	f.t.Helper()
	for _, name := range f.names {
		f.start(name, len(f.names))
	}
	f.leader()
}

// at returns under which name the network knows a node.
func (f *fleet) at(name string) string { return cmp.Or(f.moved[name], name) }

// address returns under which address the others reach a node.
func (f *fleet) address(name string) string {
	if f.straight == nil {
		return f.net.address(f.at(name))
	}
	if f.straight[name] == "" {
		f.straight[name] = freeAddress(f.t)
	}
	return f.straight[name]
}

// start starts a node's process, and returns once it has opened the node.
func (f *fleet) start(name string, expect int, wrap ...string) {
	f.t.Helper()
	p := plan{Dir: filepath.Join(f.dir, name), Node: name, Listen: "127.0.0.1:0", Advertise: f.address(name), Expect: expect}
	if f.straight != nil {
		p.Listen = p.Advertise
	}
	for _, other := range f.names {
		p.Join = append(p.Join, f.address(other))
	}
	f.with(&p)
	told, err := json.Marshal(p)
	require.NoError(f.t, err)
	words := append(wrap, os.Args[0], "-test.run=^TestANodeInAProcess$")
	r := &running{command: exec.Command(words[0], words[1:]...), ended: make(chan struct{})}
	r.command.Env = append(os.Environ(), nodeEnv+"="+string(told))
	log, err := os.OpenFile(p.Dir+".log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(f.t, err)
	defer func() { require.NoError(f.t, log.Close()) }()
	r.command.Stderr = log
	stdout, err := r.command.StdoutPipe()
	require.NoError(f.t, err)
	r.stdin, err = r.command.StdinPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, r.command.Start())
	var at place
	if err := readLine(bufio.NewReader(stdout), &at); err != nil {
		f.t.Errorf("node %s doesn't start: %v: %v\n%s", name, err, r.command.Wait(), f.log(name))
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = r.command.Wait()
		close(r.ended)
	}()
	r.clients = at.Clients
	f.net.mu.Lock()
	f.net.targets[f.at(name)] = at.Nodes
	f.net.mu.Unlock()
	f.mu.Lock()
	f.running[name] = r
	f.mu.Unlock()
}

// log returns the end of what a node's processes have logged.
func (f *fleet) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.dir, name+".log"))
	return string(text[max(0, len(text)-4000):])
}

// process returns a node's process, nil where there is none.
func (f *fleet) process(name string) *running {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[name]
}

// signal sends a node's process a signal. After SIGKILL it returns once the process is gone.
func (f *fleet) signal(name string, what syscall.Signal) {
	r := f.process(name)
	if r == nil {
		return // It didn't start, which is said already.
	}
	_ = r.command.Process.Signal(what)
	if what == syscall.SIGKILL {
		<-r.ended
		_ = r.stdin.Close()
		f.mu.Lock()
		delete(f.running, name)
		f.mu.Unlock()
	}
}

// close kills all processes, and shows that none has died of anything else.
func (f *fleet) close() {
	for name := range f.running {
		f.signal(name, syscall.SIGKILL)
	}
	if f.t.Failed() {
		for _, name := range f.names {
			f.t.Logf("node %s:\n%s", name, f.log(name))
		}
	}
	logs, _ := filepath.Glob(filepath.Join(f.dir, "*.log"))
	for _, path := range logs {
		text, err := os.ReadFile(path)
		require.NoError(f.t, err)
		for _, part := range strings.Split(string(text), "==================") {
			if strings.Contains(part, "DATA RACE") && strings.Contains(part, "raft.updateLastAppended") {
				continue // raft 1.8.0 reads a member's name while the member gets another address, and the same name.
			}
			for _, word := range []string{"DATA RACE", "panic:", "fatal error:", "node ends:"} {
				if at := strings.Index(part, word); at >= 0 {
					f.t.Errorf("%s: %s", path, part[at:min(at+4000, len(part))])
				}
			}
		}
	}
}

// visitor asks the nodes, each over one connection.
type visitor struct {
	fleet *fleet
	lines map[string]*visit
}

// visit is a connection to a process.
type visit struct {
	of   *running
	conn net.Conn
	in   *json.Decoder
}

func (f *fleet) visitor() *visitor { return &visitor{f, map[string]*visit{}} }

func (v *visitor) leave() {
	for _, l := range v.lines {
		_ = l.conn.Close()
	}
}

var errUnsent = errors.New("the process wasn't asked")

// ask asks a node. The error is kv.ErrUndecided where what was asked for may have happened or may still happen.
func (v *visitor) ask(name string, q request) (a reply, err error) {
	r := v.fleet.process(name)
	if r == nil {
		return a, errGone
	}
	l := v.lines[name]
	if l == nil || l.of != r {
		conn, err := net.DialTimeout("tcp", r.clients, time.Second)
		if err != nil {
			return a, fmt.Errorf("%w: %w", errUnsent, err)
		}
		l = &visit{r, conn, json.NewDecoder(conn)}
		v.lines[name] = l
	}
	if q.Limit == 0 {
		q.Limit = 500 * time.Millisecond
	}
	_ = l.conn.SetDeadline(time.Now().Add(q.Limit + 200*time.Millisecond))
	err = json.NewEncoder(l.conn).Encode(q)
	if err == nil {
		err = l.in.Decode(&a)
	}
	switch {
	case err != nil:
		_ = l.conn.Close()
		delete(v.lines, name)
		return a, fmt.Errorf("%w: %w", kv.ErrUndecided, err)
	case a.Kind == replyUndecided:
		return a, fmt.Errorf("%w: %s", kv.ErrUndecided, a.Error)
	case a.Kind != replyDone:
		return a, errors.New(a.Error)
	}
	return a, nil
}

// do does an operation of a history.
func (v *visitor) do(name string, in input) (output, error) {
	a, err := v.ask(name, request{Op: "do", Input: &command{in.op, in.key, in.value}})
	return output{value: a.Value}, err
}

// leader waits until a node leads.
func (f *fleet) leader() (name string) {
	f.t.Helper()
	v := f.visitor()
	defer v.leave()
	waitUntil(f.t, func() bool {
		for _, n := range f.names {
			if a, err := v.ask(n, request{Op: "know"}); err == nil && a.Known.Leads {
				name = n
				return true
			}
		}
		return false
	})
	return name
}
