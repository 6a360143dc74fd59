package server_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// pipes is a listener whose connections have no buffer: a write waits until the other end has read it.
type pipes struct {
	net.Listener
	accepted chan net.Conn
}

// Accept implements net.Listener.
func (p pipes) Accept() (net.Conn, error) {
	if conn, open := <-p.accepted; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (p pipes) Close() error { return nil }

// dialPipe connects to a server over a pipe.
func dialPipe(t *testing.T, srv *server.Server) *client {
	t.Helper()
	p, ended := pipes{accepted: make(chan net.Conn, 1)}, make(chan error, 1)
	conn, there := net.Pipe()
	p.accepted <- there
	go func() { ended <- srv.Serve(context.Background(), p) }()
	t.Cleanup(func() {
		close(p.accepted)
		_ = conn.Close()
		require.Error(t, <-ended)
	})
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &client{t, conn, bufio.NewReader(conn)}
}

// requireIn waits until a goroutine is in a function of the server.
func requireIn(t *testing.T, function string) {
	t.Helper()
	require.Eventually(t, func() bool { return running(function) == 1 }, 10*time.Second, time.Millisecond)
}

// TestAMessageOvertakesNoEarlierOne has a client that reads nothing while one message is sent, one waits with the reply of an UNSUBSCRIBE,
// and another one comes.
func TestAMessageOvertakesNoEarlierOne(t *testing.T) {
	db := openStore(t, kv.Options{})
	srv, address := serveStore(t, db, server.Options{})
	publisher := dial(t, address)
	pad := strings.Repeat("x", 8<<10) // More than the client reads ahead.
	for _, row := range []struct {
		begin, kind string
		send        func(number string)
	}{
		{"SUBSCRIBE b", `["message" "b" "`, func(number string) { publisher.do("PUBLISH", "b", number+" "+pad) }},
		{"KV.WATCH 0", `["kv.commit" `, func(number string) {
			_, err := db.Put([]byte("k"), []byte(number+" "+pad))
			require.NoError(t, err)
			time.Sleep(2 * time.Millisecond) // It becomes a message.
		}},
	} {
		for range 10 {
			c := dialPipe(t, srv)
			c.speakRESP3()
			c.words(row.begin)
			row.send("0")
			requireIn(t, "(*session).write")
			row.send("1")
			c.send(encode("UNSUBSCRIBE", "other"))
			requireIn(t, "(*session).flush")
			row.send("2")
			var got []string
			for len(got) < 3 {
				if reply := c.reply(); strings.HasPrefix(reply, row.kind) {
					got = append(got, reply[strings.Index(reply, " "+pad)-1:][:1])
				}
			}
			require.Equal(t, []string{"0", "1", "2"}, got, row.begin)
			require.NoError(t, c.conn.Close())
			requireGone(t)
		}
	}
}

func TestAClientThatWantsNoRepliesGetsItsMessages(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	publisher, c := dial(t, address), dialPipe(t, srv)
	c.speakRESP3()
	require.Equal(t, `["subscribe" "b" 1]`, c.words("SUBSCRIBE b"))
	c.send(encode("CLIENT", "REPLY", "OFF"))
	pad := strings.Repeat("x", 8<<10) // More than the client reads ahead.
	require.Equal(t, "1", publisher.do("PUBLISH", "b", pad))
	requireIn(t, "(*session).write")
	require.Equal(t, "1", publisher.words("PUBLISH b pending"))
	c.send(encode("UNSUBSCRIBE", "other"))
	require.Eventually(t, func() bool { return strings.Contains(publisher.words("CLIENT LIST"), "cmd=unsubscribe") }, 10*time.Second, time.Millisecond)
	require.Equal(t, []string{`["message" "b" "` + pad + `"]`, `["message" "b" "pending"]`, `["unsubscribe" "other" 1]`}, c.replies(3))
	c.send(pipeline("PING;SUBSCRIBE c;GET a;UNSUBSCRIBE c;CLIENT REPLY ON"))
	require.Equal(t, []string{`["subscribe" "c" 2]`, `["unsubscribe" "c" 1]`, "OK"}, c.replies(3))
	c.send(pipeline("CLIENT REPLY SKIP;SUBSCRIBE c;CLIENT REPLY SKIP;PING;PING x"))
	require.Equal(t, []string{`["subscribe" "c" 2]`, `"x"`}, c.replies(2))
	c.send(encode("CLIENT", "REPLY", "OFF") + "*1\r\nPING\r\n")
	require.True(t, c.isClosed(), "an error of the protocol isn't answered either")
}

// TestWhatHasHappenedIsConfirmedHoweverMuchWaits has a client that reads nothing until messages of 7 MiB wait before the reply, and replies for
// which there is room to 4 MiB.
func TestWhatHasHappenedIsConfirmedHoweverMuchWaits(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 9 << 20, MaxReplies: 4 << 20})
	publisher := dial(t, address)
	message := strings.Repeat("x", 1<<20)
	for _, row := range []struct{ command, want string }{
		{"UNSUBSCRIBE", `["unsubscribe" "b" 0]`},
		{"UNSUBSCRIBE b c", `["unsubscribe" "b" 0]`},
		{"RESET", "RESET"},
	} {
		c := dialPipe(t, srv)
		c.speakRESP3()
		require.Equal(t, `["subscribe" "b" 1]`, c.words("SUBSCRIBE b"))
		for range 8 {
			require.Equal(t, "1", publisher.do("PUBLISH", "b", message))
		}
		c.send(encode(strings.Fields(row.command)...))
		requireIn(t, "(*session).flush")
		for range 8 {
			require.Equal(t, `["message" "b" "`+message+`"]`, c.reply())
		}
		require.Equal(t, row.want, c.reply(), row.command)
		require.NoError(t, c.conn.Close())
		requireGone(t)
		require.Eventually(t, func() bool { return server.RepliesHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
	}
}

// TestMessagesAreInTheProtocolThatTheClientSpeaks goes back to RESP2 while one message is sent, one waits and another one comes.
func TestMessagesAreInTheProtocolThatTheClientSpeaks(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	publisher, c := dial(t, address), dialPipe(t, srv)
	pad := strings.Repeat("x", 8<<10) // More than the client reads ahead.
	c.speakRESP3()
	c.words("SUBSCRIBE news")
	publisher.do("PUBLISH", "news", "0"+pad)
	requireIn(t, "(*session).write")
	publisher.do("PUBLISH", "news", "1"+pad)
	c.send(encode("HELLO", "2"))
	requireIn(t, "(*session).flush")
	publisher.do("PUBLISH", "news", "2"+pad)
	time.Sleep(2 * time.Millisecond) // The reply gets its turn.

	message := func(kind, number string) string {
		return fmt.Sprintf("%s3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%s\r\n", kind, 1+len(pad), number+pad)
	}
	c.expect(message(">", "0") + message(">", "1"))
	require.Contains(t, c.reply(), `["server" "walnut" `)
	c.expect(message("*", "2"))
}
