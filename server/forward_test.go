package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestEveryNodeTakesEveryCommand(t *testing.T) {
	n := newNodes(t)
	for i := range n.all {
		c := n.client(i)
		key := fmt.Sprint("k", i)
		require.Equal(t, "OK", c.do("SET", key, "a\r\nb\x00"))
		for j := range n.all {
			require.Equal(t, `"a\r\nb\x00"`, n.client(j).do("GET", key))
		}
	}
	require.EqualValues(t, 0, n.all[1].commits.Load()+n.all[2].commits.Load(), "the leader commits")
	require.EqualValues(t, 0, n.all[1].asked.Load()+n.all[2].asked.Load(), "the leader reads")
}

func TestAForwardedPipelineIsOneCommitAndAnsweredInOrder(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	c.send(encode("SET", "a", "1") + encode("PING") + encode("GET", "a") + encode("nope") + encode("SET", "b") + encode("SET", "b", "2") + encode("GET", "c"))
	for _, want := range []string{
		"OK", "PONG", `"1"`, "-ERR unknown command 'nope', with args beginning with: ", "-ERR wrong number of arguments for 'set' command", "OK", "nil",
	} {
		require.Equal(t, want, c.reply())
	}
	require.EqualValues(t, 1, n.db.Offset())
}

func TestManyBytesAreForwardedBothWaysAtATime(t *testing.T) {
	n := newNodes(t)
	c := n.client(2)
	value := strings.Repeat("walnut", 200_000)
	require.Equal(t, "OK", c.do("SET", "k", value))
	require.Equal(t, `"`+value+`"`, c.do("GET", "k"))

	const commands = 50_000 // More bytes than sockets take, and so are the replies that they are queued.
	require.Equal(t, "OK", c.words("MULTI"))
	go c.send(strings.Repeat(encode("SET", "k", "v"), commands))
	for range commands {
		require.Equal(t, "QUEUED", c.reply())
	}
	require.Equal(t, "["+strings.TrimSpace(strings.Repeat("OK ", commands))+"]", c.words("EXEC"))
}

func TestATransactionIsForwardedWhole(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "QUEUED", c.words("SET a 1"))
	require.Equal(t, "QUEUED", c.words("GET a"))
	require.Equal(t, "QUEUED", c.words("PING"))
	require.EqualValues(t, 0, n.db.Offset())
	require.Equal(t, `[OK "1" PONG]`, c.words("EXEC"))
	require.EqualValues(t, 1, n.db.Offset())
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "-ERR wrong number of arguments for 'set' command", c.words("SET a"))
	require.Equal(t, "-EXECABORT Transaction discarded because of previous errors.", c.words("EXEC"))
	require.Equal(t, `"1"`, c.words("GET a"))
}

// TestExecKnowsWhatHasChangedSinceWatch is about a connection to the leader, to a follower, and to nodes that change places.
func TestExecKnowsWhatHasChangedSinceWatch(t *testing.T) {
	for _, row := range []struct {
		name    string
		at      int
		between func(n *nodes, c *client)
		want    string
	}{
		{"nothing, on the leader", 0, func(*nodes, *client) {}, "[OK]"},
		{"nothing, on a follower", 1, func(*nodes, *client) {}, "[OK]"},
		{"the key, past a follower", 1, func(n *nodes, _ *client) { n.client(0).words("SET a 1") }, "nil"},
		{"the key, through another follower", 1, func(n *nodes, _ *client) { n.client(2).words("SET a 1") }, "nil"},
		{"another key", 1, func(n *nodes, _ *client) { n.client(2).words("SET z 1") }, "[OK]"},
		{"the leader, to another", 0, func(n *nodes, _ *client) { n.lead(1) }, "nil"},
		{"the leader, from another", 1, func(n *nodes, _ *client) { n.lead(1) }, "nil"},
		{"the leader, seen from a follower", 1, func(n *nodes, _ *client) { n.lead(2) }, "nil"},
		{"the leader, and again, and back the key", 0, func(n *nodes, _ *client) { n.lead(1); n.lead(0) }, "nil"},
		{"the leader, and one more was watched since", 1, func(n *nodes, c *client) { n.lead(2); c.words("WATCH y") }, "nil"},
		{"the leader, and it was forgotten", 1, func(n *nodes, c *client) { n.lead(2); c.words("UNWATCH") }, "[OK]"},
		{"the leader, and it was forgotten by EXEC", 0, func(n *nodes, c *client) { n.lead(2); c.words("MULTI"); c.words("EXEC") }, "[OK]"},
		{"the key, and it was forgotten", 1, func(n *nodes, c *client) { n.client(0).words("SET a 1"); c.words("UNWATCH") }, "[OK]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := newNodes(t)
			c := n.client(row.at)
			require.Equal(t, "OK", c.words("WATCH a"))
			row.between(n, c)
			require.Equal(t, "OK", c.words("MULTI"))
			require.Equal(t, "QUEUED", c.words("SET b 1"))
			require.Equal(t, row.want, c.words("EXEC"))
			require.Equal(t, "OK", c.words("MULTI"))
			require.Equal(t, "QUEUED", c.words("SET b 2"))
			require.Equal(t, "[OK]", c.words("EXEC"), "nothing is watched any more")
			require.Equal(t, `"2"`, c.words("GET b"))
		})
	}
}

func TestARefusedCommitIsForwarded(t *testing.T) {
	for _, refusal := range []error{kv.ErrNotLeader, kv.ErrConflict} {
		n := newNodes(t)
		n.all[0].refusal.Store(func() error {
			n.lead(1) // While the node tries to commit.
			return refusal
		})
		c := n.client(0)
		c.send(encode("SET", "a", "1") + encode("GET", "a"))
		require.Equal(t, "OK", c.reply())
		require.Equal(t, `"1"`, c.reply())
		require.EqualValues(t, 1, n.db.Offset())
	}
}

func TestARefusedCommitOfAFollowersClientIsForwardedToTheNextLeader(t *testing.T) {
	n := newNodes(t)
	n.all[0].refusal.Store(func() error {
		n.lead(1)
		return kv.ErrNotLeader
	})
	c := n.client(2)
	c.send(encode("SET", "a", "1") + encode("GET", "a"))
	require.Equal(t, "OK", c.reply())
	require.Equal(t, `"1"`, c.reply())
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "QUEUED", c.words("SET a 2"))
	n.all[1].refusal.Store(func() error {
		n.lead(2)
		return kv.ErrNotLeader
	})
	require.Equal(t, "[OK]", c.words("EXEC"), "this node leads by now")
	require.EqualValues(t, 2, n.db.Offset())
}

func TestAnUndecidedCommitIsNotTriedAgain(t *testing.T) {
	for at := range 2 {
		n := newNodes(t)
		n.all[0].refusal.Store(func() error { return fmt.Errorf("%w: %w", kv.ErrUndecided, kv.ErrNotLeader) })
		c := n.client(at)
		c.send(encode("SET", "a", "1") + encode("GET", "b"))
		require.Regexp(t, "^-UNDECIDED ", c.reply())
		require.Equal(t, "nil", c.reply())
		require.Equal(t, "OK", c.words("MULTI"))
		require.Equal(t, "QUEUED", c.words("SET a 2"))
		require.Regexp(t, "^-UNDECIDED ", c.words("EXEC"))
		require.EqualValues(t, 2, n.all[0].commits.Load())
	}
}

// TestALeaderThatHangsIsLeft lets a leader hang until another one leads. What it may have done is undecided; what only reads is done.
func TestALeaderThatHangsIsLeft(t *testing.T) {
	n := newNodes(t)
	hang := make(chan struct{})
	defer close(hang)
	began := make(chan struct{}, 10)
	n.all[0].refusal.Store(func() error {
		began <- struct{}{}
		<-hang
		return kv.ErrUndecided
	})
	c, inTransaction := n.client(1), n.client(1)
	c.send(encode("SET", "a", "1") + encode("GET", "b") + encode("PING") + encode("SET", "b", "1"))
	inTransaction.send(encode("MULTI") + encode("SET", "a", "1") + encode("EXEC"))
	<-began
	<-began
	n.lead(2)
	const undecided = "-UNDECIDED the leader didn't answer: the command may have been executed"
	for _, want := range []string{undecided, "nil", "PONG", undecided} {
		require.Equal(t, want, c.reply())
	}
	for _, want := range []string{"OK", "QUEUED", undecided} {
		require.Equal(t, want, inTransaction.reply())
	}
	require.Equal(t, "OK", c.words("SET a 2"))
}

func TestALeaderThatDiedWhileNothingWasOnItsWayLeavesNothingUndecided(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	require.Equal(t, "OK", c.words("SET a 1"))
	require.NoError(t, n.all[0].server.Close())
	n.mu.Lock()
	n.leader = 2 // Without closing the connections to the old one.
	n.term++
	n.mu.Unlock()
	require.Equal(t, "OK", c.words("SET a 2"))
}

// TestAServerThatEndsLeavesNothingUndecided lets the leader's server end while clients of another node write.
func TestAServerThatEndsLeavesNothingUndecided(t *testing.T) {
	n := newNodes(t)
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 8 {
		c := n.client(1)
		writers.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprint("k", i)
				c.send(encode("SET", key, fmt.Sprint(j)) + encode("GET", key))
				for _, want := range []string{"OK", fmt.Sprintf("%q", fmt.Sprint(j))} {
					if got, err := c.read(); err != nil || got != want {
						t.Errorf("%v %v, want %v", got, err, want)
						return
					}
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, n.all[0].server.Shutdown(ctx))
	time.Sleep(50 * time.Millisecond)
	n.lead(2)
	time.Sleep(50 * time.Millisecond)
	close(stop)
	writers.Wait()
	require.Positive(t, n.all[2].commits.Load())
}

func TestALeaderThatServesNoForwardedCommandsLeavesNothingUndecided(t *testing.T) {
	n := newNodes(t)
	n.deaf.Store(true)
	c := n.client(1)
	require.Equal(t, "-CLUSTERDOWN n0 leads, but its server can't be reached: EOF", c.words("SET a 1"))
	c.send(encode("SET", "a", "1"))
	time.Sleep(leaderWait / 4)
	n.deaf.Store(false)
	require.Equal(t, "OK", c.reply())
}

func TestWithoutALeaderCommandsWaitAndAreRefused(t *testing.T) {
	n := newNodes(t)
	n.lead(-1)
	for at := range 2 {
		c := n.client(at)
		require.Equal(t, "PONG", c.words("PING"), "it needs no leader")
		began := time.Now()
		c.send(encode("SET", "a", "1") + encode("PING") + encode("GET", "a"))
		require.Equal(t, "-CLUSTERDOWN no leader is known", c.reply())
		require.Equal(t, "PONG", c.reply())
		require.Equal(t, "-CLUSTERDOWN no leader is known", c.reply())
		require.Less(t, time.Since(began), leaderWait+leaderWait/2, "they wait once")
		require.Equal(t, "-CLUSTERDOWN no leader is known", c.words("WATCH a"))
		require.Equal(t, "OK", c.words("MULTI"))
		require.Equal(t, "QUEUED", c.words("GET a"))
		require.Equal(t, "-CLUSTERDOWN no leader is known", c.words("EXEC"))
	}
	c := n.client(1)
	c.send(encode("SET", "a", "1"))
	time.Sleep(leaderWait / 4)
	n.lead(1)
	require.Equal(t, "OK", c.reply(), "it has waited")
}

func TestReadOnlyConnectionsReadHereAndWriteThere(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	require.Equal(t, "OK", c.words("SET a 1"))
	require.Equal(t, "OK", c.words("READONLY"))
	n.lead(-1)
	require.Equal(t, `"1"`, c.words("GET a"))
	c.words("MULTI")
	c.words("GET a")
	require.Equal(t, `["1"]`, c.words("EXEC"))
	n.lead(0)
	require.EqualValues(t, 0, n.all[1].asked.Load())
	require.Equal(t, "OK", c.words("SET a 2"))
	require.EqualValues(t, 0, n.all[1].commits.Load())
	require.Equal(t, `"2"`, c.words("GET a"))
	require.Equal(t, "OK", c.words("READWRITE"))
	n.lead(-1)
	require.Equal(t, "-CLUSTERDOWN no leader is known", c.words("GET a"))
}

// TestReadsAskWhetherTheNodeStillLeads counts: a group asks once, and one that commits something needn't.
func TestReadsAskWhetherTheNodeStillLeads(t *testing.T) {
	n := newNodes(t)
	c, asked := n.client(0), &n.all[0].asked
	for _, row := range []struct {
		send    string
		replies int
		asks    int64
	}{
		{encode("GET", "a"), 1, 1},
		{encode("GET", "a") + encode("GET", "b"), 2, 1},
		{encode("PING"), 1, 0},
		{encode("SET", "a", "1"), 1, 0},
		{encode("SET", "a", "1") + encode("GET", "a"), 2, 0},
		{encode("MULTI") + encode("GET", "a") + encode("EXEC"), 3, 1},
		{encode("MULTI") + encode("SET", "a", "1") + encode("EXEC"), 3, 0},
		{encode("MULTI") + encode("SET", "", "1") + encode("GET", "a") + encode("EXEC"), 4, 1}, // It writes nothing.
	} {
		before := asked.Load()
		c.send(row.send)
		for range row.replies {
			c.reply()
		}
		require.Equal(t, row.asks, asked.Load()-before, row.send)
	}
}

func TestOffsetsOnAnyNodeAreThoseOfWhatWasAcknowledged(t *testing.T) {
	n := newNodes(t)
	c := n.client(1)
	require.Equal(t, "OK", c.words("SET a 1"))
	require.Equal(t, "1", c.words("KV.OFFSET"))
	require.Equal(t, `"1"`, c.words("KV.AT 1 GET a"))
	require.EqualValues(t, 2, n.all[1].asked.Load(), "it has what was acknowledged elsewhere")
}

// late is a node that doesn't show the last commit yet.
type late struct{ *node }

func (l late) Offset() uint64 { return l.node.Offset() - 1 }

func TestAfterReadOnlyTheOffsetIsOfWhatTheNodeShows(t *testing.T) {
	n := newNodes(t)
	follower := late{n.all[1]}
	_, address := serveStore(t, follower, server.Options{Cluster: follower})
	c := dial(t, address)
	require.Equal(t, "OK", c.words("READONLY"))
	require.Equal(t, "OK", c.words("SET a 1"))
	require.Equal(t, "OK", c.words("SET a 2"))
	n.lead(-1)
	require.Equal(t, "1", c.words("KV.OFFSET"))
	require.Zero(t, n.all[1].asked.Load(), "it waits for no leader")
}

// TestATransactionCannotChangeAConnection is about commands that another node would run, on its connection to this one.
func TestATransactionCannotChangeAConnection(t *testing.T) {
	n := newNodes(t)
	for at := range n.all {
		for _, line := range []string{
			"HELLO 3", "AUTH default x", "CLIENT SETNAME me", "CLIENT SETINFO lib-name x", "READONLY", "READWRITE", "SUBSCRIBE ch", "PSUBSCRIBE *",
			"UNSUBSCRIBE ch", "PUNSUBSCRIBE",
		} {
			c := n.client(at)
			for _, step := range []struct{ send, want string }{
				{"MULTI", "OK"},
				{"SET a 1", "QUEUED"},
				{line, "-ERR Command not allowed inside a transaction"},
				{"EXEC", "-EXECABORT Transaction discarded because of previous errors."},
				{"SET a 2", "OK"},
				{"GET a", `"2"`},
				{"CLIENT GETNAME", "nil"},
			} {
				require.Equal(t, step.want, c.words(step.send), "%s after MULTI on node %d: %s", line, at, step.send)
			}
		}
	}
}

func TestAMessageOfATransactionThatFailedIsNotSentWithALaterOne(t *testing.T) {
	n := newNodes(t)
	listener, c := n.client(0), n.client(0)
	require.Equal(t, `["subscribe" "ch" 1]`, listener.words("SUBSCRIBE ch"))
	n.all[0].refusal.Store(func() error { return kv.ErrNoSpace })
	for _, step := range []struct{ line, want string }{
		{"MULTI", "OK"},
		{"SET a 1", "QUEUED"},
		{"PUBLISH ch failed", "QUEUED"},
		{"EXEC", "-MISCONF " + kv.ErrNoSpace.Error()},
	} {
		require.Equal(t, step.want, c.words(step.line))
	}
	n.lead(1)
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "QUEUED", c.words("SET a 1"))
	require.Equal(t, "[OK]", c.words("EXEC"))
	require.Equal(t, "1", c.words("PUBLISH ch later"))
	require.Equal(t, `["message" "ch" "later"]`, listener.reply())
}

func TestAForwardedTransactionSendsItsMessagesToTheNodeOfItsClient(t *testing.T) {
	n := newNodes(t)
	c, here, there := n.client(1), n.client(1), n.client(0)
	for _, listener := range []*client{here, there} {
		require.Equal(t, `["subscribe" "ch" 1]`, listener.words("SUBSCRIBE ch"))
	}
	for _, row := range []struct{ watched, want string }{{"changed", "nil"}, {"unchanged", "[OK 1 [" + `"2" nil` + "] 1 " + `"2"` + "]"}} {
		require.Equal(t, "OK", c.words("WATCH "+row.watched))
		require.Equal(t, "OK", n.client(0).words("SET changed 1"))
		require.Equal(t, "OK", c.words("MULTI"))
		for _, line := range []string{"SET k 2", "PUBLISH ch " + row.watched, "MGET k nothing", "PUBLISH ch again", "GET k"} {
			require.Equal(t, "QUEUED", c.words(line))
		}
		require.Equal(t, row.want, c.words("EXEC"))
	}
	require.Equal(t, []string{`["message" "ch" "unchanged"]`, `["message" "ch" "again"]`}, here.replies(2))
	require.Equal(t, "1", n.client(0).words("PUBLISH ch later"))
	require.Equal(t, `["message" "ch" "later"]`, there.reply())
}

func TestCommandsAboutTheConnectionRunOnItsNodeAlsoInATransaction(t *testing.T) {
	n := newNodes(t)
	n.client(1).words("PING") // So that the connection has another number on its node than the leader has for it.
	c := n.client(1)
	require.Equal(t, "OK", c.words("CLIENT SETNAME me"))
	offset := n.db.Offset()
	lines := []string{"CLIENT ID", "CLIENT GETNAME", "CLUSTER MYID", "CONFIG SET timeout 77", "CONFIG GET timeout", "KV.OFFSET", "PING"}
	var apart []string
	require.Equal(t, "OK", c.words("MULTI"))
	for _, line := range lines {
		require.Equal(t, "QUEUED", c.words(line))
	}
	together := c.words("EXEC")
	for _, line := range lines {
		apart = append(apart, c.words(line))
	}
	require.Equal(t, "["+strings.Join(apart, " ")+"]", together)
	require.Contains(t, together, fmt.Sprintf(`["timeout" "77"] %d PONG]`, offset))
	require.Equal(t, `["timeout" "0"]`, n.client(0).words("CONFIG GET timeout"))
}

// checked is a node for which something happens before it shows what was acknowledged.
type checked struct {
	*node
	before func()
}

// Linearizable implements server.Cluster.
func (c checked) Linearizable(ctx context.Context) error {
	c.before()
	return c.node.Linearizable(ctx)
}

// TestUnwatchWithinATransactionChangesNothing has a transaction that runs twice, since it might write and doesn't, and a write between the
// two.
func TestUnwatchWithinATransactionChangesNothing(t *testing.T) {
	n := newNodes(t)
	other, writes := n.client(0), 0
	at := checked{n.all[0], func() {
		writes++
		require.Equal(t, "OK", other.words(fmt.Sprint("SET a ", writes)))
	}}
	_, address := serveStore(t, at, server.Options{Cluster: at})
	c := dial(t, address)
	for _, step := range []struct{ line, want string }{
		{"WATCH a", "OK"},
		{"MULTI", "OK"},
		{"UNWATCH", "QUEUED"},
		{"GET a", "QUEUED"},
		{"DEL nothing", "QUEUED"},
		{"EXEC", "nil"},
	} {
		require.Equal(t, step.want, c.words(step.line))
	}
	require.Equal(t, 1, writes)
}

// TestErrorsShowTheBeginningOfALongArgument is also about what runs beside such a command, on the leader and forwarded to it: a node takes
// no longer line for a reply.
func TestErrorsShowTheBeginningOfALongArgument(t *testing.T) {
	long := strings.Repeat("o", 70_000)
	n := newNodes(t)
	for at := range 2 {
		c := n.client(at)
		for _, args := range [][]string{
			{long},
			{"GET", "a", long},
			{"CLIENT", long},
			{"EXPIRE", "k", "10", long},
			{"CLIENT", "SETINFO", long, "x"},
			{"CLIENT", "LIST", "TYPE", long},
			{"CLIENT", "KILL", "USER", long},
			{"ACL", "CAT", long},
			{"CONFIG", "SET", long, "1"},
			{"HELLO", "3", long},
			{"PUBSUB", long},
		} {
			got := c.do(args...)
			require.True(t, strings.HasPrefix(got, "-ERR ") && len(got) < 400, "%.20q: %.100s", args, got)
		}
		option := "-ERR Unsupported option " + long[:128]
		c.send(encode("SET", "a", "1") + encode("EXPIRE", "k", "10", long) + encode("SET", "b", "2"))
		require.Equal(t, []string{"OK", option, "OK"}, c.replies(3))
		c.send(encode("MULTI") + encode("SET", "a", "1") + encode("EXPIRE", "k", "10", long) + encode("EXEC"))
		require.Equal(t, []string{"OK", "QUEUED", "QUEUED", "[OK " + option + "]"}, c.replies(4))
	}
}

// breaks is a node whose first connection to the leader breaks off in the middle of commands.
type breaks struct {
	*node
	begun atomic.Bool
}

func (b *breaks) DialLeader(ctx context.Context) (net.Conn, error) {
	if b.begun.Swap(true) {
		return b.node.DialLeader(ctx)
	}
	here, there := net.Pipe()
	go func() {
		_, _ = io.WriteString(there, "+FORWARD\r\n")
		_, _ = io.ReadFull(there, make([]byte, 100))
		_ = there.Close()
	}()
	return here, nil
}

// TestAllReadsOfAGroupThatBrokeOffRunAgainAtOnce: each of them waiting for a leader would take longer than they may wait together.
func TestAllReadsOfAGroupThatBrokeOffRunAgainAtOnce(t *testing.T) {
	n := newNodes(t)
	_, address := serveStore(t, n.all[1], server.Options{Cluster: &breaks{node: n.all[1]}, LeaderWait: leaderWait})
	c := dial(t, address)
	reads := strings.Repeat(encode("GET", "k"), 100)
	c.send(reads + encode("SET", "k", "1") + encode("PING") + reads)
	for i := range 202 {
		switch got := c.reply(); i {
		case 100:
			require.Contains(t, got, "-UNDECIDED ")
		case 101:
			require.Equal(t, "PONG", got)
		default:
			require.Equal(t, "nil", got)
		}
	}
}

// tardy is a node that shows an older state.
type tardy struct {
	*node
	shown *kv.DB
}

func (l tardy) View(read func(tx *kv.Tx) error) error { return l.shown.View(read) }

// Get implements server.Store.
func (l tardy) Get(key []byte) ([]byte, error) { return l.shown.Get(key) }

// TestWhatIsReadAfterWatchIsWhatExecCompares also where the client takes stale states.
func TestWhatIsReadAfterWatchIsWhatExecCompares(t *testing.T) {
	n := newNodes(t)
	at := tardy{n.all[1], openStore(t, kv.Options{})}
	_, err := n.db.Put([]byte("k"), []byte("new"))
	require.NoError(t, err)
	_, address := serveStore(t, at, server.Options{Cluster: n.all[1], LeaderWait: leaderWait})
	c := dial(t, address)
	require.Equal(t, "OK", c.words("READONLY"))
	require.Equal(t, "nil", c.words("GET k"))
	require.Equal(t, "OK", c.words("WATCH k"))
	require.Equal(t, `"new"`, c.words("GET k"))
	require.Equal(t, "OK", c.words("UNWATCH"))
	require.Equal(t, "nil", c.words("GET k"))
}
