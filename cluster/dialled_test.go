package cluster

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveEcho lets a node's program answer other nodes with what they send.
func serveEcho(node *Cluster) {
	node.ServeDialled(func(conn net.Conn) {
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	})
}

// echoes shows that a connection works.
func echoes(conn net.Conn) bool {
	_, err := conn.Write([]byte("ping"))
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 4))
	}
	return err == nil
}

func TestAProgramReachesTheProgramOfTheLeader(t *testing.T) {
	c := newTrio(t)
	leader, follower := c.leader(), c.follower()
	waitUntil(t, func() bool { return c.nodes[follower].Leader().Name == leader })
	_, err := c.nodes[follower].DialLeader(soon(t))
	require.ErrorIs(t, err, errUnserved)

	for _, node := range c.nodes {
		serveEcho(node)
	}
	_, err = c.nodes[leader].DialLeader(soon(t))
	require.ErrorIs(t, err, ErrNoLeader, "it leads")
	conn, err := c.nodes[follower].DialLeader(soon(t))
	require.NoError(t, err)
	require.True(t, echoes(conn))
	require.NoError(t, c.nodes[follower].Transfer(soon(t), ""))
	began := time.Now()
	waitUntil(t, func() bool {
		if !echoes(conn) {
			return true
		}
		if c.nodes[leader].Leads() { // It was elected again before it let go of the connection.
			_ = c.nodes[follower].Transfer(soon(t), "")
		}
		return false
	})
	require.Less(t, time.Since(began), 10*time.Second)
	waitUntil(t, func() bool {
		name := c.follower()
		conn, err := c.nodes[name].DialLeader(soon(t))
		return err == nil && echoes(conn)
	})
}

// TestALeaderThatHangsLetsGoOfItsCallers cuts the leader off: no packet says that it is gone.
func TestALeaderThatHangsLetsGoOfItsCallers(t *testing.T) {
	c := newTrio(t)
	leader, follower := c.leader(), c.follower()
	for _, node := range c.nodes {
		serveEcho(node)
	}
	waitUntil(t, func() bool { return c.nodes[follower].Leader().Name == leader })
	conn, err := c.nodes[follower].DialLeader(soon(t))
	require.NoError(t, err)
	release := c.net.hold(follower, leader)
	defer release()
	waitUntil(t, func() bool { return c.nodes[leader].Transfer(soon(t), "") == nil && !c.nodes[leader].Leads() })
	require.False(t, echoes(conn), "it doesn't hang")
}

func TestASurveyHasWhatNodesAnnounce(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.Announce = o.Node + ".example:6379" })
	for _, r := range c.nodes[c.leader()].Survey(soon(t)) {
		require.NoError(t, r.Err)
		require.Equal(t, r.Name+".example:6379", r.Status.Announced)
	}
	var older answer
	require.NoError(t, json.Unmarshal([]byte(`{"status":{"role":"leader","applied":3}}`), &older))
	require.Empty(t, older.status().Announced)
	require.EqualValues(t, 3, older.status().Applied)
}

func TestWhatCannotBeAnnouncedIsRefused(t *testing.T) {
	for _, announce := range []string{strings.Repeat("a", 256), "a b", "a\n", "ä"} {
		_, err := Options{Cluster: "c", Node: "a", Listen: "127.0.0.1:0", Insecure: true, Announce: announce}.withDefaults()
		require.ErrorContains(t, err, "option Announce")
	}
}

func TestATermIsThatOfOneLeadership(t *testing.T) {
	c := newTrio(t)
	leader := c.leader()
	term := c.nodes[leader].Term()
	require.NotZero(t, term)
	require.Zero(t, c.nodes[c.follower()].Term())
	require.NoError(t, c.nodes[leader].Transfer(soon(t), c.follower()))
	waitUntil(t, func() bool { return c.nodes[c.leader()].Term() > term && c.nodes[leader].Term() == 0 })
}
