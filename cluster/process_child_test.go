package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// nodeEnv tells the test binary that it is one node of a cluster, and what it has to know.
const nodeEnv = "WALNUT_TEST_NODE"

// plan is what a process has to know to be a node.
type plan struct {
	Dir, Node         string
	Listen, Advertise string
	Join              []string
	Expect            int
	Defaults          bool // Timeouts, segments and checkpoints are the defaults, instead of such that much happens soon.
}

// place is where a process listens, which it says on its standard output.
type place struct{ Nodes, Clients string }

// request is what a process is asked, as a line of JSON. What it is about is in Value, unless it is an operation of a history.
type request struct {
	Op    string
	Input *command      `json:",omitempty"`
	Value string        `json:",omitempty"`
	Load  *load         `json:",omitempty"`
	Limit time.Duration `json:",omitempty"`
}

// command is an input that can be sent.
type command struct {
	Op         int
	Key, Value string
}

// The kinds of replies.
const (
	replyDone      = "done"
	replyRefused   = "refused"
	replyUndecided = "undecided"
)

// reply is what a process answers.
type reply struct {
	Kind  string
	Error string            `json:",omitempty"`
	Value string            `json:",omitempty"`
	Pairs map[string]string `json:",omitempty"`
	Known *known            `json:",omitempty"`
	Took  *took             `json:",omitempty"`
}

// known is what a node knows of itself.
type known struct {
	Leads       bool
	Voters      []string
	Offset      uint64
	First, Last uint64
	Goroutines  int
	Heap        uint64
	Descriptors int
	OpenedIn    time.Duration
}

// TestANodeInAProcess is no test, but what a process runs that another test has started.
func TestANodeInAProcess(t *testing.T) {
	told := os.Getenv(nodeEnv)
	if told == "" {
		t.Skip("it is for processes that other tests start")
	}
	var p plan
	if err := json.Unmarshal([]byte(told), &p); err != nil {
		t.Fatal(err)
	}
	if err := (&process{plan: p, ended: make(chan struct{})}).run(); err != nil {
		fmt.Fprintln(os.Stderr, "node ends:", err)
		os.Exit(1)
	}
}

// process is a node and its clients.
type process struct {
	plan
	node   *Cluster
	log    *sickLog
	opened time.Duration
	end    sync.Once
	ended  chan struct{}
}

func (p *process) options() Options {
	o := Options{
		Cluster: "test", Node: p.Node, Listen: p.Listen, Advertise: p.Advertise, Join: p.Join, BootstrapExpect: p.Expect, Insecure: true,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		disk: func(on entryLog) entryLog {
			p.log = &sickLog{entryLog: on}
			return p.log
		},
	}
	if !p.Defaults {
		o.Heartbeat, o.Lease, o.CommitEvery, o.DialTimeout = 400*time.Millisecond, 300*time.Millisecond, 10*time.Millisecond, 2*time.Second
		o.Handover, o.TrailingLogs = time.Second, 32
		o.Store.SegmentSize, o.Store.CheckpointFloor = 64<<10, 32<<10
	}
	return o
}

// run is a node until its standard input ends, or it is asked to end.
func (p *process) run() (err error) {
	began := time.Now()
	if p.node, err = Open(context.Background(), p.Dir, p.options()); err != nil {
		return err
	}
	p.opened = time.Since(began)
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := clients.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		p.end.Do(func() { close(p.ended) })
	}()
	if err := writeLine(os.Stdout, place{p.node.port.listener.Addr().String(), clients.Addr().String()}); err != nil {
		return err
	}
	<-p.ended
	return p.node.Close()
}

func (p *process) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var q request
		if in.Decode(&q) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), q.Limit)
		a, err := p.answer(ctx, q)
		cancel()
		switch {
		case errors.Is(err, kv.ErrUndecided):
			a.Kind, a.Error = replyUndecided, err.Error()
		case err != nil:
			a.Kind, a.Error = replyRefused, err.Error()
		default:
			a.Kind = replyDone
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

// answer does what a process is asked to.
func (p *process) answer(ctx context.Context, q request) (a reply, err error) {
	switch q.Op {
	case "do":
		var out output
		out, err = do(ctx, p.node, input{q.Input.Op, q.Input.Key, q.Input.Value})
		a.Value = out.value
	case "transfer":
		err = p.node.Transfer(ctx, q.Value)
	case "remove":
		err = p.node.Remove(ctx, q.Value)
	case "join":
		err = p.node.Join(ctx)
	case "know":
		a.Known, err = p.know(ctx)
	case "pairs":
		a.Known, a.Pairs, err = p.pairs(ctx)
	case "load":
		a.Took, err = q.Load.run(ctx, p.node.DB())
	case "full":
		p.log.fallIll(kv.ErrNoSpace, nil)
	case "hang":
		p.log.fallIll(nil, make(chan struct{}))
	case "fail":
		p.log.fail(q.Value == "late")
	case "heal":
		p.log.heal()
	case "end":
		p.end.Do(func() { close(p.ended) })
	default:
		err = fmt.Errorf("what is %q?", q.Op)
	}
	return a, err
}
