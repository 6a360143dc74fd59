package server_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/server"
)

func TestAStoreAloneHasNoCluster(t *testing.T) {
	c := newClient(t)
	for _, words := range []string{"CLUSTER SLOTS", "READONLY", "READWRITE", "ASKING"} {
		require.Equal(t, "-ERR This instance has cluster support disabled", c.words(words))
	}
	require.Equal(t, `["master" 0 []]`, c.words("ROLE"))
	require.Equal(t, "0", c.words("WAIT 1 0"))
}

// readable names ports and identities by the numbers of the nodes.
func (n *nodes) readable(text string) string {
	hex := regexp.MustCompile(`[0-9a-f]{40}`)
	known := map[string]string{}
	for i, at := range n.all {
		known[n.client(i).words("CLUSTER MYID")] = fmt.Sprint("id", i)
		_, port, _ := strings.Cut(at.address, ":")
		text = strings.ReplaceAll(text, port, fmt.Sprint("port", i))
	}
	return hex.ReplaceAllStringFunc(text, func(id string) string { return known[`"`+id+`"`] })
}

func TestClientsOfAClusterSeeOneMasterWithAllSlots(t *testing.T) {
	n := newNodes(t)
	n.lead(1)
	c := n.client(2)
	require.Equal(t, `[[0 16383 ["127.0.0.1" port1 "id1" []] ["127.0.0.1" port0 "id0" []] ["127.0.0.1" port2 "id2" []]]]`,
		n.readable(c.words("CLUSTER SLOTS")))
	require.Equal(t, `"id0 127.0.0.1:port0@0 slave id1 0 0 2 connected\nid1 127.0.0.1:port1@0 master - 0 0 2 connected 0-16383\n`+
		`id2 127.0.0.1:port2@0 myself,slave id1 0 0 2 connected\n"`, n.readable(c.words("CLUSTER NODES")))
	require.Regexp(t, `^\[\["slots" \[0 16383\] "nodes" \[\["id" "id1" "port" port1 "ip" "127.0.0.1" "endpoint" "127.0.0.1" "role" "master" `+
		`"replication-offset" 0 "health" "online"\] \["id" "id0" .* "role" "replica" .*\]\]\]$`, n.readable(c.words("CLUSTER SHARDS")))
	require.Contains(t, c.words("CLUSTER INFO"), `"cluster_state:ok\r\ncluster_slots_assigned:16384\r\n`)
	require.Equal(t, `["slave" "127.0.0.1" port1 "connected" 0]`, n.readable(c.words("ROLE")))
	require.Equal(t, `["master" 0 [["127.0.0.1" "port0" "0"] ["127.0.0.1" "port2" "0"]]]`, n.readable(n.client(1).words("ROLE")))
	n.lead(-1)
	require.Equal(t, "-CLUSTERDOWN no leader is known", c.words("CLUSTER SLOTS"))
	require.Equal(t, "-CLUSTERDOWN no leader is known", c.words("CLUSTER SHARDS"))
	require.Contains(t, c.words("CLUSTER INFO"), "cluster_state:fail")
	require.Equal(t, `["slave" "" 0 "connect" 0]`, c.words("ROLE"))
}

func TestWhatIsNoCommandOfAClusterIsRefusedAsRedisDoes(t *testing.T) {
	c := newNodes(t).client(0)
	for _, row := range []struct{ words, want string }{
		{"CLUSTER FOO", "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP."},
		{"CLUSTER", "-ERR wrong number of arguments for 'cluster' command"},
		{"CLUSTER KEYSLOT", "-ERR wrong number of arguments for 'cluster|keyslot' command"},
		{"CLUSTER SLOTS x", "-ERR wrong number of arguments for 'cluster|slots' command"},
		{"WAIT 1 -1", "-ERR timeout is negative"},
		{"WAIT x 1", "-ERR value is not an integer or out of range"},
		{"WAIT 1 x", "-ERR timeout is not an integer or out of range"},
	} {
		require.Equal(t, row.want, c.words(row.words))
	}
}

func TestAKeysSlotIsThatOfRedis(t *testing.T) {
	c := newNodes(t).client(0)
	for key, slot := range map[string]string{ // As redis-server 7.0.15 says.
		"foo": "12182", "": "0", "user:1": "10778", "{user:1}.name": "10778", "a{}b": "13694", "{": "4092", "{{x}}": "11068",
	} {
		require.Equal(t, slot, c.do("CLUSTER", "KEYSLOT", key), key)
	}
}

// TestAConnectionThatAskedForTheNodesIsSentToTheNextLeader shows that only such a one is, and only where it doesn't know already.
func TestAConnectionThatAskedForTheNodesIsSentToTheNextLeader(t *testing.T) {
	n := newNodes(t)
	asked, plain := n.client(0), n.client(0)
	require.Contains(t, asked.words("CLUSTER SLOTS"), "16383")
	require.Equal(t, "OK", asked.words("SET foo 1"))
	n.lead(1)
	moved := "-MOVED 12182 " + n.all[1].address
	asked.send(encode("SET", "foo", "2") + encode("PING") + encode("GET", "foo"))
	for _, want := range []string{moved, "PONG", moved} {
		require.Equal(t, want, asked.reply())
	}
	require.Equal(t, `"1"`, plain.words("GET foo"))
	require.Contains(t, asked.words("CLUSTER NODES"), "16383")
	require.Equal(t, `"1"`, asked.words("GET foo"), "it knows")
	n.lead(0)
	require.Equal(t, `"1"`, asked.words("GET foo"), "this node leads")
}

func TestWaitCountsTheNodesThatHaveIt(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	require.Equal(t, "OK", c.words("SET a 1"))
	require.Equal(t, "1", c.words("WAIT 1 0"), "it was acknowledged")
	require.Equal(t, "1", c.words("WAIT 2 50"), "only the majority is known to have it")
	for _, at := range n.all {
		at.applied.Store(n.db.Offset())
	}
	require.Equal(t, "2", c.words("WAIT 2 0"))
	require.Equal(t, "2", c.words("WAIT 9 50"))
}

// TestAWaitOfAClientThatIsGoneEnds: it has no timeout.
func TestAWaitOfAClientThatIsGoneEnds(t *testing.T) {
	n := newNodes(t)
	c := n.client(0)
	c.send(encode("WAIT", "9", "0"))
	require.Eventually(t, func() bool { return n.all[0].server.Stats().Clients == 1 }, 10*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	require.Equal(t, 1, n.all[0].server.Stats().Clients)
	require.NoError(t, c.conn.Close())
	require.Eventually(t, func() bool { return n.all[0].server.Stats().Clients == 0 }, 10*time.Second, time.Millisecond)
}

func TestInfoSaysWhichNodeLeads(t *testing.T) {
	n := newNodes(t)
	leader, follower := n.client(0), n.client(1)
	require.Regexp(t, `role:master\\r\\nconnected_slaves:2\\r\\nslave0:ip=127.0.0.1,port=\d+,state=online,offset=0,lag=0\\r\\n`,
		leader.words("INFO replication"))
	require.Regexp(t, `role:slave\\r\\nmaster_host:127.0.0.1\\r\\nmaster_port:\d+\\r\\nmaster_link_status:up\\r\\n`,
		follower.words("INFO replication"))
	require.Contains(t, follower.words("INFO cluster"), "cluster_enabled:1")
	require.Equal(t, `["cluster-enabled" "yes"]`, follower.words("CONFIG GET cluster-enabled"))
	require.Contains(t, follower.words("HELLO"), `"mode" "cluster" "role" "replica"`)
	n.lead(-1)
	require.Regexp(t, `role:slave\\r\\nmaster_host:\\r\\nmaster_port:0\\r\\nmaster_link_status:down\\r\\n`, follower.words("INFO replication"))
	alone := newClient(t)
	require.Contains(t, alone.words("INFO"), `cluster_enabled:0`)
	require.Equal(t, `["cluster-enabled" "no"]`, alone.words("CONFIG GET cluster-enabled"))
	require.Contains(t, alone.words("HELLO"), `"mode" "standalone" "role" "master"`)
}

func TestTheProtocolAndTheUserFollowTheClient(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	for _, row := range []struct{ protocol, null string }{{"3", "_\r\n"}, {"2", "$-1\r\n"}} {
		require.Contains(t, c.do("HELLO", row.protocol), "walnut")
		c.send(encode("GET", "missing"))
		line, err := c.from.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, row.null, line)
	}
	shop, err := server.ParseUsers([]byte("user default on nopass ~* +@all\nuser shop on >s ~shop:* +@all"))
	require.NoError(t, err)
	for _, at := range n.all {
		at.server.SetUsers(shop)
	}
	c = n.client(1)
	require.Equal(t, "OK", c.words("MSET a 1 shop:b 2"))
	require.Equal(t, `["a" "shop:b"]`, c.words("KEYS *"))
	require.Equal(t, "OK", c.words("AUTH shop s"))
	require.Equal(t, `"2"`, c.words("GET shop:b"))
	require.Regexp(t, "^-NOPERM ", c.words("GET a"))
	only, err := server.ParseUsers([]byte("user default on nopass ~* +@all"))
	require.NoError(t, err)
	n.all[0].server.SetUsers(only)
	require.Regexp(t, "^-NOPERM ", c.words("GET shop:b"), "the leader doesn't know the user")
	n.all[0].server.SetUsers(parseUsers(t, "user default on >d ~shop:* +@all"))
	n.all[2].server.SetUsers(nil)
	c = n.client(2)
	require.Equal(t, `"2"`, c.words("GET shop:b"), "without users everybody is default")
	require.Regexp(t, "^-NOPERM ", c.words("GET a"), "which has its rights on the leader")
}

func TestAForwardedWriteIsUndecidedWhenItsUserChanges(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	began, released := make(chan struct{}), make(chan struct{})
	n.all[0].refusal.Store(func() error {
		close(began)
		<-released
		return nil
	})
	c.send(encode("SET", "a", "1"))
	<-began
	n.all[0].server.SetUsers(parseUsers(t, "user default on nopass ~* +@read"))
	require.Regexp(t, "^-UNDECIDED ", c.reply())
	require.Equal(t, "nil", c.words("GET a"), "the connection goes on")
	require.Regexp(t, "^-NOPERM ", c.words("SET a 2"))
	close(released)
}

func TestOptionsOfAClusterAreChecked(t *testing.T) {
	_, err := server.New(nil, server.Options{StaleBound: -time.Second})
	require.ErrorContains(t, err, "option StaleBound: -1s is negative")
	_, err = server.New(nil, server.Options{LeaderWait: -time.Second})
	require.ErrorContains(t, err, "option LeaderWait: -1s is negative")
}
