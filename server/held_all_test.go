package server_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

const crowded = "-ERR the clients together hold too much memory"

// TestUnfinishedCommandsOfAllClientsHaveALimit has clients that stop in the middle of a large argument.
func TestUnfinishedCommandsOfAllClientsHaveALimit(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 16 << 20})
	half := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s", 79<<20, strings.Repeat("x", 1<<20))
	var all []*client
	for sent := 1; sent <= 10; sent++ {
		c := dial(t, address)
		all = append(all, c)
		_, _ = c.conn.Write([]byte(half)) // It may be closed meanwhile.
		require.Eventually(t, func() bool {
			stats := srv.Stats()
			return sent <= 8 && stats.BytesIn == uint64(sent*len(half)) || sent > 8 && stats.Clients == 8
		}, 10*time.Second, time.Millisecond, "each of eight holds 2 MiB")
	}
	small := dial(t, address)
	require.Equal(t, "OK", small.words("SET a 1"))
	for _, c := range all {
		require.NoError(t, c.conn.Close())
	}
	require.Eventually(t, func() bool { return srv.Stats().Clients == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "OK", small.do("SET", "large", strings.Repeat("x", 7<<20)), "it is free again")
	require.Equal(t, "OK", small.words("SET a 1"))
	require.Zero(t, server.CommandsHeld(srv))
}

// TestTransactionsOfAllClientsHaveALimit has clients that never send EXEC.
func TestTransactionsOfAllClientsHaveALimit(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 16 << 20})
	var last *client
	var all []*client
	for i, want := range []string{"QUEUED", "QUEUED", "QUEUED", crowded} {
		last = dial(t, address)
		all = append(all, last)
		require.Equal(t, "OK", last.words("MULTI"))
		require.Equal(t, want, last.do("SET", "k", strings.Repeat("x", 7<<19)), i)
		if want == "QUEUED" {
			require.Equal(t, "QUEUED", last.words("GET k"))
			continue
		}
		require.Equal(t, "QUEUED", last.words("GET k"))
		require.Equal(t, "-EXECABORT Transaction discarded because of previous errors.", last.words("EXEC"))
		require.Equal(t, "OK", last.words("MULTI"))
		require.Equal(t, "QUEUED", last.words("GET k"))
		require.Equal(t, "[nil]", last.words("EXEC"))
	}
	require.Equal(t, "OK", all[0].words("DISCARD"))
	require.Equal(t, "RESET", all[1].words("RESET"))
	require.NoError(t, all[2].conn.Close())
	require.Eventually(t, func() bool { return server.CommandsHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
}

// TestRepliesOfAllClientsHaveALimit has clients that don't read.
func TestRepliesOfAllClientsHaveALimit(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 64 << 20})
	reader := dial(t, address)
	require.Equal(t, "OK", reader.do("SET", "k", strings.Repeat("x", 15<<20)))
	var all []*client
	for range 10 {
		all = append(all, dial(t, address))
		all[len(all)-1].send(encode("GET", "k") + encode("GET", "k"))
	}
	require.Eventually(t, func() bool { return server.RepliesHeld(srv) > 32<<20 }, 10*time.Second, time.Millisecond)
	require.Equal(t, tooLarge, reader.do("MGET", "k", "k", "k"))
	require.Equal(t, "OK", reader.words("SET a 1"))
	require.Equal(t, `"1"`, reader.words("GET a"))
	for _, c := range all {
		require.NoError(t, c.conn.Close())
	}
	require.Eventually(t, func() bool { return server.RepliesHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
}

// TestStrangersLeaveRoomForClientsThatAreKnown has many that stop in the middle of AUTH.
func TestStrangersLeaveRoomForClientsThatAreKnown(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 1 << 20, Users: parseUsers(t, threeUsers)})
	for range 20 {
		_, _ = dial(t, address).conn.Write([]byte("*10\r\n" + strings.Repeat("$16384\r\n"+strings.Repeat("x", 16384)+"\r\n", 9))) // It may be closed.
	}
	require.Eventually(t, func() bool { return server.CommandsHeld(srv) >= 1<<17 }, 10*time.Second, time.Millisecond)
	known := dial(t, address)
	require.Equal(t, "OK", known.words("AUTH secret"))
	require.Equal(t, "OK", known.do("SET", "k", strings.Repeat("x", 300_000)))
}

// TestArgumentsOfAllClientsHaveALimit has arguments without a byte, which take memory, too.
func TestArgumentsOfAllClientsHaveALimit(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 4 << 20})
	arguments := func(n int) string { return strings.Repeat("$0\r\n\r\n", n) }
	first, second := dial(t, address), dial(t, address)
	first.send("*100000\r\n" + arguments(99_999))
	require.Eventually(t, func() bool { return server.CommandsHeld(srv) > 2<<20 }, 10*time.Second, time.Millisecond, "its bytes take 1 MiB")
	_, _ = second.conn.Write([]byte("*100000\r\n" + arguments(99_999))) // It may be closed meanwhile.
	require.Eventually(t, func() bool { return srv.Stats().Clients == 1 }, 10*time.Second, time.Millisecond)
	first.send(arguments(1))
	require.Equal(t, crowded, first.reply(), "a command that runs takes more than one that is unfinished")
	require.Eventually(t, func() bool { return server.CommandsHeld(srv) == 0 }, 10*time.Second, time.Millisecond)

	third := dial(t, address)
	for range 3 {
		third.send("*40000\r\n" + arguments(40_000))
		require.Regexp(t, "^-ERR unknown command ", third.reply())
	}
	third.send(encode("GET", "a"))
	require.Equal(t, "nil", third.reply())
	require.Zero(t, server.CommandsHeld(srv))
}

// TestWatchedKeysOfAllClientsHaveALimit has keys of 2,000 bytes, each of which counts as 2,350. After a WATCH that is refused no transaction
// runs, not even where no key is watched.
func TestWatchedKeysOfAllClientsHaveALimit(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 10_000})
	key := func(i int) string { return strings.Repeat(fmt.Sprint(i), 2000) }
	transaction := encode("MULTI") + encode("SET", "a", "1") + encode("EXEC")
	first, second := dial(t, address), dial(t, address)
	for range 2 {
		require.Equal(t, "OK", first.do("WATCH", key(1), key(2)))
		require.EqualValues(t, 2*2350, server.CommandsHeld(srv), "a key counts once")
	}
	require.Equal(t, "OK", second.do("WATCH", key(1)))
	require.Equal(t, crowded, first.do("WATCH", key(3), key(4)))
	require.Equal(t, "OK", first.do("WATCH", key(3)))
	first.send(transaction)
	require.Equal(t, []string{"OK", "QUEUED", "nil"}, first.replies(3))
	require.EqualValues(t, 2350, server.CommandsHeld(srv))

	require.Equal(t, crowded, first.do("WATCH", key(1), key(2), key(3), key(4)))
	for _, want := range []string{"nil", "[OK]"} {
		first.send(transaction)
		require.Equal(t, []string{"OK", "QUEUED", want}, first.replies(3))
	}
	require.Equal(t, "OK", second.words("UNWATCH"))
	require.Zero(t, server.CommandsHeld(srv))
	require.Equal(t, "OK", second.do("WATCH", key(1)))
	require.NoError(t, second.conn.Close())
	require.Eventually(t, func() bool { return server.CommandsHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
}

// TestAKeyThatIsWatchedTwiceCountsOnce is about a key that one WATCH names many times.
func TestAKeyThatIsWatchedTwiceCountsOnce(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 1000})
	require.Equal(t, "OK", dial(t, address).do(append([]string{"WATCH"}, slices.Repeat([]string{"k"}, 1000)...)...))
	require.EqualValues(t, 351, server.CommandsHeld(srv))
}

// heap returns how many bytes live in memory.
func heap() int64 {
	var m runtime.MemStats
	for range 2 { // What a pool has goes with the second.
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAnIdleClientKeepsNoValues is about what its commands had, or have read.
func TestAnIdleClientKeepsNoValues(t *testing.T) {
	value := strings.Repeat("x", 4<<20)
	for _, row := range []struct {
		sentence string
		keep     func(t *testing.T, c *client)
	}{
		{"WATCH has seen a value, which was deleted", func(t *testing.T, c *client) {
			require.Equal(t, "OK", c.do("SET", "k", value))
			require.Equal(t, "OK", c.words("WATCH k"))
			require.Equal(t, "1", c.words("DEL k"))
		}},
		{"an EXEC that published a message has failed", func(t *testing.T, c *client) {
			require.Equal(t, "OK", c.words("MULTI"))
			require.Equal(t, "QUEUED", c.do("PUBLISH", "c", value))
			for _, key := range []string{"a", "b", "c"} {
				require.Equal(t, "QUEUED", c.do("SETRANGE", key, "33554431", "x"))
			}
			require.Contains(t, c.words("EXEC"), "commit is too large")
		}},
		{"a write of 250 KiB is done", func(t *testing.T, c *client) {
			require.Equal(t, "OK", c.do("SET", "k", value[:250<<10]))
			require.Equal(t, "1", c.words("DEL k"))
		}},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			_, address := serveStore(t, openDisk(t, kv.Options{CheckpointFactor: -1}), server.Options{})
			row.keep(t, dial(t, address))
			before := heap()
			var all []*client
			for range 8 {
				c := dial(t, address)
				row.keep(t, c)
				all = append(all, c)
			}
			require.Less(t, heap()-before, int64(len(all)*128<<10))
			for _, c := range all {
				require.Equal(t, "PONG", c.words("PING"))
			}
		})
	}
}

// TestTopicsOfAllClientsHaveALimit has channels of 2,000 bytes, each of which counts as 2,350, and a pattern of 500, which counts as 2,700.
func TestTopicsOfAllClientsHaveALimit(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: 10_000})
	channel := func(i int) string { return strings.Repeat(fmt.Sprint(i), 2000) }
	first, second := dial(t, address), dial(t, address)
	for range 2 {
		first.send(encode("SUBSCRIBE", channel(1), channel(2), channel(1)))
		first.replies(3)
		require.EqualValues(t, 2*2350, server.CommandsHeld(srv), "a channel counts once for each client")
	}
	second.do("SUBSCRIBE", channel(1))
	second.do("PSUBSCRIBE", strings.Repeat("p", 499)+"*")
	require.EqualValues(t, 3*2350+2700, server.CommandsHeld(srv))
	require.Equal(t, crowded, first.do("SUBSCRIBE", channel(3)))
	require.Equal(t, crowded, first.do("PSUBSCRIBE", "p*"))
	require.Equal(t, `["`+channel(3)+`" 0]`, dial(t, address).do("PUBSUB", "NUMSUB", channel(3)))
	first.send(encode("UNSUBSCRIBE", channel(1), channel(1)))
	first.replies(2)
	require.EqualValues(t, 2*2350+2700, server.CommandsHeld(srv))
	require.Equal(t, `["subscribe" "`+channel(3)+`" 2]`, first.do("SUBSCRIBE", channel(3)))
	require.Equal(t, "RESET", second.words("RESET"))
	require.EqualValues(t, 2*2350, server.CommandsHeld(srv))
	require.NoError(t, first.conn.Close())
	require.Eventually(t, func() bool { return server.CommandsHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
}

// TestMessagesOfAllClientsHaveALimit has subscribers that don't read, and one that does.
func TestMessagesOfAllClientsHaveALimit(t *testing.T) {
	const limit = 16 << 20
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxHeld: limit})
	reader, writer := dial(t, address), dial(t, address)
	reader.words("SUBSCRIBE c")
	var all []*client
	for range 8 {
		all = append(all, dial(t, address))
		all[len(all)-1].words("SUBSCRIBE c")
	}
	message := strings.Repeat("x", 100_000)
	for i := 0; srv.Stats().Clients == 10; i++ {
		require.Less(t, i, 300, "each may have 32 MiB, and all together half as much")
		require.NotEqual(t, "0", writer.do("PUBLISH", "c", message))
		require.Contains(t, reader.reply(), message)
		require.LessOrEqual(t, server.RepliesHeld(srv), int64(limit))
	}
	for range 300 {
		writer.do("PUBLISH", "c", message)
		require.Contains(t, reader.reply(), message, "one that reads isn't closed")
	}
	require.LessOrEqual(t, server.RepliesHeld(srv), int64(limit))
	for _, c := range all {
		require.NoError(t, c.conn.Close())
	}
	require.Eventually(t, func() bool { return server.RepliesHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "1", writer.do("PUBLISH", "c", message))
}

// TestLargeCommitsThatClientsWatchCountAsReplies has clients that don't read a commit of 15 MiB, which counts twice.
func TestLargeCommitsThatClientsWatchCountAsReplies(t *testing.T) {
	const size = 15 << 20
	srv, address := serveStore(t, openStore(t, kv.Options{LogKept: 1 << 30}), server.Options{MaxHeld: 70 << 20})
	writer := dial(t, address)
	require.Equal(t, "OK", writer.do("SET", "k", strings.Repeat("x", size)))
	require.Equal(t, "OK", writer.words("SET k 1"))
	var all []*client
	for range 2 {
		all = append(all, dial(t, address))
		require.Equal(t, "1", all[len(all)-1].words("KV.WATCH 1"))
	}
	require.Eventually(t, func() bool { return server.RepliesHeld(srv) >= 4*size }, 10*time.Second, time.Millisecond)
	late := dial(t, address)
	require.Equal(t, "1", late.words("KV.WATCH 1"))
	require.Equal(t, `["kv.end" 1 "ERR the clients together hold too much memory for a commit of this size"]`, late.reply())
	require.Contains(t, all[0].reply(), `["kv.commit" 1 `)
	require.Contains(t, all[0].reply(), `["kv.commit" 2 `)
	require.Eventually(t, func() bool { return server.RepliesHeld(srv) < 4*size }, 10*time.Second, time.Millisecond)
	require.Equal(t, "1", late.words("KV.WATCH 1"))
	require.Contains(t, late.reply(), `["kv.commit" 1 `, "there is room again")
	require.NoError(t, all[1].conn.Close())
	require.Eventually(t, func() bool { return server.RepliesHeld(srv) == 0 }, 10*time.Second, time.Millisecond)
}
