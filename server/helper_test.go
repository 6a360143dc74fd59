package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// openStore opens a store that is in memory only.
func openStore(t *testing.T, opts kv.Options) *kv.DB {
	t.Helper()
	db, err := kv.OpenMemory(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// serveStore serves a store until the test ends, and returns where.
func serveStore(t *testing.T, store server.Store, opts server.Options) (srv *server.Server, address string) {
	t.Helper()
	srv, err := server.New(store, opts)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-ended, server.ErrClosed)
	})
	return srv, listener.Addr().String()
}

// client is a connection that sends bytes and shows replies as redis-cli does.
type client struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

// newClient serves a new store to one client.
func newClient(t *testing.T) *client {
	t.Helper()
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	return dial(t, address)
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &client{t, conn, bufio.NewReader(conn)}
}

// do sends a command and returns its reply.
func (c *client) do(args ...string) string {
	c.t.Helper()
	c.send(encode(args...))
	return c.reply()
}

// words sends a line's words as a command, and returns the reply.
func (c *client) words(line string) string {
	c.t.Helper()
	return c.do(strings.Fields(line)...)
}

func (c *client) send(bytes string) {
	c.t.Helper()
	_, err := io.WriteString(c.conn, bytes)
	require.NoError(c.t, err)
}

// encode returns a command as a client sends it.
func encode(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// reply reads one reply: a string in quotes, an integer as it is, a null as nil, an error after its sign, a list in brackets, a map in braces.
func (c *client) reply() string {
	c.t.Helper()
	text, err := c.read()
	require.NoError(c.t, err)
	return text
}

// replies reads some replies.
func (c *client) replies(n int) (all []string) {
	c.t.Helper()
	for range n {
		all = append(all, c.reply())
	}
	return all
}

// isClosed reports whether the server has closed the connection after the replies that were read.
func (c *client) isClosed() bool {
	_, err := c.from.ReadByte()
	return err != nil && !errors.Is(err, context.DeadlineExceeded)
}

func (c *client) read() (string, error) {
	line, err := c.from.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return "-" + rest, nil
	case ':', ',', '#', '(':
		return rest, nil
	case '_':
		return "nil", nil
	case '$', '=':
		return c.readBulk(rest)
	case '*', '>', '~':
		return c.readList(rest, 1)
	case '%':
		return c.readList(rest, 2)
	}
	return "", fmt.Errorf("reply begins with %q", kind)
}

func (c *client) readBulk(length string) (string, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return "nil", err
	}
	text := make([]byte, n+2)
	_, err = io.ReadFull(c.from, text)
	return strconv.Quote(string(text[:n])), err
}

func (c *client) readList(length string, each int) (string, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return "nil", err
	}
	items := make([]string, 0, n*each)
	for range n * each {
		item, err := c.read()
		if err != nil {
			return "", err
		}
		items = append(items, item)
	}
	if each == 2 {
		return "{" + strings.Join(items, " ") + "}", nil
	}
	return "[" + strings.Join(items, " ") + "]", nil
}

// expect reads exactly these bytes, which may be many.
func (c *client) expect(bytes string) {
	c.t.Helper()
	got := make([]byte, len(bytes))
	_, err := io.ReadFull(c.from, got)
	require.NoError(c.t, err)
	require.True(c.t, string(got) == bytes, "%q instead of %q", cut(string(got)), cut(bytes))
}

// cut returns the start of a long text.
func cut(text string) string { return text[:min(len(text), 100)] }

// speakRESP3 goes over to RESP3.
func (c *client) speakRESP3() {
	c.t.Helper()
	require.Contains(c.t, c.words("HELLO 3"), `"proto" 3`)
}
