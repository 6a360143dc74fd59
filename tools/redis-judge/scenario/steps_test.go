package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// client is one connection by some library. Do returns what the library makes of a reply: nil, a string, an int64, a
// []any of these, or a refusal.
type client interface {
	Do(args ...string) any
}

// refusal is the text of an error reply.
type refusal string

// step is a command with what it must return.
type step struct {
	args []string
	want any
}

// within is a number between two.
type within struct{ low, high int64 }

// do is a step from a line without spaces in its arguments.
func do(line string, want any) step { return step{strings.Fields(line), want} }

const (
	binary = "\x00\xff\r\n'\\" // No double quote: redis-cli 7.0 makes broken JSON of it.
	wrong  = "ERR value is not an integer or out of range"
)

var steps = map[string][]step{
	"strings": {
		do("SET fruit apple", "OK"), do("GET fruit", "apple"), do("GET nosuch", nil), do("SETNX fruit pear", int64(0)),
		do("SET fruit pear XX GET", "apple"), do("SET nosuch x XX", nil), do("GETSET fruit plum", "pear"),
		do("APPEND fruit s", int64(5)), do("STRLEN fruit", int64(5)), do("GETRANGE fruit 0 -2", "plum"),
		do("SETRANGE fruit 4 ed", int64(6)), do("GETDEL fruit", "plumed"), do("EXISTS fruit", int64(0)),
		do("MSET a 1 b 2", "OK"), do("MGET a nosuch b", []any{"1", nil, "2"}), do("MSETNX b 3 c 3", int64(0)),
		do("TYPE a", "string"), do("TYPE nosuch", "none"), do("DEL a b nosuch", int64(2)),
		{[]string{"SET", "empty", ""}, "OK"},
		do("GET empty", ""), do("RENAME empty full", "OK"), do("COPY full copied", int64(1)),
		do("SET one ohmytext", "OK"), do("SET two mynewtext", "OK"),
		do("LCS one two", "mytext"), do("DBSIZE", int64(4)),
	},
	"counters": {
		do("INCR n", int64(1)), do("INCRBY n 41", int64(42)), do("DECR n", int64(41)), do("DECRBY n 50", int64(-9)),
		do("INCRBYFLOAT n 0.5", "-8.5"), do("INCRBYFLOAT n 1e2", "91.5"), do("INCR n", refusal(wrong)),
		do("SET n 9223372036854775807", "OK"), do("INCR n", refusal("ERR increment or decrement would overflow")),
		do("GET n", "9223372036854775807"),
	},
	"expiry": {
		do("SET k v PX 100000", "OK"), do("PTTL k", within{40_000, 100_000}), do("SET k w KEEPTTL", "OK"),
		do("TTL k", within{40, 100}), do("PERSIST k", int64(1)), do("TTL k", int64(-1)), do("TTL nosuch", int64(-2)),
		do("SET k v EXAT 4000000000", "OK"), do("EXPIRETIME k", int64(4000000000)),
		do("PEXPIRETIME k", int64(4000000000000)),
		do("EXPIREAT k 3999999999 GT", int64(0)), do("EXPIREAT k 3999999999 LT", int64(1)),
		do("EXPIRETIME k", int64(3999999999)),
		do("GETEX k PERSIST", "v"), do("EXPIRE k 100 XX", int64(0)),
		do("EXPIRE k -1", int64(1)), do("EXISTS k", int64(0)),
		do("SETEX k 0 v", refusal("ERR invalid expire time in 'setex' command")), do("SET soon v PX 30", "OK"),
	},
	"transactions": {
		do("MULTI", "OK"), do("SET t 1", "QUEUED"), do("INCR t", "QUEUED"), do("GET nosuch", "QUEUED"),
		do("EXEC", []any{"OK", int64(2), nil}),
		do("MULTI", "OK"), do("SET t 3", "QUEUED"), do("DISCARD", "OK"), do("GET t", "2"),
		do("MULTI", "OK"), do("SET t", refusal("ERR wrong number of arguments for 'set' command")),
		do("SET t 4", "QUEUED"),
		do("EXEC", refusal("EXECABORT Transaction discarded because of previous errors.")), do("GET t", "2"),
		do("WATCH t", "OK"), do("MULTI", "OK"), do("SET t 5", "QUEUED"), do("EXEC", []any{"OK"}),
		do("WATCH t", "OK"), do("UNWATCH", "OK"), do("EXEC", refusal("ERR EXEC without MULTI")),
	},
	"errors": {
		do("NOSUCH a b", refusal("ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ")),
		do("GET", refusal("ERR wrong number of arguments for 'get' command")),
		do("SET k v NX XX", refusal("ERR syntax error")),
		do("EXPIRE k x", refusal(wrong)), do("SELECT 1", refusal("ERR DB index is out of range")),
		do("INCRBYFLOAT k x", refusal("ERR value is not a valid float")), do("PING", "PONG"), do("ECHO hello", "hello"),
	},
	"binary keys": {
		{[]string{"SET", binary, binary + binary}, "OK"},
		{[]string{"GET", binary}, binary + binary},
		{[]string{"KEYS", "*"}, []any{binary}},
		{[]string{"STRLEN", binary}, int64(2 * len(binary))},
		{[]string{"DEL", binary, binary}, int64(1)},
	},
}

// goThrough lets a client go through the scenario. A second connection of the same kind is what gets in the way of a
// transaction.
func goThrough(t *testing.T, c, other client) {
	for name, steps := range steps {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "OK", c.Do("FLUSHALL"))
			for _, s := range steps {
				requireReply(t, s, c.Do(s.args...))
			}
		})
	}
	t.Run("a pair expires", func(t *testing.T) { expire(t, c) })
	t.Run("a watched key changes", func(t *testing.T) { watch(t, c, other) })
	t.Run("a scan of 1,000 keys", func(t *testing.T) { scan(t, c) })
	t.Run("a value of 1 MiB", func(t *testing.T) { large(t, c) })
}

func requireReply(t *testing.T, s step, got any) {
	t.Helper()
	if bounds, isRange := s.want.(within); isRange {
		require.IsType(t, int64(0), got, "%q", s.args)
		require.GreaterOrEqual(t, got, bounds.low, "%q", s.args)
		require.LessOrEqual(t, got, bounds.high, "%q", s.args)
		return
	}
	require.Equal(t, s.want, got, "%q", s.args)
}

func expire(t *testing.T, c client) {
	require.Equal(t, "OK", c.Do("SET", "soon", "v", "PX", "20"))
	require.Eventually(t, func() bool { return c.Do("GET", "soon") == nil }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, int64(-2), c.Do("PTTL", "soon"))
	require.Equal(t, int64(1), c.Do("SETNX", "soon", "w"))
	require.Equal(t, int64(-1), c.Do("PTTL", "soon"))
}

func watch(t *testing.T, c, other client) {
	require.Equal(t, "OK", c.Do("SET", "t", "1"))
	require.Equal(t, "OK", c.Do("WATCH", "t", "nosuch"))
	require.Equal(t, "1", c.Do("GET", "t"))
	require.Equal(t, "OK", other.Do("SET", "t", "2"))
	require.Equal(t, "OK", c.Do("MULTI"))
	require.Equal(t, "QUEUED", c.Do("SET", "t", "3"))
	require.Nil(t, c.Do("EXEC"))
	require.Equal(t, "2", c.Do("GET", "t"))
	require.Equal(t, "OK", c.Do("MULTI"))
	require.Equal(t, "QUEUED", c.Do("SET", "t", "3"))
	require.Equal(t, []any{"OK"}, c.Do("EXEC"), "EXEC forgets what was watched")
	require.Equal(t, "3", other.Do("GET", "t"))
}

func scan(t *testing.T, c client) {
	require.Equal(t, "OK", c.Do("FLUSHALL"))
	for from := 0; from < 1000; from += 100 {
		args := []string{"MSET"}
		for i := range 100 {
			args = append(args, fmt.Sprintf("scan:%04d", from+i), strconv.Itoa(i))
		}
		require.Equal(t, "OK", c.Do(args...))
	}
	for pattern, want := range map[string]int{"*": 1000, "scan:00*": 100, "scan:??[12]0": 20, "nosuch*": 0} {
		found, cursor := map[any]bool{}, "0"
		for first := true; first || cursor != "0"; first = false {
			reply, isList := c.Do("SCAN", cursor, "MATCH", pattern, "COUNT", "70").([]any)
			require.True(t, isList)
			require.Len(t, reply, 2)
			cursor = reply[0].(string)
			for _, key := range reply[1].([]any) {
				found[key] = true
			}
		}
		require.Len(t, found, want, pattern)
	}
	require.Equal(t, int64(1000), c.Do("DBSIZE"))
}

func large(t *testing.T, c client) {
	value := strings.Repeat("0123456789abcdef", 1<<16)
	require.Equal(t, "OK", c.Do("SET", "large", value))
	require.Equal(t, value, c.Do("GET", "large"))
	require.Equal(t, int64(len(value)+1), c.Do("APPEND", "large", "!"))
	require.Equal(t, "ef!", c.Do("GETRANGE", "large", "-3", "-1"))
}
