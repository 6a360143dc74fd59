package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestATransactionIsOneCommitOrNone(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "QUEUED", c.words("SET a 1"))
	require.Equal(t, "QUEUED", c.words("SET b 2"))
	require.Equal(t, "QUEUED", c.words("GET a"))
	require.Equal(t, "nil", dial(t, address).words("GET a"))
	require.Equal(t, `[OK OK "1"]`, c.words("EXEC"))
	require.EqualValues(t, 1, db.Offset())

	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "-ERR unknown command 'nope', with args beginning with: ", c.words("nope"))
	require.Equal(t, "QUEUED", c.words("SET a 2"))
	require.Equal(t, "-EXECABORT Transaction discarded because of previous errors.", c.words("EXEC"))
	require.Equal(t, `"1"`, c.words("GET a"))
}

func TestAnExecThatCannotRunEndsItsTransaction(t *testing.T) {
	const wrong = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
	play(t, []scene{
		{"in one", []step{
			{"WATCH a", "OK"},
			{"SET a 1", "OK"},
			{"MULTI", "OK"},
			{"SET a 2", "QUEUED"},
			{"EXEC x", wrong},
			{"EXEC", "-ERR EXEC without MULTI"},
			{"MULTI", "OK"},
			{"GET a", "QUEUED"},
			{"EXEC", `["1"]`},
		}},
		{"outside", []step{{"EXEC x", wrong}, {"PING", "PONG"}}},
	})
}

func TestExecIsRefusedOnceAWatchedKeyHasChanged(t *testing.T) {
	for _, c := range []struct {
		name    string
		between func(db *kv.DB, other *client)
		want    string
	}{
		{"nothing happened", func(*kv.DB, *client) {}, "[OK]"},
		{"another key changed", func(_ *kv.DB, other *client) { other.words("SET b 1") }, "[OK]"},
		{"the key changed", func(_ *kv.DB, other *client) { other.words("SET a 1") }, "nil"},
		{"the key got the value that it had", func(_ *kv.DB, other *client) { other.words("SET a 0") }, "nil"},
		{"the program changed it", func(db *kv.DB, _ *client) { _, _ = db.Put([]byte("a"), []byte("1")) }, "nil"},
		{"the program deleted it", func(db *kv.DB, _ *client) { _, _ = db.Delete([]byte("a")) }, "nil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			_, address := serveStore(t, db, server.Options{})
			watcher, other := dial(t, address), dial(t, address)
			require.Equal(t, "OK", watcher.words("SET a 0"))
			require.Equal(t, "OK", watcher.words("WATCH a b2"))
			c.between(db, other)
			require.Equal(t, "OK", watcher.words("MULTI"))
			require.Equal(t, "QUEUED", watcher.words("SET a 9"))
			require.Equal(t, c.want, watcher.words("EXEC"))
		})
	}
}

func TestFlushDoesNotChangeKeysThatAreNotThere(t *testing.T) {
	c := newClient(t)
	require.Equal(t, "OK", c.do("WATCH", "missing", "", strings.Repeat("x", kv.MaxKeySize+1)))
	c.follow(step{"FLUSHALL", "OK"}, step{"MULTI", "OK"}, step{"EXEC", "[]"})
}

func TestUnwatchForgetsWhatHasChanged(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	for _, forget := range []string{"UNWATCH", "MULTI;DISCARD", "MULTI;EXEC"} {
		c, other := dial(t, address), dial(t, address)
		require.Equal(t, "OK", c.words("WATCH a"))
		require.Equal(t, "OK", other.words("SET a 1"))
		switch forget {
		case "UNWATCH":
			require.Equal(t, "OK", c.words("UNWATCH"))
		case "MULTI;DISCARD":
			require.Equal(t, "OK", c.words("MULTI"))
			require.Equal(t, "OK", c.words("DISCARD"))
		default:
			require.Equal(t, "OK", c.words("MULTI"))
			require.Equal(t, "nil", c.words("EXEC"))
		}
		require.Equal(t, "OK", c.words("MULTI"))
		require.Equal(t, "QUEUED", c.words("SET b 1"))
		require.Equal(t, "[OK]", c.words("EXEC"))
	}
}
