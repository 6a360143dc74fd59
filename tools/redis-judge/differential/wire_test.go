package differential

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
)

// wires are bytes that a client may send which are no arrays of bulk strings, or aren't sound ones.
var wires = []struct{ name, sent string }{
	{"an inline command", "PING\r\n"},
	{"an inline command with a line feed alone", "PING\nECHO a\n"},
	{"inline arguments", "SET a b\r\nGET a\r\n"},
	{"many spaces", "  SET   a \t b  \r\nGET a\r\n"},
	{"double quotes", "SET a \"b c\\r\\n\\x41\\\"\"\r\nGET a\r\n"},
	{"single quotes", "SET a 'b \\'c\\' \\n'\r\nGET a\r\n"},
	{"an empty argument", "SET a \"\"\r\nGET a\r\n"},
	{"quotes that aren't closed", "SET a \"b\r\nPING\r\n"},
	{"a quote with a letter after it", "SET a \"b\"c\r\nPING\r\n"},
	{"empty lines", "\r\n\r\n\n\r\nPING\r\n"},
	{"an inline command that is unknown", "FOO bar\r\nPING\r\n"},
	{"an inline line of 70,000 bytes", strings.Repeat("a", 70_000) + "\r\nPING\r\n"},
	{"an inline line of 70,000 bytes without an end", strings.Repeat("a", 70_000)},
	{"inline and arrays", "PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n"},
	{"an array of no element", "*0\r\n*1\r\n$4\r\nPING\r\n"},
	{"a null array", "*-1\r\n*1\r\n$4\r\nPING\r\n"},
	{"a negative array", "*-10\r\n*1\r\n$4\r\nPING\r\n"},
	{"an array length that is no number", "*a\r\nPING\r\n"},
	{"an array length that is empty", "*\r\n*1\r\n$4\r\nPING\r\n"},
	{"an array length with a sign", "*+1\r\n$4\r\nPING\r\n"},
	{"an array length with a space", "* 1\r\n$4\r\nPING\r\n"},
	{"an array of 1,048,577 elements, of which there is one", "*1048577\r\n$4\r\nPING\r\n"},
	{"an array of 2,147,483,648 elements", "*2147483648\r\n$4\r\nPING\r\n"},
	{"an array length of many digits", "*99999999999999999999\r\n"},
	{"an array length of 70,000 digits", "*" + strings.Repeat("1", 70_000)},
	{"an element that is a simple string", "*1\r\n+PING\r\nPING\r\n"},
	{"an element that is a number", "*2\r\n$4\r\nECHO\r\n:1\r\nPING\r\n"},
	{"an element that is an array", "*1\r\n*1\r\n$4\r\nPING\r\n"},
	{"an element that is an empty line", "*1\r\n\r\nPING\r\n"},
	{"a bulk length that is negative", "*1\r\n$-1\r\nPING\r\n"},
	{"a bulk length that is no number", "*1\r\n$x\r\nPING\r\n"},
	{"a bulk length that is empty", "*1\r\n$\r\nPING\r\n"},
	{"a bulk length of 512 MiB and a byte", "*1\r\n$536870913\r\nPING\r\n"},
	{"a bulk length of many digits", "*1\r\n$99999999999999999999\r\nPING\r\n"},
	{"a bulk length that is too short", "*1\r\n$3\r\nPING\r\nPING\r\n"},
	{"a bulk string without an end", "*1\r\n$4\r\nPINGxxPING\r\n"},
	{"an empty bulk string", "*1\r\n$0\r\n\r\nPING\r\n"},
	{"a command that is cut", "*2\r\n$4\r\nECHO\r\n$10\r\nabc"},
	{"zero bytes", "\x00\x00\x00\r\nPING\r\n"},
	{"bytes of 255", "\xff\xff\r\nPING\r\n"},
	{"a request of the web", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
	{"a form of the web", "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nPING\r\n"},
	{"a pipeline with a mistake in its middle", "PING\r\n*1\r\n$x\r\nPING\r\n"},
	{"a transaction with a mistake in its middle", "MULTI\r\nSET a b\r\nFOO\r\nEXEC\r\n"},
	{"what follows QUIT", "QUIT\r\nPING\r\n"},
	{"HELLO and a null of RESP3", "HELLO 3 FOO\r\nGET nosuchkey\r\n"},
}

// meant are the replies that Walnut means to be others than those of Redis. docs/server.md says why.
var meant = map[string]string{
	"an array of 1,048,577 elements, of which there is one": "-ERR Protocol error: invalid multibulk length\r\nand ends",
	"zero bytes": "+PONG\r\nand waits",
}

// TestBytesThatAreNoCommandsGetTheRepliesOfRedis sends bytes at once, and then in pieces. What comes back, and whether
// the connection ends, is as it is with Redis.
func TestBytesThatAreNoCommandsGetTheRepliesOfRedis(t *testing.T) {
	reference, target := judged.Reference(t), judged.Target(t, nil, nil)
	for _, c := range wires {
		for _, piece := range []int{len(c.sent), 3} {
			if len(c.sent) > 1000 && piece < len(c.sent) {
				continue
			}
			t.Run(fmt.Sprintf("%s, in pieces of %d", c.name, piece), func(t *testing.T) {
				t.Parallel()
				for _, quiet := range []time.Duration{quickly, patiently} {
					want := exchange(t, reference.Address, c.sent, piece, quiet)
					got := exchange(t, target.Address, c.sent, piece, quiet)
					if want == got || got == meant[c.name] {
						return
					}
					require.NotEqual(t, patiently, quiet, "Redis: %q\njudged: %q", want, got)
				}
			})
		}
	}
}

// How long a server may take for a reply. Where none is expected, each exchange takes that long; and where replies
// differ the exchange is made again, since a busy machine may be the reason.
const (
	quickly   = 200 * time.Millisecond
	patiently = 3 * time.Second
)

// exchange sends bytes, and returns what comes until the connection ends or is quiet.
func exchange(t *testing.T, address, sent string, piece int, quiet time.Duration) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	go func() {
		for from := 0; from < len(sent); from += piece {
			if _, err := conn.Write([]byte(sent[from:min(from+piece, len(sent))])); err != nil {
				return
			}
			if piece < len(sent) {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	var got strings.Builder
	buffer := make([]byte, 64<<10)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(quiet))
		n, err := conn.Read(buffer)
		got.Write(buffer[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return got.String() + "and waits"
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return got.String() + "and ends"
		}
		require.NoError(t, err)
	}
}
