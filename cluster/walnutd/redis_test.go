package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/mutual"
	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
)

// redisTrio is three nodes that serve clients.
type redisTrio struct{ *trio }

func newRedisTrio(t *testing.T) *redisTrio {
	c := &redisTrio{newTrio(t)}
	for _, name := range names {
		c.flags[name] = append(c.flags[name], "--redis", c.redis[name])
	}
	return c
}

func (c *redisTrio) dial(name string) *resp {
	c.t.Helper()
	var client *resp
	why := ""
	waitUntil(c.t, func() (dialled bool) {
		var err error
		if client, err = dialRESP(c.redis[name]); err != nil {
			why = err.Error()
		}
		return err == nil
	}, &why)
	c.t.Cleanup(client.close)
	return client
}

// requireReply shows what a command is answered.
func (c *redisTrio) requireReply(client *resp, want, line string) {
	c.t.Helper()
	got, err := client.words(line)
	require.NoError(c.t, err, line)
	require.Equal(c.t, want, got, line)
}

// requireSlots shows that each node says which one has all slots.
func (c *redisTrio) requireSlots(leader string) {
	c.t.Helper()
	want := "0 16383 " + strings.ReplaceAll(c.redis[leader], ":", " ") + " "
	for _, name := range names {
		client, got := c.dial(name), ""
		waitUntil(c.t, func() bool {
			got, _ = client.words("CLUSTER SLOTS")
			return strings.HasPrefix(got, want) && strings.Count(got, "127.0.0.1") == len(names)
		}, &got)
	}
}

func TestEachNodeServesTheWholeStore(t *testing.T) {
	c := newRedisTrio(t)
	c.startAll()
	clients := map[string]*resp{}
	for _, name := range names {
		clients[name] = c.dial(name)
		c.requireReply(clients[name], "OK", "SET k "+name)
		for _, other := range names {
			c.requireReply(c.dial(other), name, "GET k")
		}
	}
	c.requireSlots(c.leader())
	for _, name := range names {
		client := clients[name]
		got, err := client.do([]string{"WATCH", "k"}, []string{"MULTI"}, []string{"SET", "k", "by " + name}, []string{"GET", "k"}, []string{"EXEC"})
		require.NoError(t, err)
		require.Equal(t, "OK by "+name, got)
		c.requireReply(client, "OK", "WATCH k")
		c.requireReply(c.dial(c.follower()), "OK", "SET k otherwise")
		_, err = client.do([]string{"MULTI"}, []string{"SET", "k", "lost"}, []string{"EXEC"})
		require.Equal(t, errNull, err)
		c.requireReply(client, "2", "WAIT 2 10000")
		c.requireReply(client, "OK", "READONLY")
		waitUntil(t, func() bool {
			got, err = client.words("GET k")
			return err == nil && got == "otherwise"
		}, &got)
	}
	status, page := c.get("a", admin.PathMetrics)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "\nwalnut_server_connections_total{cluster=\"test\",node=\"a\"} ")
}

func TestClientsFollowATransfer(t *testing.T) {
	c := newRedisTrio(t)
	c.startAll()
	before, after := c.leader(), c.follower()
	on := map[string]*resp{before: c.dial(before), after: c.dial(after)}
	for name, client := range on {
		c.requireReply(client, "OK", "SET "+name+" 1")
		c.requireReply(client, "OK", "WATCH "+name)
	}
	_, err := c.client(before).Transfer(soon(t), after)
	require.NoError(t, err)
	for name, client := range on {
		_, err := client.do([]string{"MULTI"}, []string{"SET", name, "2"}, []string{"EXEC"})
		require.Equal(t, errNull, err, "another node led when the key was watched")
		c.requireReply(client, "1", "GET "+name)
		c.requireReply(client, "OK", "SET "+name+" 2")
	}
	c.requireSlots(after)
	role, err := on[before].words("ROLE")
	require.NoError(t, err)
	require.Regexp(t, "^slave 127.0.0.1 ", role)
}

// TestALeaderThatEndsFailsNothing lets the leader end while clients of other nodes write: its own clients alone notice.
func TestALeaderThatEndsFailsNothing(t *testing.T) {
	c := newRedisTrio(t)
	c.startAll()
	leader, client := c.leader(), c.dial(c.follower())
	c.requireReply(client, "OK", "SET k 0")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.stop(leader)
	}()
	for i := 0; ; i++ {
		c.requireReply(client, "OK", fmt.Sprint("SET k ", i))
		c.requireReply(client, fmt.Sprint(i), "GET k")
		select {
		case <-ended:
			return
		default:
		}
	}
}

func TestClientsFromOtherMachinesWantCertificates(t *testing.T) {
	c, ca := newRedisTrio(t), mutualtest.New(t)
	c.alone("a")
	_, port, err := net.SplitHostPort(c.redis["a"])
	require.NoError(t, err)
	cert, key := ca.Issue("a")
	args := slices.DeleteFunc(slices.Clone(c.flags["a"]), func(word string) bool { return word == "--insecure" })
	c.flags["a"] = append(args, "--cert", cert, "--key", key, "--ca", ca.File, "--redis", "0.0.0.0:"+port, "--redis-advertise", c.redis["a"])
	c.start("a")
	waitUntil(t, func() bool { return c.node("a") != nil && c.node("a").Leads() }, new(string))

	cert, key = ca.Issue("client")
	keys, err := mutual.Load(mutual.Files{Cert: cert, Key: key, Authority: ca.File})
	require.NoError(t, err)
	conn, err := tls.Dial("tcp", c.redis["a"], keys.Client())
	require.NoError(t, err)
	client := newRESP(conn)
	defer client.close()
	c.requireReply(client, "OK", "SET k 1")

	conn, err = tls.Dial("tcp", c.redis["a"], &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		stranger := newRESP(conn)
		_, err = stranger.words("GET k")
		stranger.close()
	}
	require.Error(t, err, "a stranger")
	_, err = c.dial("a").words("GET k")
	require.Error(t, err, "no TLS")
}

func TestARedisListenerForEverybody(t *testing.T) {
	c := newRedisTrio(t)
	c.alone("a")
	_, port, err := net.SplitHostPort(c.redis["a"])
	require.NoError(t, err)
	c.flags["a"] = append(c.flags["a"], "--redis", "0.0.0.0:"+port, "--redis-advertise", c.redis["a"], "--redis-insecure")
	c.start("a")
	c.waitReady("a")
	client, got := c.dial("a"), ""
	waitUntil(t, func() bool {
		got, _ = client.words("CLUSTER SLOTS")
		return strings.HasPrefix(got, "0 16383 127.0.0.1 "+port)
	}, &got)
}
