package server_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// commit reads the message of a commit, and returns its offset and its mutations.
func (c *client) commit() (offset int, mutations string) {
	c.t.Helper()
	message := c.reply()
	var at int64
	_, err := fmt.Sscanf(message, `["kv.commit" %d %d`, &offset, &at)
	require.NoError(c.t, err, message)
	require.WithinDuration(c.t, time.Now(), time.UnixMilli(at), time.Minute)
	_, mutations, _ = strings.Cut(message, strconv.FormatInt(at, 10)+" ")
	return offset, strings.TrimSuffix(mutations, "]")
}

func TestCommitsAreMessagesFromAnyOffsetOn(t *testing.T) {
	for _, resp3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("RESP3 is %v", resp3), func(t *testing.T) {
			db, c := fiveFruits(t)
			if resp3 {
				c.speakRESP3()
			}
			at := time.UnixMilli(time.Now().UnixMilli()).Add(time.Hour)
			var b kv.Batch
			b.Put([]byte("a"), []byte("1"))
			b.PutDeadline([]byte("b"), nil, at)
			b.Delete([]byte("c"))
			b.DeleteRange([]byte("k"), nil)
			_, err := db.Apply(&b)
			require.NoError(t, err)
			require.Equal(t, "5", c.words("KV.WATCH 5"))
			for _, want := range []string{
				`5 [["put" "pear" "p" -1]]`,
				fmt.Sprintf(`6 [["put" "a" "1" -1] ["put" "b" "" %d] ["delete" "c"] ["delete_range" "k" ""]]`, at.UnixMilli()),
			} {
				offset, mutations := c.commit()
				require.Equal(t, want, fmt.Sprint(offset, " ", mutations))
			}
			require.Equal(t, "-ERR the connection watches commits already: KV.UNWATCH ends that", c.words("KV.WATCH 1"))
			require.Equal(t, "7", c.words("KV.UNWATCH"))
			require.Equal(t, "0", c.words("KV.UNWATCH"))
			require.Equal(t, "7", c.words("KV.WATCH 0 PREFIX fi"))
			for _, key := range []string{"fa", "fig", "g"} {
				_, err := db.Put([]byte(key), nil)
				require.NoError(t, err)
			}
			offset, mutations := c.commit()
			require.Equal(t, `8 [["put" "fig" "" -1]]`, fmt.Sprint(offset, " ", mutations))
			require.Equal(t, "9", c.words("KV.UNWATCH"))
			require.Equal(t, "nil", c.words("GET nothing"))
		})
	}
}

func TestAWatchThatCannotBeIsRefused(t *testing.T) {
	c := newClient(t)
	for _, test := range []struct{ command, want string }{
		{"KV.WATCH x", "-ERR value is not an integer or out of range"},
		{"KV.WATCH -1", "-ERR value is not an integer or out of range"},
		{"KV.WATCH 1 PREFIX", "-ERR syntax error"},
		{"KV.WATCH 1 SUFFIX a", "-ERR syntax error"},
		{"MULTI", "OK"},
		{"KV.WATCH 0", "-ERR KV.WATCH inside MULTI is not allowed"},
		{"KV.UNWATCH", "-ERR KV.UNWATCH inside MULTI is not allowed"},
		{"EXEC", "[]"},
		{"KV.UNWATCH", "0"},
	} {
		require.Equal(t, test.want, c.words(test.command), test.command)
	}
}

func TestAWatchGoesOnWhereItEnded(t *testing.T) {
	db := openDisk(t, kv.Options{Sync: kv.SyncNever})
	_, address := serveStore(t, db, server.Options{})
	const clients, each = 4, 500
	var writers sync.WaitGroup
	for i := range clients {
		c := dial(t, address)
		writers.Go(func() {
			for n := range each {
				c.do("SET", strconv.Itoa(i), strconv.Itoa(n))
			}
		})
	}
	next := 1
	for round := 0; next <= clients*each; round++ {
		c := dial(t, address)
		if round%2 == 1 {
			c.speakRESP3()
		}
		require.Equal(t, strconv.Itoa(next), c.do("KV.WATCH", strconv.Itoa(next)))
		for range min(100, clients*each+1-next) {
			offset, _ := c.commit()
			require.Equal(t, next, offset)
			next++
		}
		c.send(encode("KV.UNWATCH"))
		reply := c.reply()
		for ; strings.HasPrefix(reply, "["); reply = c.reply() { // What was on its way.
			require.Contains(t, reply, fmt.Sprintf(`["kv.commit" %d `, next))
			next++
		}
		require.Equal(t, strconv.Itoa(next), reply)
		require.NoError(t, c.conn.Close())
	}
	writers.Wait()
	requireGone(t)
}

func TestAClientThatWatchesSlowlyTakesNoMemoryAndMissesNothing(t *testing.T) {
	db := openDisk(t, kv.Options{Sync: kv.SyncNever})
	_, address := serveStore(t, db, server.Options{})
	slow, quick := dial(t, address), dial(t, address)
	require.Equal(t, "1", slow.words("KV.WATCH 0"))
	require.Equal(t, "1", quick.words("KV.WATCH 0"))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const commits = 40
	value := bytes.Repeat([]byte{'x'}, 1<<20)
	before := heap()
	for i := range commits {
		_, err := db.Put([]byte("k"), value)
		require.NoError(t, err)
		require.Contains(t, quick.head(), fmt.Sprintf(":%d\r\n", i+1), "the slow client delays no other")
		quick.expect(mutationsOf(value))
	}
	require.Less(t, heap()-before, int64(20<<20))
	for i := range commits {
		require.Contains(t, slow.head(), fmt.Sprintf(":%d\r\n", i+1))
		slow.expect(mutationsOf(value))
	}
	require.Equal(t, strconv.Itoa(commits+1), slow.words("KV.UNWATCH"))
}

// head reads the start of a commit's message, up to its mutations.
func (c *client) head() (head string) {
	for range 5 {
		line, err := c.from.ReadString('\n')
		require.NoError(c.t, err)
		head += line
	}
	return head
}

// mutationsOf returns the rest of the message of a put of k.
func mutationsOf(value []byte) string {
	return "*1\r\n" + strings.Replace(encode("put", "k", string(value)), "*3", "*4", 1) + ":-1\r\n"
}

func TestAWatchThatEndsInItsPipelineIsWholeToo(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	for range 3 { // More than may be pending.
		_, err := db.Put([]byte("k"), make([]byte, 60<<10))
		require.NoError(t, err)
	}
	for range 20 {
		c := dial(t, address)
		c.speakRESP3()
		slow := strings.Repeat(encode("KV.AT", "1", "GET", "nothing"), 5)
		c.send(encode("KV.WATCH", "1") + slow + encode("KV.UNWATCH") + encode("GET", "nothing"))
		require.Equal(t, "1 nil nil nil nil nil", strings.Join(c.replies(6), " "))
		next := 1
		for reply := c.reply(); reply != strconv.Itoa(next); reply = c.reply() {
			require.Contains(t, reply, fmt.Sprintf(`["kv.commit" %d `, next))
			next++
		}
		require.Equal(t, "nil", c.reply())
		require.NoError(t, c.conn.Close())
	}
}

func TestAWatchOfWhatIsHeldNoLongerEndsWithAMessage(t *testing.T) {
	db := openStore(t, kv.Options{SegmentSize: 64 << 10})
	for range 4 {
		_, err := db.Put([]byte("k"), make([]byte, 100<<10))
		require.NoError(t, err)
		_, err = db.Checkpoint(t.Context())
		require.NoError(t, err)
	}
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	require.Equal(t, "1", c.words("KV.WATCH 1"))
	require.Contains(t, c.reply(), `["kv.end" 1 "TRUNCATED kv: watch commit 1: `)
	require.Equal(t, "nil", c.words("GET nothing"), "the connection goes on")
	require.Equal(t, "5", c.words("KV.WATCH 0"))
	requireOne(t, "(*commitWatch).run")
}

func requireOne(t *testing.T, function string) {
	t.Helper()
	require.Eventually(t, func() bool { return running(function) == 1 }, 10*time.Second, time.Millisecond)
}

func TestAWatchEndsWithTheStore(t *testing.T) {
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	_, address := serveStore(t, db, server.Options{})
	c, events := dial(t, address), dial(t, address)
	require.Equal(t, "1", c.words("KV.WATCH 0"))
	require.Equal(t, `["subscribe" "__keyevent@0__:set" 1]`, events.words("SUBSCRIBE __keyevent@0__:set"))
	require.NoError(t, db.Close())
	require.Regexp(t, `^\["kv.end" 1 "ERR kv: watch.*: kv: store is closed"\]$`, c.reply())
	require.Eventually(t, func() bool { return running("(*Server).readFeed") == 0 }, 10*time.Second, time.Millisecond)
}

func TestNothingIsLeftOfClientsThatDoNotReadTheirMessages(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(srv *server.Server, c *client) error
	}{
		{"the client goes", func(_ *server.Server, c *client) error { return c.conn.Close() }},
		{"the server is shut down", func(srv *server.Server, _ *client) error { return srv.Shutdown(context.Background()) }},
		{"the server is closed", func(srv *server.Server, _ *client) error { return srv.Close() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			srv, address := serveStore(t, db, server.Options{})
			idle, c := dial(t, address), dial(t, address)
			require.Equal(t, "1", idle.words("KV.WATCH 1 PREFIX x"))
			require.Equal(t, `["subscribe" "x" 1]`, idle.words("SUBSCRIBE x"))
			c.send(encode("KV.WATCH", "1") + encode("PSUBSCRIBE", "__key*", "x*"))
			require.Equal(t, "1", c.reply())
			for range 16 { // More than the sockets hold.
				_, err := db.Put([]byte("k"), make([]byte, 1<<20))
				require.NoError(t, err)
			}
			began := time.Now()
			require.NoError(t, end.end(srv, c))
			require.NoError(t, end.end(srv, idle))
			requireGone(t)
			require.Less(t, time.Since(began), 5*time.Second)
		})
	}
}
