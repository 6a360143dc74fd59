package differential

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// session runs one stream on two servers.
type session struct {
	addresses [2]string
	conns     [connections][2]*resp.Conn
	queues    [connections][][]string // The commands since MULTI.
	slowest   time.Duration           // The longest time for a batch: deadlines may be as far apart.
	counts    map[*rule]int           // How often each rule explained a difference.
}

// run runs a stream on empty servers, and returns the first difference, which may also be of what they hold in the end.
// An error is of the connection, or of a reply that breaks the protocol.
func run(addresses [2]string, steps []step, counts map[*rule]int) (*difference, error) {
	s := &session{addresses: addresses, counts: counts}
	defer s.close()
	if err := s.open(); err != nil {
		return nil, err
	}
	for from := 0; from < len(steps); {
		to := from + 1
		for to < len(steps) && !steps[to-1].flush && steps[to].conn == steps[from].conn && !steps[to].whole {
			to++
		}
		if d, err := s.batch(from, steps[from:to]); d != nil || err != nil {
			return d, err
		}
		from = to
	}
	return s.holdings(len(steps))
}

func (s *session) open() error {
	for conn := range connections {
		if err := s.dial(conn); err != nil {
			return err
		}
	}
	for _, c := range s.conns[0] {
		if _, err := c.Must("FLUSHALL"); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) dial(conn int) (err error) {
	for side, address := range s.addresses {
		if s.conns[conn][side], err = resp.Dial(address); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) close() {
	for _, both := range s.conns {
		for _, c := range both {
			if c != nil {
				_ = c.Close()
			}
		}
	}
}

// batch sends commands of one connection to both servers at once, and compares the replies.
func (s *session) batch(from int, steps []step) (*difference, error) {
	conn, began := steps[0].conn, time.Now()
	var replies [2][]resp.Reply
	var errs [2]error
	other := make(chan struct{})
	go func() {
		defer close(other)
		replies[1], errs[1] = ask(s.conns[conn][1], steps)
	}()
	replies[0], errs[0] = ask(s.conns[conn][0], steps)
	<-other
	s.slowest = max(s.slowest, time.Since(began))
	for i := range min(len(replies[0]), len(replies[1])) {
		if d := s.judge(from+i, steps[i], replies[0][i], replies[1][i]); d != nil {
			return d, nil
		}
	}
	for side, err := range errs {
		if err != nil {
			name := [2]string{"redis", "judged"}[side]
			return nil, fmt.Errorf("%s, after %d replies to %q: %w", name, len(replies[side]), steps, err)
		}
	}
	if last := steps[len(steps)-1]; strings.EqualFold(last.args[0], "QUIT") {
		return nil, s.dial(conn)
	}
	return nil, nil
}

// ask sends commands and reads their replies. The last one may be QUIT, which ends the connection.
func ask(c *resp.Conn, steps []step) (replies []resp.Reply, err error) {
	if steps[0].whole {
		reply, err := iterate(c, steps[0].args)
		return []resp.Reply{reply}, err
	}
	for _, one := range steps {
		c.Put(one.args...)
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	for _, one := range steps {
		reply, err := c.Next()
		if err != nil {
			return replies, err
		}
		replies = append(replies, reply)
		if strings.EqualFold(one.args[0], "QUIT") {
			return replies, ended(c)
		}
	}
	return replies, nil
}

// ended waits for the end of a connection.
func ended(c *resp.Conn) error {
	defer func() { _ = c.Close() }()
	if reply, err := c.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the connection goes on after QUIT: %s, error %w", reply, err)
	}
	return nil
}

// iterate runs a whole SCAN, and returns all keys as one reply, in order and each once. An error, and QUEUED, it
// returns as they are.
func iterate(c *resp.Conn, args []string) (resp.Reply, error) {
	all := map[string]bool{}
	args = slices.Clone(args)
	for range 10_000 {
		reply, err := c.Do(args...)
		if err != nil || len(reply.Elements) != 2 {
			return reply, err
		}
		for _, key := range reply.Elements[1].Elements {
			all[string(key.Raw)] = true
		}
		if args[1] = reply.Elements[0].Text; args[1] == "0" {
			return together(all), nil
		}
	}
	return resp.Reply{}, errors.New("SCAN doesn't end")
}

// together makes one reply of the bytes of many.
func together(all map[string]bool) resp.Reply {
	reply := resp.Reply{Kind: '*'}
	var raw bytes.Buffer
	for element := range all {
		reply.Elements = append(reply.Elements, resp.Reply{Kind: '$', Text: element, Raw: []byte(element)})
	}
	slices.SortFunc(reply.Elements, func(a, b resp.Reply) int { return strings.Compare(a.Text, b.Text) })
	for _, element := range reply.Elements {
		raw.Write(element.Raw)
	}
	reply.Raw = raw.Bytes()
	return reply
}

// judge compares two replies to a command, and follows MULTI and EXEC.
func (s *session) judge(at int, one step, a, b resp.Reply) *difference {
	queue := s.queues[one.conn]
	found, by := s.compare(one, queue, a, b)
	if found == different {
		return &difference{at: at, step: one, a: a.String(), b: b.String()}
	}
	if found == explained && s.counts != nil {
		s.counts[by]++
	}
	switch name := strings.ToUpper(one.args[0]); {
	case a.Kind == '+' && a.Text == "QUEUED":
		s.queues[one.conn] = append(queue, one.args)
	case name == "EXEC" || name == "DISCARD" || name == "RESET" || name == "QUIT" || name == "MULTI":
		if !a.IsError() || name == "EXEC" {
			s.queues[one.conn] = nil
		}
	}
	return nil
}

// compare is compare with the tolerance of the session. A whole SCAN has been put in order, so there is nothing to
// explain.
func (s *session) compare(one step, queue [][]string, a, b resp.Reply) (verdict, *rule) {
	if one.whole && string(a.Raw) != string(b.Raw) {
		return different, nil
	}
	return compare(one.args, queue, a, b, 2*s.slowest+10*time.Millisecond)
}

// holdings compares what the servers hold.
func (s *session) holdings(at int) (*difference, error) {
	s.close()
	if err := s.dial(0); err != nil {
		return nil, err
	}
	s.queues = [connections][][]string{}
	steps := []step{{args: []string{"SCAN", "0", "COUNT", "100"}, whole: true}}
	for _, key := range keys {
		for _, question := range []string{"GET", "PEXPIRETIME", "TYPE"} {
			steps = append(steps, step{args: []string{question, key}})
		}
	}
	if d, err := s.batch(at, steps[:1]); d != nil || err != nil {
		return d, err
	}
	return s.batch(at, steps[1:])
}
