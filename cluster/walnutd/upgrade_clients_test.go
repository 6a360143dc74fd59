//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	retryingClients = 6
	retriedFor      = 30 * time.Second // A request that isn't done by then has failed.
	counterKey      = "counter"
)

// retrying are clients that repeat a request until it is done, through whichever node answers. What each has got done is known, so that a lost
// write shows, and one that was done twice.
type retrying struct {
	t       *testing.T
	nodes   map[string]string // Addresses by names.
	clients [retryingClients]*retryingClient
	ended   sync.WaitGroup
	stop    context.CancelFunc
}

// retryingClient is one of them.
type retryingClient struct {
	*retrying
	dice *rand.Rand
	own  string // Its key, which no other client writes.
	conn *resp  // Nil where there is none.

	written, counted int // How often it has written its key, and counted the counter up.
	requests         int
	retries          int // After errors, and not where another client was faster.
	failed           []string
	worst            time.Duration
}

func newClients(t *testing.T, nodes map[string]string) *retrying {
	r := &retrying{t: t, nodes: nodes, stop: func() {}}
	for i := range r.clients {
		r.clients[i] = &retryingClient{retrying: r, dice: rand.New(rand.NewPCG(rand.Uint64(), 0)), own: fmt.Sprint("own/", i)}
	}
	t.Cleanup(r.end)
	return r
}

// start lets them begin, or go on after end.
func (r *retrying) start() {
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop = stop
	for _, c := range r.clients {
		r.ended.Go(func() { c.run(ctx) })
	}
}

// end waits until each client has finished its request.
func (r *retrying) end() {
	r.stop()
	r.ended.Wait()
}

func (c *retryingClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		switch c.dice.IntN(3) {
		case 0:
			c.until("read", c.read)
		case 1:
			if c.until("write", c.write) {
				c.written++
			}
		case 2:
			if c.until("count", c.count) {
				c.counted++
			}
		}
		time.Sleep(time.Duration(c.dice.IntN(3)) * time.Millisecond)
	}
	c.drop()
}

func (c *retryingClient) drop() {
	if c.conn != nil {
		c.conn.close()
		c.conn = nil
	}
}

// until repeats a request until it is done. After an error another node may be asked.
func (c *retryingClient) until(what string, request func() error) (done bool) {
	c.requests++
	for began := time.Now(); ; {
		err := c.dial()
		if err == nil {
			err = request()
		}
		took := time.Since(began)
		switch {
		case err == nil:
			c.worst = max(c.worst, took)
			return true
		case took > retriedFor:
			c.failed = append(c.failed, fmt.Sprintf("%s: %v", what, err))
			c.drop()
			return false
		case errors.Is(err, errNull): // Somebody was faster.
			continue
		}
		c.retries++
		c.drop()
		time.Sleep(time.Duration(1+c.dice.IntN(20)) * time.Millisecond)
	}
}

// dial connects to some node.
func (c *retryingClient) dial() (err error) {
	if c.conn == nil {
		c.conn, err = dialRESP(c.nodes[names[c.dice.IntN(len(names))]])
	}
	return err
}

// padding makes values large enough for logs to grow.
var padding = strings.Repeat("-", 200)

func (c *retryingClient) value() string { return fmt.Sprint(c.written, " ", padding) }

// read reads the client's key, which has what was acknowledged last.
func (c *retryingClient) read() error {
	got, err := valueOf(c.conn, c.own)
	if err != nil || c.written == 0 {
		return err
	}
	if got != c.value() {
		c.failed = append(c.failed, fmt.Sprintf("read %s: %.20q, but %.20q was acknowledged", c.own, got, c.value()))
	}
	return nil
}

func (c *retryingClient) write() error {
	_, err := c.conn.do([]string{"SET", c.own, fmt.Sprint(c.written+1, " ", padding)})
	return err
}

// mark is the key that says that the client has counted that often.
func (c *retryingClient) mark(n int) string { return fmt.Sprint("mark/", c.own, "/", n) }

// count counts the counter up by one, once, however often it is tried: the mark says whether that has happened.
func (c *retryingClient) count() error {
	mark := c.mark(c.counted + 1)
	if _, err := c.conn.do([]string{"WATCH", counterKey, mark}); err != nil {
		return err
	}
	marked, err := c.conn.do([]string{"EXISTS", mark})
	if err != nil {
		return err
	}
	if marked == "1" {
		_, err := c.conn.do([]string{"UNWATCH"})
		return err
	}
	value, err := valueOf(c.conn, counterKey)
	if err != nil {
		return err
	}
	n := 0
	_, _ = fmt.Sscan(value, &n) // It is empty at first.
	_, err = c.conn.do([]string{"MULTI"}, []string{"SET", counterKey, fmt.Sprint(n + 1)}, []string{"SET", mark, ""}, []string{"EXEC"})
	return err
}

// judge ends the clients, and shows that no request has failed and that a node has what was acknowledged, and nothing else.
func (r *retrying) judge(dial func(name string) *resp) {
	r.end()
	requests, retries, counted, keys, worst := 0, 0, 0, 1, time.Duration(0)
	for _, c := range r.clients {
		require.Empty(r.t, c.failed)
		require.Positive(r.t, c.counted)
		require.Positive(r.t, c.written)
		requests, retries, counted, keys = requests+c.requests, retries+c.retries, counted+c.counted, keys+1+c.counted
		worst = max(worst, c.worst)
	}
	r.t.Logf("%d requests, %d retries, none failed; the longest took %v", requests, retries, worst.Round(time.Millisecond))
	for _, name := range names {
		conn := dial(name)
		for _, c := range r.clients {
			got, err := valueOf(conn, c.own)
			require.NoError(r.t, err)
			require.Equal(r.t, c.value(), got, "%s on %s", c.own, name)
			marked, err := conn.do([]string{"EXISTS", c.mark(c.counted)})
			require.NoError(r.t, err)
			require.Equal(r.t, "1", marked)
		}
		got, err := valueOf(conn, counterKey)
		require.NoError(r.t, err)
		require.Equal(r.t, fmt.Sprint(counted), got, "each count happened once")
		got, err = conn.do([]string{"DBSIZE"})
		require.NoError(r.t, err)
		require.Equal(r.t, fmt.Sprint(keys), got)
	}
}
