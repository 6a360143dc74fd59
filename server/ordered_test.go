package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// fiveFruits serves a store with pairs of one letter each.
func fiveFruits(t *testing.T) (db *kv.DB, c *client) {
	t.Helper()
	db = openStore(t, kv.Options{})
	for _, key := range strings.Fields("apple fig kiwi lime pear") {
		_, err := db.Put([]byte(key), []byte(key[:1]))
		require.NoError(t, err)
	}
	_, address := serveStore(t, db, server.Options{})
	return db, dial(t, address)
}

func TestRangesAreReadInOrder(t *testing.T) {
	_, c := fiveFruits(t)
	for _, test := range []struct{ name, command, want string }{
		{"the end is exclusive", "KV.RANGE fig lime", `["fig" "f" "kiwi" "k"]`},
		{"an empty start is open", `KV.RANGE "" g`, `["apple" "a" "fig" "f"]`},
		{"an empty end is open", `KV.RANGE lime ""`, `["lime" "l" "pear" "p"]`},
		{"a limit", `KV.RANGE "" "" LIMIT 1`, `["apple" "a"]`},
		{"the other way round", `KV.RANGE "" "" REV limit 2`, `["pear" "p" "lime" "l"]`},
		{"keys alone", "KV.RANGE a l KEYS", `["apple" "fig" "kiwi"]`},
		{"after a key", "KV.RANGE a l AFTER fig KEYS", `["kiwi"]`},
		{"after a key, the other way round", "KV.RANGE a l AFTER fig KEYS REV", `["apple"]`},
		{"nothing in it", "KV.RANGE x a", `[]`},
		{"a prefix", "KV.PREFIX l", `["lime" "l"]`},
		{"an empty prefix", `KV.PREFIX "" KEYS LIMIT 2`, `["apple" "fig"]`},
		{"an option that there isn't", "KV.RANGE a b BACK", "-ERR syntax error"},
		{"an option without its argument", "KV.PREFIX a LIMIT", "-ERR syntax error"},
		{"a limit that is no number", "KV.PREFIX a LIMIT x", "-ERR value is not an integer or out of range"},
		{"a limit of nothing", "KV.PREFIX a LIMIT 0", "-ERR LIMIT is not positive"},
		{"no end", "KV.RANGE a", "-ERR wrong number of arguments for 'kv.range' command"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.send(test.command + "\r\n")
			require.Equal(t, test.want, c.reply())
		})
	}
}

func TestInRESP3PairsAreLists(t *testing.T) {
	_, c := fiveFruits(t)
	c.speakRESP3()
	require.Equal(t, `[["fig" "f"] ["kiwi" "k"]]`, c.words("KV.RANGE fig lime"))
	require.Equal(t, `["fig" "kiwi"]`, c.words("KV.RANGE fig lime KEYS"))
}

func TestAReplyThatWouldBeTooLargeIsAnError(t *testing.T) {
	if testing.Short() {
		t.Skip("values of 22 MiB")
	}
	db, c := fiveFruits(t)
	large := []byte(strings.Repeat("x", 22<<20))
	for _, key := range []string{"x1", "x2", "x3"} {
		_, err := db.Put([]byte(key), large)
		require.NoError(t, err)
	}
	require.Equal(t, "-ERR the reply would be over 64 MiB: give a smaller LIMIT, and go on with AFTER and the last key",
		c.words("KV.PREFIX x"))
	c.send(encode("KV.PREFIX", "x", "LIMIT", "2"))
	c.expect(encode("x1", string(large), "x2", string(large)))
	require.Equal(t, `["x1" "x2" "x3"]`, c.words("KV.PREFIX x KEYS"))
}

func TestARangeIsDeletedAndCounted(t *testing.T) {
	db, c := fiveFruits(t)
	require.Equal(t, "2", c.words("KV.DELRANGE b l"))
	before := db.Offset()
	require.Equal(t, "0", c.words("KV.DELRANGE b l"))
	require.Equal(t, before, db.Offset(), "nothing to delete is no commit")
	require.Equal(t, `["apple" "lime" "pear"]`, c.do("KV.PREFIX", "", "KEYS"))
	require.Equal(t, "3", c.do("KV.DELRANGE", "", ""))
	require.Equal(t, "[]", c.do("KV.PREFIX", ""))
}

func TestADeletedRangeMarksTheWatchedKeysThatItHad(t *testing.T) {
	for _, test := range []struct{ name, watched, want string }{
		{"a key in it", "fig", "nil"},
		{"the first key in it", "b", "[OK]"},
		{"a key before it", "apple", "[OK]"},
		{"the key that it ends before", "lime", "[OK]"},
		{"a key that wasn't there", "grape", "[OK]"},
		{"one key of two", "apple kiwi", "nil"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, c := fiveFruits(t)
			_, address := serveStore(t, db, server.Options{})
			require.Equal(t, "OK", c.words("WATCH "+test.watched))
			other := dial(t, address)
			require.Equal(t, "2", other.words("KV.DELRANGE b lime"))
			require.Equal(t, "OK", c.words("MULTI"))
			require.Equal(t, "QUEUED", c.words("SET z 1"))
			require.Equal(t, test.want, c.words("EXEC"))
		})
	}
}
