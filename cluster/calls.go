package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/snapshot"
)

// Besides the consensus nodes ask each other some questions, over connections for calls: a line of JSON, and a line with the answer. A
// newer program may ask what an older one doesn't know, which says so.

// The questions.
const (
	opWho      = "who"      // Which node is it, has it members, who leads? Any node answers.
	opTerm     = "term"     // Which term is it in? Any node answers.
	opStatus   = "status"   // How far is it? Any node answers.
	opRead     = "read"     // What must be applied to show what was acknowledged? The leader answers, as to all that follow.
	opAdmit    = "admit"    // Let the node in, or know its new address, or let it vote.
	opRemove   = "remove"   // Remove the node.
	opTransfer = "transfer" // Let the node lead; any, where it is empty.
)

// question is what one node asks another.
type question struct {
	Op       string `json:"op"`
	Node     string `json:"node,omitempty"` // Of a removal or a transfer its name, otherwise the identity of the one that asks.
	Address  string `json:"address,omitempty"`
	NonVoter bool   `json:"nonVoter,omitempty"`
	Applied  uint64 `json:"applied,omitempty"` // What the node that asks has applied.
	Run      string `json:"run,omitempty"`     // Its run.
}

// answer is what it gets.
type answer struct {
	Code    string `json:"code,omitempty"` // A key of codes; empty without an error.
	Text    string `json:"text,omitempty"`
	Node    string `json:"node,omitempty"` // The identity of the one that answers.
	Run     string `json:"run,omitempty"`  // Drawn when it was opened.
	Address string `json:"address,omitempty"`
	Leader  string `json:"leader,omitempty"` // As the consensus has it, where it is known.
	Joined  bool   `json:"joined,omitempty"` // The node has members, or had.
	Time    int64  `json:"time,omitempty"`   // By its clock, in nanoseconds since 1970.
	Term    uint64 `json:"term,omitempty"`
	Offset  uint64 `json:"offset,omitempty"`
	Reads   uint32 `json:"reads,omitempty"` // The newest format of snapshots that its program reads. Those that read only the first don't say.

	Status *reported `json:"status,omitempty"`
}

// codes are the errors that a caller can tell from others.
var codes = map[string]error{
	"leader": ErrNoLeader,
	"member": ErrMember,
	"again":  errAgain,
}

var errAnswer = errors.New("the node refuses")

// refused makes an answer of an error.
func refused(err error) answer {
	a := answer{Code: "other", Text: err.Error()}
	for code, known := range codes {
		if errors.Is(err, known) {
			a.Code = code
		}
	}
	if errors.Is(err, ErrStopped) || errors.Is(err, ErrClosed) { // So this node doesn't lead. The one that asks is neither.
		a.Code = "leader"
	}
	return a
}

// err is the inverse of refused.
func (a answer) err() error {
	if a.Code == "" {
		return nil
	}
	known, found := codes[a.Code]
	if !found {
		known = errAnswer
	}
	return fmt.Errorf("%w (%s)", known, a.Text)
}

// lineMax is how many bytes a question or an answer has at most.
const lineMax = 64 << 10

// calls keeps a connection to each node that was asked, while it is used. One question at a time is on its way on each.
type calls struct {
	port    *port
	timeout time.Duration

	mu    sync.Mutex
	lines map[string]*line // By the place.
}

func newCalls(c *Cluster) *calls {
	return &calls{port: c.port, timeout: c.opts.DialTimeout, lines: map[string]*line{}}
}

// line is the connection to one node.
type line struct {
	turn chan struct{} // Holds a token while nobody asks. What follows is for its holder.
	conn net.Conn      // Nil while there is none.
	in   *bufio.Reader
	used bool // Since the last sweep.
}

// line returns the one to a place, which may not be connected.
func (c *calls) line(place string) *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[place]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1)}
		l.turn <- struct{}{}
		c.lines[place] = l
	}
	return l
}

// ask asks the node at a place. A connection that was idle may be dead, so then a new one is tried: a question may be asked twice.
func (c *calls) ask(ctx context.Context, place string, q question) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	l := c.line(place)
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return a, context.Cause(ctx)
	}
	wasOpen := l.conn != nil
	l.used = true
	a, err = c.exchange(ctx, l, place, q)
	if err != nil && wasOpen && ctx.Err() == nil {
		a, err = c.exchange(ctx, l, place, q)
	}
	if err != nil {
		return a, fmt.Errorf("cluster: ask %s: %w", place, err)
	}
	return a, nil
}

// sweep closes the connections that weren't used since the last time.
func (c *calls) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for place, l := range c.lines {
		select {
		case <-l.turn:
		default:
			continue // In use.
		}
		if !l.used {
			delete(c.lines, place) // A question that waits for its turn may still use it, and opens a connection that ends with the port.
			if l.conn != nil {
				_ = l.conn.Close()
				l.conn = nil
			}
		}
		l.used = false
		l.turn <- struct{}{}
	}
}

// exchange asks once.
func (c *calls) exchange(ctx context.Context, l *line, place string, q question) (a answer, err error) {
	if l.conn == nil {
		node, address := parted(place)
		conn, _, err := c.port.dial(ctx, forCalls, node, address)
		if err != nil {
			return a, err
		}
		l.conn, l.in = conn, bufio.NewReader(conn)
	}
	conn := l.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	err = writeLine(conn, q)
	if err == nil {
		err = readLine(l.in, &a)
	}
	if !stop() || err != nil {
		err = errors.Join(err, context.Cause(ctx))
		_ = conn.Close()
		l.conn = nil
	}
	return a, err
}

func writeLine(to io.Writer, what any) error {
	text, err := json.Marshal(what)
	if err == nil {
		_, err = to.Write(append(text, '\n'))
	}
	return err
}

func readLine(from *bufio.Reader, into any) error {
	var text []byte
	for {
		piece, err := from.ReadSlice('\n')
		text = append(text, piece...)
		switch {
		case len(text) > lineMax:
			return fmt.Errorf("a line has more than %d bytes", lineMax)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return err
		}
		return json.Unmarshal(text, into)
	}
}

// serveCalls answers the questions of a node until it hangs up.
func (c *Cluster) serveCalls(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		var q question
		if err := readLine(in, &q); err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.opts.DialTimeout)
		a, err := c.answer(ctx, q)
		cancel()
		if err != nil {
			a = refused(err)
		}
		a.Node, a.Run, a.Address, a.Reads = c.id, c.run, c.port.address, snapshot.FormatVersion
		if run := c.engine(); run != nil {
			leader, _ := run.raft.LeaderWithID()
			a.Leader = string(leader)
		}
		if err := writeLine(conn, a); err != nil {
			return
		}
	}
}

// answer answers a question.
func (c *Cluster) answer(ctx context.Context, q question) (answer, error) {
	switch q.Op {
	case opWho:
		joined, err := c.hasMembers(ctx)
		return answer{Joined: joined, Offset: c.replica.Applied(), Time: c.opts.now().UnixNano()}, err
	case opTerm:
		return answer{Term: c.engine().raft.CurrentTerm()}, nil
	case opStatus:
		return c.report(), nil
	case opRead:
		if err := c.entitled(ctx, q.Node); err != nil {
			return answer{}, err
		}
		offset, err := c.reads.join(ctx)
		return answer{Offset: offset}, err
	case opAdmit:
		return answer{}, c.admit(ctx, q)
	case opRemove:
		return answer{}, c.remove(ctx, q.Node)
	case opTransfer:
		return answer{}, c.transfer(ctx, q.Node)
	}
	return answer{}, fmt.Errorf("cluster: unknown question %q: this node may be older than the one that asks", q.Op)
}

// snapshotsRead asks a node for the newest format of snapshots that its program reads.
func (c *Cluster) snapshotsRead(ctx context.Context, place string) (format uint32, err error) {
	a, err := c.calls.ask(ctx, place, question{Op: opTerm})
	if err == nil {
		err = a.err()
	}
	return a.Reads, err
}

// askLeader asks the leader, wherever it is known to be.
func (c *Cluster) askLeader(ctx context.Context, q question) (answer, error) {
	leader, _ := c.engine().raft.LeaderWithID()
	if leader == "" {
		return answer{}, ErrNoLeader
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { c.followLeader(ctx, leader, cancel) })
	a, err := c.calls.ask(ctx, string(leader), q)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errAgain, err)
	}
	return a, a.err()
}

// leaderWatched is how often it is looked whether a node that is asked leads still.
const leaderWatched = 50 * time.Millisecond

// followLeader cancels a question to the leader once another one leads: a dead node doesn't answer.
func (c *Cluster) followLeader(ctx context.Context, asked raft.ServerAddress, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-time.After(leaderWatched):
			if now, _ := c.engine().raft.LeaderWithID(); now != "" && now != asked {
				cancel(fmt.Errorf("%w: another one does", ErrNoLeader))
			}
		case <-ctx.Done():
			return
		}
	}
}
