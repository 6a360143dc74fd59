package server

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// follower is the cluster of a node that doesn't lead.
type follower struct{ Cluster }

func (follower) Term() uint64 { return 0 }

// relaying returns a session of a node that doesn't lead, to which the leader sends these replies.
func relaying(t *testing.T, opts Options, replies string) *session {
	t.Helper()
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	opts.Cluster = follower{}
	server, err := New(db, opts)
	require.NoError(t, err)
	conn, other := net.Pipe()
	require.NoError(t, other.Close())
	s := newSession(server, 1, conn)
	s.become(everybody.stranger())
	s.up = newUpstream(server.closing, conn)
	s.up.from = bufio.NewReader(strings.NewReader(replies))
	return s
}

// commands returns requests of one name that may run.
func (s *session) commands(n int, args ...string) (all []request) {
	for range n {
		var r request
		for _, arg := range args {
			r.args = append(r.args, []byte(arg))
		}
		s.resolve(&r)
		all = append(all, r)
	}
	return all
}

func TestForwardedRepliesThatAClientDoesNotWantAreNotKept(t *testing.T) {
	const replies, size = 50, 1 << 20
	one := "$1048576\r\n" + strings.Repeat("x", size) + "\r\n"
	for _, muted := range []muted{mute, muteThis} {
		s := relaying(t, Options{}, strings.Repeat(one, replies))
		s.out.buf, s.muted = []byte("+before\r\n"), muted
		n, err := s.relay(context.Background(), s.commands(replies, "GET", "k"))
		require.NoError(t, err)
		require.Equal(t, replies, n)
		require.Equal(t, "+before\r\n", string(s.out.buf))
		require.Less(t, cap(s.out.buf), 2*size)
	}
}

// TestAForwardedReplyForWhichThereIsNoRoomIsDropped has replies of a MiB each, in one value or in many, and short ones after them. Without
// a limit for one command, what all clients hold is the limit.
func TestAForwardedReplyForWhichThereIsNoRoomIsDropped(t *testing.T) {
	const wide = "-ERR the replies are too large to be kept until they can be sent\r\n"
	const undecided = "-UNDECIDED the reply is too large to be kept until it can be sent: the command may have been executed\r\n"
	value := "$3145728\r\n" + strings.Repeat("x", 3<<20) + "\r\n"
	values := "*300000\r\n" + strings.Repeat("$4\r\nabcd\r\n", 300_000)
	for name, opts := range map[string]Options{"of one command": {MaxReplies: 2 << 20}, "of all clients": {MaxHeld: 2 << 20}} {
		t.Run(name, func(t *testing.T) {
			s := relaying(t, opts, value+"+OK\r\n"+values+"$1\r\na\r\n"+value+"+OK\r\n")
			group := append(s.commands(4, "GET", "k"), s.commands(2, "SET", "k", "v", "GET")...)
			n, err := s.relay(context.Background(), group)
			require.NoError(t, err)
			require.Equal(t, len(group), n)
			require.Equal(t, wide+"+OK\r\n"+wide+"$1\r\na\r\n"+undecided+"+OK\r\n", string(s.out.buf))
			require.Less(t, cap(s.out.buf), 5<<19)
			require.LessOrEqual(t, s.server.repliesHeld.taken.Load(), int64(5<<19))
			require.NotNil(t, s.up, "the connection to the leader is used on")
		})
	}
}

func TestATransactionWhoseForwardedReplyIsDroppedIsUndecided(t *testing.T) {
	for write, want := range map[string]string{
		"SET": "-UNDECIDED the reply is too large to be kept until it can be sent: the command may have been executed\r\n",
		"GET": "-ERR the replies are too large to be kept until they can be sent\r\n",
	} {
		s := relaying(t, Options{MaxHeld: 2 << 20}, "+OK\r\n+QUEUED\r\n*1\r\n$3145728\r\n"+strings.Repeat("x", 3<<20)+"\r\n")
		args := []string{write, "k", "v", "GET"}
		s.transact(context.Background(), s.commands(1, args[:map[string]int{"SET": 4, "GET": 2}[write]]...))
		require.Equal(t, want, string(s.out.buf))
		require.NotNil(t, s.up)
	}
}
