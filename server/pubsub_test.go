package server_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// running returns how many goroutines are in a function of the server.
func running(function string) int {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "server."+function+"(")
}

// requireGone waits until no goroutine that sends or reads messages is left.
func requireGone(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return running("(*session).sendMessages")+running("(*Server).readFeed")+running("(*commitWatch).run") == 0
	}, 10*time.Second, 5*time.Millisecond)
}

func TestSubscriptionsAreAnsweredAsRedisDoes(t *testing.T) {
	for _, resp3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("RESP3 is %v", resp3), func(t *testing.T) {
			c := newClient(t)
			if resp3 {
				c.speakRESP3()
			}
			for _, step := range []struct{ command, want string }{
				{"SUBSCRIBE a b", `["subscribe" "a" 1] ["subscribe" "b" 2]`},
				{"SUBSCRIBE a a", `["subscribe" "a" 2] ["subscribe" "a" 2]`},
				{"PSUBSCRIBE a*", `["psubscribe" "a*" 3]`},
				{"UNSUBSCRIBE x", `["unsubscribe" "x" 3]`},
				{"UNSUBSCRIBE a", `["unsubscribe" "a" 2]`},
				{"UNSUBSCRIBE", `["unsubscribe" "b" 1]`},
				{"UNSUBSCRIBE", `["unsubscribe" nil 1]`},
				{"PUNSUBSCRIBE", `["punsubscribe" "a*" 0]`},
				{"PUNSUBSCRIBE", `["punsubscribe" nil 0]`},
				{"GET a", "nil"},
				{"MULTI", "OK"},
				{"SUBSCRIBE a b", "QUEUED"},
				{"PING", "QUEUED"},
			} {
				c.send(encode(strings.Fields(step.command)...))
				for _, want := range strings.SplitAfter(step.want, "] ") {
					require.Equal(t, strings.TrimSpace(want), c.reply(), step.command)
				}
			}
			c.send(encode("EXEC")) // Redis answers SUBSCRIBE with a list for each channel here as well.
			pong := `["pong" ""]`
			if resp3 {
				pong = "PONG"
			}
			require.Equal(t, `[["subscribe" "a" 1] ["subscribe" "b" 2]]`, c.reply())
			require.Equal(t, pong, c.reply())
		})
	}
}

// TestATopicThatIsNamedTwiceIsLeftOnce has another client that listens to the same events.
func TestATopicThatIsNamedTwiceIsLeftOnce(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c, other, writer := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, `["subscribe" "__keyspace@0__:a" 1]`, other.words("SUBSCRIBE __keyspace@0__:a"))
	require.Equal(t, `["subscribe" "__keyspace@0__:a" 1]`, c.words("SUBSCRIBE __keyspace@0__:a"))
	c.send(encode("UNSUBSCRIBE", "__keyspace@0__:a", "__keyspace@0__:a"))
	require.Equal(t, []string{`["unsubscribe" "__keyspace@0__:a" 0]`, `["unsubscribe" "__keyspace@0__:a" 0]`}, c.replies(2))
	require.Equal(t, "OK", writer.words("SET a 1"))
	require.Equal(t, `["message" "__keyspace@0__:a" "set"]`, other.reply())

	require.Equal(t, `["psubscribe" "b*" 1]`, c.words("PSUBSCRIBE b*"))
	c.send(encode("PUNSUBSCRIBE", "b*", "b*"))
	require.Equal(t, []string{`["punsubscribe" "b*" 0]`, `["punsubscribe" "b*" 0]`}, c.replies(2))
}

func TestASubscribedRESP2ClientMayDoLittleElse(t *testing.T) {
	c := newClient(t)
	refused := "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
	require.Equal(t, `["subscribe" "a" 1]`, c.words("SUBSCRIBE a"))
	require.Equal(t, refused, c.words("GET a"))
	require.Equal(t, `["pong" ""]`, c.words("PING"))
	require.Equal(t, `["pong" "x"]`, c.words("PING x"))
	require.Equal(t, `["unsubscribe" "a" 0]`, c.words("UNSUBSCRIBE"))
	require.Equal(t, "1", c.words("KV.WATCH 0"))
	require.Equal(t, refused, c.words("GET a"))
	require.Equal(t, "1", c.words("KV.UNWATCH"))
	require.Equal(t, "nil", c.words("GET a"))
}

func TestAMessageReachesChannelsAndPatterns(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	one, other, from := dial(t, address), dial(t, address), dial(t, address)
	other.speakRESP3()
	require.Equal(t, `["subscribe" "news" 1]`, one.words("SUBSCRIBE news"))
	require.Equal(t, `["psubscribe" "n*" 2]`, one.words("PSUBSCRIBE n*"))
	require.Equal(t, `["psubscribe" "n[abe]ws" 1]`, other.words("PSUBSCRIBE n[abe]ws"))
	require.Equal(t, "3", from.words("PUBLISH news hello"))
	require.Equal(t, "0", from.words("PUBLISH other hello"))
	require.Equal(t, "1", from.words("PUBLISH nows hello"))
	require.Equal(t, `["message" "news" "hello"]`, one.reply())
	require.Equal(t, `["pmessage" "n*" "news" "hello"]`, one.reply())
	require.Equal(t, `["pmessage" "n*" "nows" "hello"]`, one.reply())
	require.Equal(t, `["pmessage" "n[abe]ws" "news" "hello"]`, other.reply())

	require.Equal(t, `["news"]`, from.words("PUBSUB CHANNELS"))
	require.Equal(t, `[]`, from.words("PUBSUB CHANNELS x*"))
	require.Equal(t, `["news" 1 "x" 0]`, from.words("PUBSUB numsub news x"))
	require.Equal(t, "2", from.words("PUBSUB NUMPAT"))
	require.Equal(t, "-ERR unknown subcommand 'foo'. Try PUBSUB HELP.", from.words("PUBSUB foo"))
	require.Equal(t, "-ERR wrong number of arguments for 'pubsub|numpat' command", from.words("PUBSUB NUMPAT x"))
	require.Equal(t, "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
		from.words("PUBSUB CHANNELS a b"))
}

func TestPatternsAreFoundByTheirStart(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func(letters string) string {
		var b strings.Builder
		for range random.IntN(5) {
			b.WriteByte(letters[random.IntN(len(letters))])
		}
		return b.String()
	}
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	patterns, channels, from := dial(t, address), dial(t, address), dial(t, address)
	listened := map[string]bool{}
	for range 300 {
		pattern := text(`aab*?[]\`)
		if random.IntN(3) > 0 {
			patterns.do("PSUBSCRIBE", pattern)
			listened[pattern] = true
		} else {
			patterns.do("PUNSUBSCRIBE", pattern)
			delete(listened, pattern)
		}
	}
	require.Equal(t, strconv.Itoa(len(listened)), from.words("PUBSUB NUMPAT"))
	for range 50 {
		channel := text("aab")
		channels.do("SUBSCRIBE", channel)
		want := 1
		for pattern := range listened {
			if from.do("PUBSUB", "CHANNELS", pattern) != "[]" {
				want++
			}
		}
		require.Equal(t, strconv.Itoa(want), from.do("PUBLISH", channel, "x"), "%q of %q", channel, listened)
		channels.reply()
		channels.do("UNSUBSCRIBE", channel)
	}
}

func TestEveryCommitHasItsEvents(t *testing.T) {
	db, keys := fiveFruits(t)
	_, address := serveStore(t, db, server.Options{})
	all, key, ranges := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, `["psubscribe" "__key*__:*" 1]`, all.words("PSUBSCRIBE __key*__:*"))
	require.Equal(t, `["subscribe" "__keyspace@0__:fig" 1]`, key.words("SUBSCRIBE __keyspace@0__:fig"))
	require.Equal(t, `["subscribe" "__keyevent@0__:kv.delrange" 1]`, ranges.words("SUBSCRIBE __keyevent@0__:kv.delrange"))
	event := func(c *client, name, key string) {
		t.Helper()
		require.Equal(t, fmt.Sprintf(`["pmessage" "__key*__:*" "__keyspace@0__:%s" "%s"]`, key, name), c.reply())
		require.Equal(t, fmt.Sprintf(`["pmessage" "__key*__:*" "__keyevent@0__:%s" "%s"]`, name, key), c.reply())
	}
	require.Equal(t, "OK", keys.words("SET fig 1"))
	event(all, "set", "fig")
	require.Equal(t, `["message" "__keyspace@0__:fig" "set"]`, key.reply())

	_, err := db.Delete([]byte("apple")) // Past the server.
	require.NoError(t, err)
	event(all, "del", "apple")

	_, err = db.PutTTL([]byte("soon"), nil, 10*time.Millisecond)
	require.NoError(t, err)
	event(all, "set", "soon")
	event(all, "del", "soon") // By the store, once it has expired.

	require.Equal(t, "1", keys.words("KV.DELRANGE b h"))
	require.Equal(t, `["message" "__keyspace@0__:fig" "kv.delrange"]`, key.reply())
	require.Equal(t, `["message" "__keyevent@0__:kv.delrange" "\"b\" \"h\""]`, ranges.reply())
	require.Equal(t, `["pmessage" "__key*__:*" "__keyevent@0__:kv.delrange" "\"b\" \"h\""]`, all.reply())
	require.Equal(t, "1", keys.do("KV.DELRANGE", "k\"\x00", "l"))
	require.Equal(t, `["message" "__keyevent@0__:kv.delrange" "\"k\\\"\\x00\" \"l\""]`, ranges.reply())
	require.Equal(t, "2", keys.do("KV.DELRANGE", "", ""))
	require.Equal(t, `["message" "__keyspace@0__:fig" "kv.delrange"]`, key.reply())
	require.Equal(t, `["message" "__keyevent@0__:kv.delrange" "\"\" \"\""]`, ranges.reply())
}

func TestASubscriberGetsWhatComesAfterItsConfirmationAndNothingElse(t *testing.T) {
	for _, resp3 := range []bool{false, true} {
		db := openDisk(t, kv.Options{Sync: kv.SyncNever})
		_, address := serveStore(t, db, server.Options{})
		var over atomic.Bool
		var others sync.WaitGroup
		for range 2 { // So that the feed has much to do.
			c := dial(t, address)
			others.Go(func() {
				for i := 0; !over.Load(); i++ {
					c.do("SET", "b", strconv.Itoa(i))
				}
			})
		}
		all := dial(t, address)
		require.Equal(t, `["psubscribe" "*" 1]`, all.words("PSUBSCRIBE *"))
		others.Go(func() {
			for {
				if _, err := all.read(); err != nil {
					return
				}
			}
		})
		c, writer := dial(t, address), dial(t, address)
		if resp3 {
			c.speakRESP3()
		}
		for end := time.Now().Add(stressTime() / 2); time.Now().Before(end); {
			require.Equal(t, "OK", writer.words("SET a before"))
			require.Equal(t, `["subscribe" "__keyspace@0__:a" 1]`, c.words("SUBSCRIBE __keyspace@0__:a"))
			writer.send(encode("SET", "a", "1") + encode("KV.OFFSET") + encode("SET", "a", "2"))
			require.Equal(t, "OK", writer.reply())
			writer.reply()
			require.Equal(t, "OK", writer.reply())
			c.send(encode("PING", "x") + encode("UNSUBSCRIBE"))
			var got []string
			for len(got) == 0 || got[len(got)-1] != `["unsubscribe" "__keyspace@0__:a" 0]` {
				got = append(got, c.reply())
			}
			events := strings.Count(strings.Join(got, " "), `["message" "__keyspace@0__:a" "set"]`)
			require.LessOrEqual(t, events, 2, "an event of before the subscription: %s", got)
			require.Len(t, got, events+2)
			require.Equal(t, "OK", writer.words("SET a after"))
			require.Equal(t, "nil", c.words("GET nothing"))
		}
		over.Store(true)
		_ = all.conn.Close()
		others.Wait()
	}
}

func TestMessagesStayBetweenTheConfirmations(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	_, err := db.Put([]byte("a"), nil)
	require.NoError(t, err)
	var over atomic.Bool
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for !over.Load() {
				_, _ = db.Put([]byte("a"), nil)
				time.Sleep(time.Microsecond)
			}
		})
	}
	c := dial(t, address)
	c.speakRESP3()
	rounds := 0
	for end := time.Now().Add(stressTime()); time.Now().Before(end); {
		if rounds%2 == 0 {
			c.send(encode("SUBSCRIBE", "__keyspace@0__:a") + encode("GET", "nothing") + encode("UNSUBSCRIBE") + encode("GET", "a"))
		} else {
			c.send(encode("SUBSCRIBE", "__keyspace@0__:a") + encode("GET", "nothing"))
		}
		require.Equal(t, `["subscribe" "__keyspace@0__:a" 1]`, c.reply())
		reply := c.reply()
		if rounds%2 == 1 {
			c.send(encode("UNSUBSCRIBE") + encode("GET", "a"))
		}
		rounds++
		for ; reply != `["unsubscribe" "__keyspace@0__:a" 0]`; reply = c.reply() {
			if reply != "nil" {
				require.Equal(t, `["message" "__keyspace@0__:a" "set"]`, reply)
			}
		}
		require.Equal(t, `""`, c.reply())
	}
	over.Store(true)
	writers.Wait()
}

func TestEventsAreInTheOrderOfTheirCommits(t *testing.T) {
	_, address := serveStore(t, openDisk(t, kv.Options{}), server.Options{})
	listener := dial(t, address)
	require.Equal(t, `["subscribe" "__keyevent@0__:set" 1]`, listener.words("SUBSCRIBE __keyevent@0__:set"))
	const clients, each = 8, 50
	var writers sync.WaitGroup
	for i := range clients {
		c := dial(t, address)
		writers.Go(func() {
			for n := range each {
				c.do("SET", fmt.Sprintf("%d:%d", i, n), "x")
			}
		})
	}
	next := make([]int, clients)
	for range clients * each {
		var i, n int
		_, err := fmt.Sscanf(listener.reply(), `["message" "__keyevent@0__:set" "%d:%d"]`, &i, &n)
		require.NoError(t, err)
		require.Equal(t, next[i], n)
		next[i]++
	}
	writers.Wait()
}

func TestASlowSubscriberIsClosedAndDelaysNoOther(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	slow, quick, from := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, `["subscribe" "c" 1]`, slow.words("SUBSCRIBE c"))
	require.Equal(t, `["subscribe" "c" 1]`, quick.words("SUBSCRIBE c"))
	message := strings.Repeat("x", 1<<20)
	sent := 0
	for reached := "2"; reached == "2"; sent++ {
		require.Less(t, sent, 100)
		reached = from.do("PUBLISH", "c", message)
		quick.expect(encode("message", "c", message))
	}
	require.Greater(t, sent, 32)
	require.Eventually(t, func() bool { return from.words("PUBSUB NUMSUB c") == `["c" 1]` }, 10*time.Second, time.Millisecond)
	got, _ := io.Copy(io.Discard, slow.from)
	require.Less(t, int(got), sent*len(message), "the connection ended before all was sent")
}

func TestOneGoroutineReadsTheFeedForAllSubscribers(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	plain := dial(t, address)
	require.Equal(t, `["subscribe" "news" 1]`, plain.words("SUBSCRIBE news"))
	require.Equal(t, `["psubscribe" "news.*" 2]`, plain.words("PSUBSCRIBE news.*"))
	require.Zero(t, running("(*Server).readFeed"), "no event can reach these")
	clients := make([]*client, 20)
	for i := range clients {
		clients[i] = dial(t, address)
		require.Equal(t, `["psubscribe" "__keyevent*" 1]`, clients[i].words("PSUBSCRIBE __keyevent*"))
	}
	require.Equal(t, 1, running("(*Server).readFeed"))
	for i, c := range clients {
		switch i % 3 {
		case 0:
			require.Equal(t, `["punsubscribe" "__keyevent*" 0]`, c.words("PUNSUBSCRIBE"))
		case 1:
			require.Equal(t, "OK", c.words("QUIT"))
		default:
			require.NoError(t, c.conn.Close())
		}
	}
	require.Eventually(t, func() bool { return running("(*Server).readFeed") == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, `["subscribe" "__keyspace@0__:a" 3]`, plain.words("SUBSCRIBE __keyspace@0__:a"))
	require.Equal(t, 1, running("(*Server).readFeed"))
	require.NoError(t, srv.Shutdown(context.Background()))
	requireGone(t)
}

// brokenFeed is a store whose feed can end.
type brokenFeed struct {
	*kv.DB
	broken chan error
}

// Watch yields an error once broken gets a value.
func (b *brokenFeed) Watch(ctx context.Context, opts kv.WatchOptions) iter.Seq2[kv.Commit, error] {
	commits := b.DB.Watch(ctx, opts)
	return func(yield func(kv.Commit, error) bool) {
		for commit, err := range commits {
			if len(b.broken) > 0 {
				yield(kv.Commit{}, <-b.broken)
				return
			}
			if !yield(commit, err) {
				return
			}
		}
	}
}

func TestASubscriberThatWouldMissEventsIsClosed(t *testing.T) {
	for _, err := range []error{kv.ErrTruncated, io.ErrUnexpectedEOF} {
		t.Run(err.Error(), func(t *testing.T) { missEvents(t, err) })
	}
}

// missEvents lets the feed end with an error.
func missEvents(t *testing.T, err error) {
	store := &brokenFeed{openStore(t, kv.Options{}), make(chan error, 1)}
	_, address := serveStore(t, store, server.Options{})
	exact, pattern, plain := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, `["subscribe" "news" 1]`, plain.words("SUBSCRIBE news"))
	require.Equal(t, `["subscribe" "__keyspace@0__:a" 1]`, exact.words("SUBSCRIBE __keyspace@0__:a"))
	require.Equal(t, `["psubscribe" "__key*" 1]`, pattern.words("PSUBSCRIBE __key*"))
	store.broken <- err
	writer := dial(t, address)
	require.Equal(t, "OK", writer.words("SET b 1"))
	require.True(t, exact.isClosed())
	require.True(t, pattern.isClosed())
	require.Equal(t, `["subscribe" "__keyspace@0__:a" 2]`, plain.words("SUBSCRIBE __keyspace@0__:a"))
	require.Equal(t, "OK", writer.words("SET a 1"))
	require.Equal(t, `["message" "__keyspace@0__:a" "set"]`, plain.reply(), "the feed is read again")
}

func TestAMessageOfATransactionIsSentOnceItIsDone(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	listener, c, other := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, `["subscribe" "c" 1]`, listener.words("SUBSCRIBE c"))
	for _, value := range []string{"refused", "done"} {
		require.Equal(t, "OK", c.words("WATCH a"))
		if value == "refused" {
			require.Equal(t, "OK", other.words("SET a 1"))
		}
		require.Equal(t, "OK", c.words("MULTI"))
		require.Equal(t, "QUEUED", c.words("SET b 1"))
		require.Equal(t, "QUEUED", c.words("PUBLISH c "+value))
		c.words("EXEC")
	}
	require.Equal(t, `["message" "c" "done"]`, listener.reply())
}

func TestMessagesAreNoPartOfALimitedReply(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxReplies: 200})
	c := dial(t, address)
	c.speakRESP3()
	message := strings.Repeat("x", 300)
	c.send(pipeline("SUBSCRIBE c;PUBLISH c " + message + ";UNSUBSCRIBE;PING"))
	require.Equal(t, []string{
		`["subscribe" "c" 1]`, "1", fmt.Sprintf(`["message" "c" "%s"]`, message),
		`["unsubscribe" "c" 0]`, "PONG",
	}, c.replies(5))
}

func TestResetEndsSubscriptions(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c, other := dial(t, address), dial(t, address)
	require.Equal(t, `["subscribe" "c" 1]`, c.words("SUBSCRIBE c"))
	require.Equal(t, `["psubscribe" "__key*" 2]`, c.words("PSUBSCRIBE __key*"))
	require.Equal(t, "1", c.words("KV.WATCH 0"))
	require.Equal(t, "RESET", c.words("RESET"))
	require.Equal(t, "OK", other.words("SET a 1"))
	require.Equal(t, "0", other.words("PUBLISH c x"))
	require.Equal(t, `"1"`, c.words("GET a"))
	require.Zero(t, running("(*Server).readFeed")+running("(*commitWatch).run"))
}
