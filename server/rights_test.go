package server_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

const (
	twoPrefixes = "user default on nopass ~* +@all\nuser app on >a ~app:* ~tmp:* +@all\n"
	otherKey    = noPermission + "access one of the keys used as arguments"
)

// TestTwoPrefixesDoNotOpenWhatLiesBetweenThem has a pair between the two, and one after the last.
func TestTwoPrefixesDoNotOpenWhatLiesBetweenThem(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{Users: parseUsers(t, twoPrefixes)})
	dialogue{{"MSET app:1 x secret: y tmp:1 z u v", "OK"}}.hold(t, dial(t, address))
	app := dial(t, address)
	dialogue{
		{"AUTH app a", "OK"},
		{"KV.RANGE app: tmp:z", otherKey},
		{"KV.DELRANGE app: tmp:z", otherKey},
		{"KV.AT 1 RANGE app: tmp:z", otherKey},
		{"KV.RANGE app: app;", `["app:1" "x"]`},
		{"KV.RANGE app: app;a", otherKey},
		{"KV.AT 1 RANGE tmp: tmp;", `["tmp:1" "z"]`},
		{"KV.AT 1 RANGE tmp: tmp; AFTER a", `["tmp:1" "z"]`},
		{"KV.AT 1 range tmp: tmp;a", otherKey},
		{"KV.AT 1 GET tmp:1", `"z"`},
		{"KV.AT 1 GET secret:", otherKey},
		{"KV.AT 1 PREFIX tmp:", `["tmp:1" "z"]`},
		{"KV.AT 1 PREFIX tmp", otherKey},
		{"KV.AT 1 NOPE tmp: x", "-ERR syntax error"},
		{"KV.PREFIX app: AFTER app:z REV", `["app:1" "x"]`},
		{"KV.PREFIX app", otherKey},
		{"KV.DELRANGE tmp: tmp;", "1"},
	}.hold(t, app)
	for _, command := range [][]string{
		{"KV.RANGE", "tmp:", ""}, {"KV.RANGE", "", "tmp;"}, {"KV.DELRANGE", "tmp:", ""}, {"KV.AT", "1", "RANGE", "tmp:", ""}, {"KV.PREFIX", ""},
	} {
		require.Equal(t, otherKey, app.do(command...), "an open end is past all prefixes")
	}
	require.EqualValues(t, 3, db.Stats().Keys)
}

// TestNoCommandShowsOrChangesKeysBeyondAUsers sends every command that there is with arguments at random. Neither the name nor the value of
// the hidden pair is among them, so that it is in no reply unless a command has shown it.
func TestNoCommandShowsOrChangesKeysBeyondAUsers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{Users: parseUsers(t, twoPrefixes)})
	_, err := db.Put([]byte("b:HIDDENKEY"), []byte("HIDDENVALUE"))
	require.NoError(t, err)
	var names [][]string
	for _, name := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(dial(t, address).words("COMMAND LIST"), -1) {
		switch words := strings.Split(name[1], "|"); words[0] + strings.Join(words[1:], "") {
		case "quit", "reset", "auth", "hello", "clientreply", "multi":
		default:
			names = append(names, words)
		}
	}
	keys := []string{"app:1", "app:2", "tmp:1", "app:", "tmp:", "b:", "a", "c", ""}
	others := []string{
		"*", "b:*", "0", "1", "2", "-1", "GET", "RANGE", "PREFIX", "AFTER", "LIMIT", "REV", "KEYS", "MATCH", "COUNT", "NX", "XX", "EX", "AND", "OR",
		"NOT", "LEN", "IDX", "REPLACE", "ENCODING", "BYTE", "SYNC", "keyspace", "all", "default",
	}
	app := dial(t, address)
	require.Equal(t, "OK", app.words("AUTH app a"))
	for range 20_000 {
		command := slices.Clone(names[random.IntN(len(names))])
		for range random.IntN(6) {
			from := keys
			if random.IntN(2) == 0 {
				from = others
			}
			command = append(command, from[random.IntN(len(from))])
		}
		app.send(encode("MULTI") + encode(command...) + encode("EXEC") + encode(command...))
		reply := app.reply() + app.reply() + app.reply() + app.reply()
		require.NotContains(t, reply, "HIDDEN", "%q", command)
		value, err := db.Get([]byte("b:HIDDENKEY"))
		require.NoError(t, err, "%q", command)
		require.Equal(t, "HIDDENVALUE", string(value), "%q", command)
	}
	deadline, err := db.Deadline([]byte("b:HIDDENKEY"))
	require.NoError(t, err)
	require.Zero(t, deadline)
	for key := range db.Scan(kv.Range{}) {
		require.Regexp(t, "^(app:|tmp:|b:HIDDENKEY$)", string(key), "it wrote no others")
	}
}
