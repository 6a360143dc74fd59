package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// resp is a connection to a server of the Redis protocol, as plain as can be.
type resp struct {
	conn net.Conn
	from *bufio.Reader
}

// respTimeout is more than any reply may take: an election, and a machine that is busy.
const respTimeout = 20 * time.Second

func dialRESP(address string) (*resp, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	return newRESP(conn), nil
}

func newRESP(conn net.Conn) *resp { return &resp{conn, bufio.NewReader(conn)} }

func (c *resp) close() { _ = c.conn.Close() }

// replyError is a reply that is an error.
type replyError string

func (e replyError) Error() string { return string(e) }

// isUndecided reports whether a command may have happened although it got no reply but an error: the server said so, or none came.
func isUndecided(err error) bool {
	var refused replyError
	return !errors.As(err, &refused) || strings.HasPrefix(string(refused), "UNDECIDED ")
}

// errNull is a reply that is null.
var errNull = replyError("null")

// do sends the words of commands at once, and returns the last reply: a list's items are separated by spaces.
func (c *resp) do(commands ...[]string) (last string, err error) {
	_ = c.conn.SetDeadline(time.Now().Add(respTimeout))
	var out strings.Builder
	for _, words := range commands {
		fmt.Fprintf(&out, "*%d\r\n", len(words))
		for _, word := range words {
			fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	if _, err := io.WriteString(c.conn, out.String()); err != nil {
		return "", err
	}
	for range commands {
		if last, err = c.reply(); err != nil && !errors.As(err, new(replyError)) {
			return "", err
		}
	}
	return last, err
}

// words sends the words of a line.
func (c *resp) words(line string) (string, error) { return c.do(strings.Fields(line)) }

func (c *resp) reply() (string, error) {
	line, err := c.from.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSpace(line[1:])
	n, _ := strconv.Atoi(rest)
	switch {
	case kind == '-':
		return "", replyError(rest)
	case kind == '$' && n >= 0:
		text := make([]byte, n+2)
		_, err := io.ReadFull(c.from, text)
		return string(text[:n]), err
	case kind == '*' && n >= 0:
		return c.items(n)
	case kind == '$', kind == '*':
		return "", errNull
	}
	return rest, nil
}

func (c *resp) items(n int) (string, error) {
	items := make([]string, n)
	for i := range items {
		item, err := c.reply()
		if err != nil && !errors.As(err, new(replyError)) {
			return "", err
		}
		if items[i] = item; err != nil {
			items[i] = err.Error()
		}
	}
	return strings.Join(items, " "), nil
}
