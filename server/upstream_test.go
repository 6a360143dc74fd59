package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

// reader is an upstream that reads a text, a byte at a time.
func reader(text string) *upstream {
	conn, other := net.Pipe()
	_ = other.Close()
	u := newUpstream(context.Background(), conn)
	u.from = bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(text)), 16)
	u.sent = 1
	return u
}

func TestARepliesBytesArriveAsTheyWereSent(t *testing.T) {
	for _, text := range []string{
		"+OK\r\n", "-ERR no\r\n", ":-1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n", "$-1\r\n", "*-1\r\n", "$0\r\n\r\n", "$3\r\na\r\n\r\n",
		"=7\r\ntxt:abc\r\n", "*0\r\n", "*2\r\n$1\r\na\r\n*2\r\n:1\r\n+x\r\n", "%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n", "+" + strings.Repeat("a", 1000) + "\r\n",
		"$100000\r\n" + strings.Repeat("b", 100000) + "\r\n",
	} {
		to := reply{buf: []byte("before"), max: 1 << 20}
		u := reader(text + "+next\r\n")
		require.NoError(t, u.reply(&to))
		require.Equal(t, "before"+text, string(to.buf))
		to.buf = nil
		require.NoError(t, u.reply(&to))
		require.Equal(t, "+next\r\n", string(to.buf))
	}
}

func TestWhatIsNoReplyBreaksTheConnection(t *testing.T) {
	for _, text := range []string{
		"", "+OK", "\r\n", "\n", "x\n", "!\r\n", "$x\r\n", "$-2\r\n", "$5\r\nabc", "*1\r\n", "*99999999999999999999\r\n", "hello\r\n", "*1\r\n\r\n",
		"$9999999999\r\nabc", "+" + strings.Repeat("a", 70000) + "\r\n",
	} {
		to := reply{buf: []byte("before"), max: 1 << 20}
		require.ErrorIs(t, reader(text).reply(&to), errBroken, "%.20q", text)
		require.Equal(t, "before", string(to.buf))
		require.Less(t, cap(to.buf), 1<<20, "memory is taken for what arrives")
	}
	u := reader("-NOTLEADER x\r\n")
	require.ErrorIs(t, u.reply(new(reply)), errNotRun)
	u = reader("")
	u.sent = 0
	require.ErrorIs(t, u.reply(new(reply)), errNotRun, "nothing was sent")
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n%1\r\n:1\r\n+x\r\n"))
	f.Add([]byte("-NOTLEADER\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		allocated.Within(t, len(text), func() { _ = reader(string(text)).reply(new(reply)) })
		u := reader("")
		u.from = bufio.NewReader(strings.NewReader(string(text)))
		to := reply{max: math.MaxInt}
		err := u.reply(&to)
		rest, _ := io.ReadAll(u.from)
		if err == nil && string(to.buf)+string(rest) != string(text) {
			t.Fatalf("%q and %q of %q", to.buf, rest, text)
		}
		if err != nil && len(to.buf) > 0 {
			t.Fatalf("%q in spite of %v", to.buf, err)
		}
	})
}

// recorder is a connection that notes what is sent.
type recorder struct {
	net.Conn
	sent bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.sent.Write(p) }

func (r *recorder) Close() error { return nil }

func TestCommandsAreForwardedInOrderAndNotCopied(t *testing.T) {
	words := func(args ...string) (all [][]byte) {
		for _, arg := range args {
			all = append(all, []byte(arg))
		}
		return all
	}
	small, many := words("SET", "a", "1"), slices.Repeat(words("x"), 2000)
	large := words("MSET", "b", strings.Repeat("v", 30_000), "c", "")
	for _, commands := range [][][][]byte{{small}, {small, small}, {large}, {small, large, small}, {many, small, large, large}, slices.Repeat([][][]byte{small}, 2000)} {
		conn := new(recorder)
		u := newUpstream(context.Background(), conn)
		for range 2 {
			var want []byte
			for _, args := range commands {
				u.add(args)
				want = encodeRequest(want, args)
			}
			conn.sent.Reset()
			u.flush()
			u.rest()
			require.True(t, string(want) == conn.sent.String(), "%.200q", conn.sent.String())
			require.Equal(t, len(want), u.sent)
		}
	}

	s := relaying(t, Options{}, strings.Repeat("+OK\r\n", 5))
	group := s.commands(5, "SET", "k", strings.Repeat("v", 8<<20))
	require.Less(t, allocated.Bytes(func() { _, _ = s.relay(context.Background(), group) }), uint64(1<<20))
	require.Equal(t, strings.Repeat("+OK\r\n", 5), string(s.out.buf))
}
