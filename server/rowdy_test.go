package server_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

var (
	rowdySeed = flag.Uint64("rowdy.seed", 0, "seed of the rowdy clients, 0 for one at random")
	rowdyTime = flag.Duration("rowdy.time", time.Second, "how long the rowdy clients send commands")
)

// rowdyWords are what rowdy clients put in the place of a word in lower case.
var rowdyWords = map[string][]string{
	"channel": {"a", "b", "", "__keyspace@0__:k1", "__keyspace@0__:k2", "__keyevent@0__:set", "__keyevent@0__:kv.delrange", "__keyspace@0__:"},
	"pattern": {"*", "b*", "**", "a?[b", `\*`, "__key*", "", "__keyspace@0__:k?", `\__keyspace@0__:*`, "[_]_*", "a", "__keyevent@0__:*"},
	"key":     {"k1", "k2", "k3", "k4", "", "k1"},
	"number":  {"0", "1", "-1", "2", "1000000", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "nan", "inf", ""},
	"value":   {"", "v", strings.Repeat("v", 3000), strings.Repeat("v", 100_000)},
	"name":    {"a", "b", "", "a b"},
}

// rowdyCommands are their commands. Of a word with a plus there is at least one, and with a star any number; both are often named twice.
var rowdyCommands = strings.Split(`SUBSCRIBE channel+
PSUBSCRIBE pattern+
UNSUBSCRIBE channel*
PUNSUBSCRIBE pattern*
PUBLISH channel value
PUBSUB NUMSUB channel*
PUBSUB CHANNELS pattern
WATCH key+
UNWATCH
MULTI
MULTI
EXEC
EXEC
DISCARD
KV.WATCH number
KV.WATCH 1 PREFIX key
KV.UNWATCH
CLIENT REPLY ON
CLIENT REPLY OFF
CLIENT REPLY SKIP
CLIENT KILL ADDR own
CLIENT KILL ADDR own SKIPME no
CLIENT LIST
HELLO 2
HELLO 3
HELLO 3 SETNAME name
AUTH name value
RESET
QUIT
POST
PING
NOSUCH value
DEL key+
MSET key 1 key 2
SET key value
SET key value PX number
GET key
RENAME key key
COPY key key
EXPIRE key number
SETRANGE key number v
KV.DELRANGE key k9
KV.RANGE key k9
KV.AT number GET key
SCAN number COUNT number
CONFIG SET timeout 0 timeout 0
CONFIG SET timeout 100
INFO
BGSAVE`, "\n")

// rowdy is a client that sends commands at random.
type rowdy struct {
	random  *rand.Rand
	address string
	failed  *atomic.Value // The error of replies that can't be read.
}

func (r *rowdy) one(of []string) string { return of[r.random.IntN(len(of))] }

// command returns a command as bytes.
func (r *rowdy) command(own string) string {
	var args []string
	for _, word := range strings.Fields(r.one(rowdyCommands)) {
		name := strings.TrimRight(word, "+*")
		words, count := rowdyWords[name], 1
		switch {
		case word == "own":
			words = []string{own}
		case words == nil:
			words = []string{word}
		case name != word:
			count = r.random.IntN(4)
		}
		if word == name+"+" {
			count++
		}
		for range count {
			args = append(args, r.one(words))
		}
		if name != word && count > 0 && r.random.IntN(2) == 0 {
			args = append(args, args[len(args)-count])
		}
	}
	return encode(args...)
}

// live has one connection, which it may not read, and may break off in the middle of a command.
func (r *rowdy) live(over func() bool) {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		return
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer func() { _ = conn.Close() }()
	if r.random.IntN(4) > 0 {
		reading.Go(func() { r.readAll(conn) })
	}
	for range r.random.IntN(100) {
		var several strings.Builder
		for range 1 + r.random.IntN(8) {
			several.WriteString(r.command(conn.LocalAddr().String()))
		}
		_ = conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := io.WriteString(conn, several.String()); err != nil || over() {
			return
		}
	}
	switch r.random.IntN(3) {
	case 0:
		_, _ = io.WriteString(conn, "*2\r\n$100000\r\n"+strings.Repeat("x", r.random.IntN(50_000)))
	case 1:
		_, _ = io.WriteString(conn, "*1\r\nx\r\n")
	}
}

func (r *rowdy) readAll(conn net.Conn) {
	c := &client{conn: conn, from: bufio.NewReader(conn)}
	for {
		_, err := c.read()
		var ended net.Error
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &ended):
			return
		case err != nil:
			r.failed.Store(err)
			return
		}
	}
}

// beRowdy runs rowdy clients of some servers while a function runs, which is given one that reports whether it should go on. At the end it
// requires that no connection, goroutine, topic, watched key or held byte is left.
func beRowdy(t *testing.T, seed uint64, servers []*server.Server, addresses []string, meanwhile func(goOn func() bool)) {
	t.Helper()
	t.Logf("replay: go test ./server -run '%s' -rowdy.seed=%d -rowdy.time=1m", t.Name(), seed)
	var failed atomic.Value
	var stopped atomic.Bool
	var clients sync.WaitGroup
	for i := range 6 {
		r := &rowdy{rand.New(rand.NewPCG(seed, uint64(i+1))), addresses[i%len(addresses)], &failed}
		clients.Go(func() {
			for !stopped.Load() {
				r.live(stopped.Load)
			}
		})
	}
	end := time.Now().Add(*rowdyTime)
	meanwhile(func() bool { return time.Now().Before(end) && failed.Load() == nil })
	stopped.Store(true)
	clients.Wait()
	require.Nil(t, failed.Load())
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for _, srv := range servers {
			require.Zero(c, srv.Stats().Clients)
			require.Zero(c, server.CommandsHeld(srv))
			require.Zero(c, server.RepliesHeld(srv))
			require.Zero(c, server.Topics(srv))
			require.Zero(c, server.Watches(srv))
		}
		require.Empty(c, strangers())
	}, time.Minute, 50*time.Millisecond)
}

// strangers returns the goroutines of servers that take no connections.
func strangers() (stacks []string) {
	all := make([]byte, 16<<20)
	for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, "walnut/server.") && !strings.Contains(stack, "server.(*Server).Serve(") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func chooseSeed() uint64 {
	if *rowdySeed != 0 {
		return *rowdySeed
	}
	return rand.Uint64()
}

// TestRowdyClientsDisturbNoOthers has two others, of which one writes and publishes, and the other hears of all of it.
func TestRowdyClientsDisturbNoOthers(t *testing.T) {
	seed := chooseSeed()
	opts := server.Options{WriteTimeout: time.Second}
	if seed%2 == 0 {
		opts.MaxHeld = 1 << (14 + seed/2%10)
	}
	// Rowdy clients save all the time. Events of commits that a checkpoint has truncated before they were read would end the listener.
	srv, address := serveStore(t, openStore(t, kv.Options{LogKept: math.MaxInt64}), opts)
	writer, listener := dial(t, address), dial(t, address)
	listener.words("SUBSCRIBE __keyspace@0__:mine")
	listener.words("PSUBSCRIBE min?")
	beRowdy(t, seed, []*server.Server{srv}, []string{address}, func(goOn func() bool) {
		for i := 0; i == 0 || goOn(); i++ {
			for _, c := range []*client{writer, listener} {
				require.NoError(t, c.conn.SetDeadline(time.Now().Add(time.Minute)))
			}
			number := strconv.Quote(strconv.Itoa(i))
			require.Equal(t, "OK", writer.words(fmt.Sprint("SET mine ", i)))
			require.Equal(t, number, writer.words("GET mine"))
			require.Equal(t, `["message" "__keyspace@0__:mine" "set"]`, listener.reply())
			require.NotEqual(t, "0", writer.words(fmt.Sprint("PUBLISH mine ", i)))
			require.Equal(t, `["pmessage" "min?" "mine" `+number+`]`, listener.reply())
		}
		require.NoError(t, writer.conn.Close())
		require.NoError(t, listener.conn.Close())
	})
}

// TestRowdyClientsOfNodesLeaveNothing changes the leader meanwhile.
func TestRowdyClientsOfNodesLeaveNothing(t *testing.T) {
	seed := chooseSeed()
	random := rand.New(rand.NewPCG(seed, 0))
	n := newNodes(t)
	var servers []*server.Server
	var addresses []string
	for _, at := range n.all {
		servers, addresses = append(servers, at.server), append(addresses, at.address)
	}
	beRowdy(t, seed, servers, addresses, func(goOn func() bool) {
		for goOn() {
			n.lead(random.IntN(4) - 1)
			time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		}
		n.lead(0)
		c := n.client(1)
		require.Equal(t, "OK", c.words("SET mine 1"))
		require.NoError(t, c.conn.Close())
	})
}
