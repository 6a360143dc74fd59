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
