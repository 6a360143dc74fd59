package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

const tooLongPattern = "-ERR the pattern is longer than 512 bytes from its first *, ? or [ on"

// longPattern is what is answered with that.
var longPattern = "*" + strings.Repeat("x", 512)

func TestAPatternHas512BytesAtMostFromItsFirstSpecialOneOn(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	start := strings.Repeat(`s\*`, 20_000)
	for _, line := range []string{"KEYS", "SCAN 0 MATCH", "PSUBSCRIBE", "PUBSUB CHANNELS"} {
		c := dial(t, address)
		command := strings.Fields(line)
		for _, special := range []string{"*", "?", "["} {
			for _, end := range []string{strings.Repeat("x", 511), strings.Repeat("?", 511), strings.Repeat("[^a]", 127)} {
				require.NotContains(t, c.do(append(command, start+special+end)...), "-ERR", "%s %s%s", line, special, end)
				c.words("PUNSUBSCRIBE")
				require.Equal(t, tooLongPattern, c.do(append(command, special+end+"xxxx")...), "%s %s%s", line, special, end)
			}
		}
		require.NotContains(t, c.do(append(command, start)...), "-ERR", "nothing in it is special")
	}
}

func TestATopicIsNoLongerThanTheLongestKeyNeeds(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	const tooLong = "-ERR the channel or pattern is longer than 65551 bytes"
	c, other := dial(t, address), dial(t, address)
	key := strings.Repeat("k", kv.MaxKeySize)
	channel := "__keyspace@0__:" + key
	require.Equal(t, tooLong, c.do("SUBSCRIBE", "a", channel+"k"))
	require.Equal(t, tooLong, c.do("PSUBSCRIBE", "a*", channel+"*"))
	require.Equal(t, tooLong, other.do("PUBLISH", channel+"k", "hello"))
	require.Equal(t, `["a" 0]`, other.words("PUBSUB NUMSUB a"), "what is refused listens to nothing")
	require.Equal(t, "0", other.words("PUBSUB NUMPAT"))

	require.Contains(t, c.do("SUBSCRIBE", channel), `"subscribe"`)
	require.Equal(t, "1", other.do("PUBLISH", channel, "hello"))
	require.Contains(t, c.reply(), `"hello"`)
	require.Equal(t, "OK", other.do("SET", key, "1"))
	require.Contains(t, c.reply(), `"set"`)
}
