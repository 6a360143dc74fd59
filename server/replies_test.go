package server_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestRepliesThatAreTooLargeTogetherAreMadeApart(t *testing.T) {
	db := openStore(t, kv.Options{})
	const size = 1 << 10
	_, address := serveStore(t, db, server.Options{MaxReplies: 4*size + 100})
	c := dial(t, address)
	value := strings.Repeat("x", size)
	require.Equal(t, "OK", c.do("SET", "a", value))

	c.send(encode("SET", "b", "1") + strings.Repeat(encode("GET", "a"), 20) + encode("SET", "c", "1"))
	require.Equal(t, "OK", c.reply())
	for range 20 {
		require.Equal(t, `"`+value+`"`, c.reply())
	}
	require.Equal(t, "OK", c.reply())

	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "QUEUED", c.words("SET b 2"))
	for range 5 {
		require.Equal(t, "QUEUED", c.words("GET a"))
	}
	require.Equal(t, tooLarge, c.words("EXEC"))
	require.Equal(t, `"1"`, c.words("GET b"), "nothing was changed")

	c.send(strings.Repeat(encode("GET", "a"), 20))
	for range 20 {
		c.reply()
	}
	require.Equal(t, "PONG", c.words("PING"))
}

func TestAPipelineOfLargeValuesIsSentInParts(t *testing.T) {
	const size = 1 << 20
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxReplies: 3 * size})
	c := dial(t, address)
	value := strings.Repeat("x", size)
	require.Equal(t, "OK", c.do("SET", "a", value))
	c.send(strings.Repeat(encode("GET", "a"), 20))
	for range 20 {
		require.Equal(t, `"`+value+`"`, c.reply())
	}
	require.Equal(t, "OK", c.words("MULTI"))
	for range 3 {
		require.Equal(t, "QUEUED", c.words("GET a"))
	}
	require.Equal(t, tooLarge, c.words("EXEC"))
}

func TestAClientThatDoesNotReadIsClosedAndHoldsUpNoOther(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{WriteTimeout: 200 * time.Millisecond})
	silent, other := dial(t, address), dial(t, address)
	require.Equal(t, "OK", other.do("SET", "a", strings.Repeat("x", 1<<20)))
	silent.send(strings.Repeat(encode("GET", "a"), 64))
	require.Equal(t, "PONG", other.words("PING"))
	require.Eventually(t, func() bool { return srv.Stats().Clients == 1 }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, "PONG", other.words("PING"))
}

// TestWhatHasHappenedIsConfirmedThoughRepliesAreFull has replies that end two bytes before what every client may have, and no room for more.
func TestWhatHasHappenedIsConfirmedThoughRepliesAreFull(t *testing.T) {
	const size = 1<<20 - 2 - len("$1048564\r\n\r\n")
	db := openStore(t, kv.Options{})
	_, err := db.Put([]byte("k"), []byte(strings.Repeat("x", size)))
	require.NoError(t, err)
	_, address := serveStore(t, db, server.Options{MaxHeld: 1 << 20})
	for _, row := range []struct{ command, want string }{
		{"CLIENT SETNAME x", "OK"},
		{"RESET", "RESET"},
		{"UNSUBSCRIBE c", `["unsubscribe" "c" 0]`},
		{"QUIT", "OK"},
	} {
		c := dial(t, address)
		c.send(encode("GET", "k") + encode(strings.Fields(row.command)...))
		require.Len(t, c.reply(), size+2)
		require.Equal(t, row.want, c.reply(), row.command)
	}
}

const tooLarge = "-ERR the replies are too large to be kept until they can be sent"

func TestAReplyThatIsTooLargeHarmsNoOtherCommand(t *testing.T) {
	for _, row := range []struct{ name, line string }{
		{"a command between groups", "CLIENT LIST"},
		{"one of a past state", "KV.AT 1 GET large"},
		{"one that needs no transaction", "COMMAND"},
		{"one that reads", "GET large"},
		{"one that takes long", "KV.PREFIX l"},
		{"one that reads and writes", "SET large x GET"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxReplies: 300})
			require.Equal(t, "OK", dial(t, address).do("SET", "large", strings.Repeat("x", 400)))
			for range 4 {
				require.Equal(t, "PONG", dial(t, address).words("PING"))
			}
			c := dial(t, address)
			words := encode(strings.Fields(row.line)...)
			c.send(encode("GET", "a") + encode("SET", "a", "1") + words + encode("PING") + encode("GET", "a") + encode("SET", "a", "2") + words +
				encode("SET", "a", "3") + encode("MULTI") + encode("PING") + encode("EXEC") + encode("PING"))
			for _, want := range []string{"nil", "OK", tooLarge, "PONG", `"1"`, "OK", tooLarge, "OK", "OK", "QUEUED", "[PONG]", "PONG"} {
				require.Equal(t, want, c.reply())
			}
			require.Equal(t, "400", c.words("STRLEN large"), "nothing was changed")
		})
	}
}

func TestTheLimitOfRepliesCountsWhateverIsInThem(t *testing.T) {
	for _, row := range []struct {
		name, line string
		count      int
	}{
		{"statuses", "CLIENT HELP", 20},
		{"integers", "BITFIELD k GET u8 0 GET u8 0 GET u8 0 GET u8 0", 500},
		{"errors", "INCR text", 300},
		{"texts for people", "INFO", 10},
		{"nulls", "MGET 1 2 3 4 5 6 7 8 9", 500},
	} {
		for _, hello := range []string{"HELLO 2", "HELLO 3"} {
			t.Run(row.name+" after "+hello, func(t *testing.T) {
				_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxReplies: 10_000})
				c := dial(t, address)
				c.words(hello)
				require.Equal(t, "OK", c.words("SET text x"))
				require.Equal(t, "OK", c.words("MULTI"))
				require.Equal(t, "QUEUED", c.words("SET text y"))
				for range row.count {
					require.Equal(t, "QUEUED", c.words(row.line))
				}
				require.Equal(t, tooLarge, c.words("EXEC"))
				require.Equal(t, `"x"`, c.words("GET text"), "nothing was changed")
			})
		}
	}
}

func TestWhatIsAnsweredWithTooLargeRepliesHasChangedNoSubscription(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxReplies: 1 << 20})
	c, other := dial(t, address), dial(t, address)
	name := strings.Repeat("n", 60_000)
	long := []string{"SUBSCRIBE"}
	for i := range 20 {
		long = append(long, name+strconv.Itoa(i))
	}
	require.Equal(t, tooLarge, c.do(long...))
	require.Equal(t, "nil", c.words("GET a"), "it isn't subscribed")
	require.Equal(t, "[]", other.words("PUBSUB CHANNELS"))

	for _, one := range long[1:] {
		require.Contains(t, c.do("SUBSCRIBE", one), `"subscribe"`)
	}
	require.Equal(t, tooLarge, c.words("UNSUBSCRIBE"))
	require.Equal(t, "1", other.do("PUBLISH", long[1], "hello"))
	require.Contains(t, c.reply(), `"hello"`)
	require.Equal(t, "RESET", c.words("RESET"))
}
