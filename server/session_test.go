package server_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestAPipelineIsAnsweredInOrderAndIsOneCommit(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	c.send(encode("SET", "a", "1") + encode("GET", "a") + encode("PING") + encode("SET", "b", "2") + encode("GET", "missing"))
	for _, want := range []string{"OK", `"1"`, "PONG", "OK", "nil"} {
		require.Equal(t, want, c.reply())
	}
	require.EqualValues(t, 1, db.Offset())
}

func TestWhatCannotBeACommandIsRefusedAsRedisDoes(t *testing.T) {
	for _, c := range []struct{ name, send, want string }{
		{"an unknown command", encode("nope", "x", "y"), "-ERR unknown command 'nope', with args beginning with: 'x' 'y' "},
		{"an argument that is missing", encode("GET"), "-ERR wrong number of arguments for 'get' command"},
		{"a line break in a command", encode("a\r\nb"), "-ERR unknown command 'a  b', with args beginning with: "},
		{"a zero byte in a command", encode("a\x00b", "c\x00d"), "-ERR unknown command 'a', with args beginning with: 'c' "},
		{"line breaks at an error's end", encode("EXPIRE", "k", "1", "a\r\nb\n\r"), "-ERR Unsupported option a  b"},
		{"a length that is no number", "*x\r\n", "-ERR Protocol error: invalid multibulk length"},
		{"too many arguments", "*1048577\r\n", "-ERR Protocol error: invalid multibulk length"},
		{"an argument of 2 GiB", "*2\r\n$3\r\nGET\r\n$2147483648\r\n", "-ERR Protocol error: invalid bulk length"},
		{"a negative length", "*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length"},
		{"no dollar sign", "*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'"},
		{"a quote that isn't closed", "GET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request"},
		{"a line without an end", strings.Repeat("a", 65<<10), "-ERR Protocol error: too big inline request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t)
			client.send(encode("PING") + c.send)
			require.Equal(t, "PONG", client.reply())
			require.Equal(t, c.want, client.reply())
			if strings.Contains(c.want, "Protocol") {
				require.True(t, client.isClosed())
			} else {
				require.Equal(t, "PONG", client.do("PING"))
			}
		})
	}
}

func TestALineIsACommandToo(t *testing.T) {
	c := newClient(t)
	c.send("\r\nSET \"a b\\x41\" 'it\\'s'\r\n  get   \"a bA\"\n*0\r\n*-1\r\nPING\r\n")
	for _, want := range []string{"OK", `"it's"`, "PONG"} {
		require.Equal(t, want, c.reply())
	}
}

// TestSpacesOfALineAreThoseOfRedis: two of them are part of a word.
func TestSpacesOfALineAreThoseOfRedis(t *testing.T) {
	c := newClient(t)
	c.send("SET\ta\x0bb\x00 c\x0cd\r\n\x0bGET \x0c \"a\x0bb\"\x0c\r\nGET 'a\x0bb'\x0c\r\n")
	for _, want := range []string{"OK", `"c\fd"`, `"c\fd"`} {
		require.Equal(t, want, c.reply())
	}
}

func TestARequestOfTheWebEndsItsConnection(t *testing.T) {
	for _, request := range []string{
		"POST / HTTP/1.1\r\nSET a 1\r\n",
		"post / HTTP/1.1\r\nSET a 1\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nSET a 1\r\n",
		"MULTI\r\nPOST /\r\nSET a 1\r\nEXEC\r\n",
	} {
		var log strings.Builder
		opts := server.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		db := openStore(t, kv.Options{})
		srv, address := serveStore(t, db, opts)
		for range 2 {
			c := dial(t, address)
			c.send(request)
			require.True(t, c.isClosed(), "without a reply")
		}
		require.NoError(t, srv.Close()) // It logs no more.
		require.Zero(t, db.Offset(), "nothing that follows runs")
		require.Equal(t, 1, strings.Count(log.String(), "\n"), "one warning a minute")
		require.Contains(t, log.String(), "HTTP")
	}
}

func TestACommandArrivesInAnyPieces(t *testing.T) {
	c := newClient(t)
	value := strings.Repeat("walnut", 20000)
	all := encode("SET", "k", value) + encode("GET", "k")
	for len(all) > 0 {
		n := min(len(all), 1+len(all)/3)
		c.send(all[:n])
		all = all[n:]
	}
	require.Equal(t, "OK", c.reply())
	require.Equal(t, `"`+value+`"`, c.reply())
}

func TestQuitEndsTheConnectionAfterItsReply(t *testing.T) {
	c := newClient(t)
	c.send(encode("SET", "a", "1") + encode("QUIT") + encode("SET", "a", "2"))
	require.Equal(t, "OK", c.reply())
	require.Equal(t, "OK", c.reply())
	require.True(t, c.isClosed())
}
