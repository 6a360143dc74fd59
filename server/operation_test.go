package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestOptionsAreReadAndChanged(t *testing.T) {
	dialogue{
		{"CONFIG GET save", `["save" ""]`},
		{"CONFIG GET APPEND* max*", `["maxmemory" "0" "maxmemory-policy" "noeviction" "maxclients" "10000" "appendonly" "yes"]`},
		{"CONFIG GET nope", "[]"},
		{"CONFIG GET MAXMEM[Oo]RY", `["maxmemory" "0"]`},
		{`CONFIG GET max\memory*`, `["maxmemory" "0" "maxmemory-policy" "noeviction"]`},
		{`CONFIG GET max\memory-policy`, "[]"},
		{"CONFIG GET save[ sav[e", `["save" ""]`},
		{"CONFIG GET " + longPattern, tooLongPattern},
		{"CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"},
		{"CONFIG SET maxmemory 1gb timeout 30 slowlog-log-slower-than -1", "OK"},
		{"CONFIG GET maxmemory timeout slowlog*", `["maxmemory" "1073741824" "timeout" "30" "slowlog-log-slower-than" "-1" "slowlog-max-len" "128"]`},
		{"CONFIG SET timeout 1 nope 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'"},
		{"CONFIG SET timeout 1 maxmemory x", "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"},
		{"CONFIG SET maxmemory -1", "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"},
		{"CONFIG SET timeout x", "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"},
		{
			"CONFIG SET maxclients 0",
			"-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 inclusive",
		},
		{"CONFIG SET databases 3", "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"},
		{"CONFIG SET timeout 1 timeout 2", "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter"},
		{"CONFIG SET timeout 1 maxclients", "-ERR syntax error"},
		{"CONFIG SET timeout", "-ERR wrong number of arguments for 'config|set' command"},
		{"CONFIG GET timeout", `["timeout" "30"]`},
		{"CONFIG REWRITE", "-ERR The server is running without a config file"},
		{"HELLO 3", "{…"},
		{"CONFIG GET timeout", `{"timeout" "30"}`},
	}.hold(t, newClient(t))
}

func TestCommandsAreDescribed(t *testing.T) {
	c := newClient(t)
	dialogue{
		{"COMMAND INFO get nope", `[["get" 2 [readonly] 1 1 1 [@read @string] [] [] []] nil]`},
		{"COMMAND INFO object", `[["object" -2 [] 0 0 0 [@generic] [] [] [["object|encoding" 3 [readonly] 2 2 1 …`},
		{"COMMAND GETKEYS object freq a", `["a"]`},
		{"COMMAND INFO client|id", `[["client|id" 2 [] 0 0 0 [@connection] [] [] []]]`},
		{"COMMAND INFO SET", `[["set" -3 [write denyoom] 1 1 1 [@write @string] [] [] []]]`},
		{"COMMAND DOCS ping nope", `["ping" ["group" "connection"]]`},
		{"COMMAND GETKEYS watch a b", `["a" "b"]`},
		{"COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command"},
		{"COMMAND GETKEYS ping a", "-ERR The command has no key arguments"},
		{"COMMAND GETKEYS nope a", "-ERR Invalid command specified"},
		{"COMMAND GETKEYS client nope", "-ERR Invalid command specified"},
		{"COMMAND GETKEYS get", "-ERR wrong number of arguments for 'command|getkeys' command"},
		{"COMMAND LIST FILTERBY PATTERN ge?", `["get"]`},
		{"COMMAND LIST FILTERBY PATTERN GE[^a-s]", `["get"]`},
		{`COMMAND LIST FILTERBY PATTERN g\et`, `["get"]`},
		{"COMMAND LIST FILTERBY PATTERN " + longPattern, tooLongPattern},
		{"COMMAND LIST FILTERBY ACLCAT transaction", `["discard" "exec" "multi" "unwatch" "watch"]`},
		{"COMMAND LIST FILTERBY MODULE x", "[]"},
		{"COMMAND LIST x", "-ERR syntax error"},
		{"COMMAND NOPE", "-ERR unknown subcommand 'NOPE'. Try COMMAND HELP."},
	}.hold(t, c)
	c.send("COMMAND INFO nope\r\nPING\r\n")
	for _, line := range []string{"*1\r\n", "$-1\r\n", "+PONG\r\n"} {
		got, err := c.from.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, line, got, "the null of what isn't there is that of a string")
	}
	count, err := strconv.Atoi(c.words("COMMAND COUNT"))
	require.NoError(t, err)
	require.Greater(t, count, 20)
	require.Contains(t, c.words("COMMAND"), `["client" -2 [] 0 0 0 [@connection] [] [] [["client|getname" 2 `)
}

func TestInfoTellsTheTruth(t *testing.T) {
	now := time.Unix(1000, 0)
	opts := kv.Options{Clock: func() time.Time { return now }}
	db := openStore(t, opts)
	_, err := db.PutTTL([]byte("expires"), nil, time.Hour)
	require.NoError(t, err)
	srv, address := serveStore(t, db, server.Options{MaxMemory: 1 << 30})
	c := dial(t, address)
	require.Equal(t, "OK", c.words("SET a 1"))
	require.Equal(t, "-ERR syntax error", c.words("SET a 1 2"))
	text, err := strconv.Unquote(c.words("INFO"))
	require.NoError(t, err)
	for _, want := range []string{
		"# Server\r\nredis_version:7.0.15\r\n", "connected_clients:1\r\n", "maxmemory:1073741824\r\nmaxmemory_human:1.00G\r\n",
		"total_commands_processed:2\r\n", "total_error_replies:1\r\n", "role:master\r\n", "master_repl_offset:2\r\n",
		"\r\n# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=0\r\n",
	} {
		require.Contains(t, text, want)
	}
	require.Regexp(t, `\r\nused_memory:[1-9]\d+\r\n`, text)
	require.NotContains(t, text, "Commandstats")
	require.Equal(t, `"# Clients\r\nconnected_clients:1\r\nmaxclients:10000\r\npubsub_clients:0\r\nblocked_clients:0\r\n"`, c.words("INFO CLIENTS"))
	require.Equal(t, `""`, c.words("INFO nope"))
	require.Contains(t, c.words("INFO all"), `cmdstat_set:calls=2\r\n`)
	require.Equal(t, "OK", c.words("CONFIG RESETSTAT"))
	require.Contains(t, c.words("INFO stats"), `total_error_replies:0`)
	require.Equal(t, map[string]uint64{"config|resetstat": 1, "info": 1}, srv.Stats().Commands)
}

func TestACheckpointIsSavedForClients(t *testing.T) {
	db, err := kv.Open(t.TempDir(), kv.Options{CheckpointFactor: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	began, err := strconv.Atoi(c.words("LASTSAVE"))
	require.NoError(t, err)
	require.InDelta(t, time.Now().Unix(), began, 5)
	dialogue{
		{"SET a 1", "OK"},
		{"SAVE", "OK"},
		{"SET a 2", "OK"},
		{"BGSAVE NOPE", "-ERR syntax error"},
		{"MULTI", "OK"},
		{"SET a 3", "QUEUED"},
		{"SAVE", "-ERR Command not allowed inside a transaction"},
		{"DISCARD", "OK"},
		{"MULTI", "OK"},
		{"SET a 3", "QUEUED"},
		{"BGSAVE SCHEDULE", "QUEUED"},
		{"EXEC", "[OK Background saving started]"},
		{"WAIT 1 100", "0"},
		{"WAIT x 0", "-ERR value is not an integer or out of range"},
		{"WAIT 1 x", "-ERR timeout is not an integer or out of range"},
		{"WAIT 1 -1", "-ERR timeout is negative"},
	}.hold(t, c)
	require.Eventually(t, func() bool { return db.Stats().Checkpoints.Taken == 2 }, 10*time.Second, time.Millisecond)
	require.Regexp(t, `^\["\d{10}" "\d{1,6}"\]$`, c.words("TIME"))
}

func TestTheSlowLogHasNoArgumentsOfWhatWasRefused(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{SlowerThan: 1})
	c, subscribed := dial(t, address), dial(t, address)
	require.Equal(t, `["subscribe" "a" 1]`, subscribed.words("SUBSCRIBE a"))
	for _, line := range []string{"AUTH default s3cret", "HELLO 3 AUTH default s3cret"} {
		require.Contains(t, subscribed.words(line), "-ERR Can't execute")
	}
	for _, line := range []string{"AUHT s3cret", "AUTH s3cret s3cret s3cret s3cret"} {
		require.Contains(t, c.words(line), "-ERR")
	}
	entries := c.words("SLOWLOG GET")
	require.Contains(t, entries, `["AUHT" "(redacted)"]`)
	require.NotContains(t, entries, "s3cret")
}

func TestSlowCommandsAreKeptWithoutPasswords(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{SlowerThan: 1})
	c := dial(t, address)
	dialogue{
		{"CLIENT SETNAME me", "OK"},
		{"AUTH default secret", "OK"},
	}.hold(t, c)
	require.Equal(t, "OK", c.do("SET", "a", strings.Repeat("x", 130)))
	c.send(encode("GET", "a") + encode("SET", "b", "1") + encode("GET", "b"))
	for range 3 {
		c.reply()
	}
	require.Equal(t, `"-ERR"`, `"`+c.do(append([]string{"GET"}, make([]string, 40)...)...)[:4]+`"`)
	require.Equal(t, "OK", c.words("CONFIG SET slowlog-log-slower-than -1"))
	entries := c.words("SLOWLOG GET")
	for _, want := range []string{
		`["CLIENT" "SETNAME" "me"] "` + c.conn.LocalAddr().String() + `" "me"]`, `["AUTH" "(redacted)" "(redacted)"]`,
		`x... (2 more bytes)"`, `["SET" "b" "1" "... (with 2 more commands)"]`, `"... (10 more arguments)"]`,
	} {
		require.Contains(t, entries, want)
	}
	require.NotContains(t, entries, "secret")
	require.EqualValues(t, 7, srv.Stats().Slow)
	dialogue{
		{"SLOWLOG LEN", "5"},
		{"SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"},
		{"SLOWLOG GET 1 2", "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP."},
		{"SLOWLOG RESET", "OK"},
		{"SLOWLOG GET -1", "[]"},
		{"CONFIG SET slowlog-max-len 2 slowlog-log-slower-than 0", "OK"},
		{"PING", "PONG"},
		{"PING", "PONG"},
		{"SLOWLOG LEN", "2"},
	}.hold(t, c)
}

const outOfMemory = "OOM command not allowed when used memory > 'maxmemory'."

func TestWhatGrowsIsRefusedWithoutMemoryAndTheRestGoesOn(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c := dial(t, address)
	dialogue{
		{"SET a 1", "OK"},
		{"CONFIG SET maxmemory 1", "OK"},
		{"SET a 2", "-" + outOfMemory},
		{"GET a", `"1"`},
		{"MULTI", "OK"},
		{"GET a", "QUEUED"},
		{"SET a 2", "-" + outOfMemory},
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors."},
		{"CONFIG SET maxmemory 0", "OK"},
		{"MULTI", "OK"},
		{"SET a 2", "QUEUED"},
	}.hold(t, c)
	require.False(t, srv.Stats().OutOfMemory)
	require.Equal(t, "OK", dial(t, address).words("CONFIG SET maxmemory 1"))
	require.True(t, srv.Stats().OutOfMemory)
	require.Equal(t, "-EXECABORT Transaction discarded because of: "+outOfMemory, c.words("EXEC"))
	require.Equal(t, `"1"`, c.words("GET a"))
}

func TestMemoryIsTheStoresAndIsFreeAgain(t *testing.T) {
	db := openStore(t, kv.Options{})
	runtime.GC()
	srv, address := serveStore(t, db, server.Options{})
	before := srv.Stats().Memory
	limit := before + 16<<20
	c := dial(t, address)
	require.Equal(t, "OK", c.words(fmt.Sprint("CONFIG SET maxmemory ", limit)))
	taken := 0
	for ; c.do("SET", fmt.Sprint(taken), strings.Repeat("x", 1<<20)) == "OK"; taken++ {
		require.Less(t, taken, 40)
		time.Sleep(110 * time.Millisecond) // The measurement is that old at most.
	}
	require.Greater(t, taken, 2)
	_, err := db.DeleteRange([]byte("0"), nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		runtime.GC()
		return c.words("SET a 1") == "OK"
	}, 10*time.Second, 50*time.Millisecond)
}

func TestASizeOfAnyBytesIsTakenOrRefused(t *testing.T) {
	dialogue{
		{"CONFIG SET maxmemory 2GB", "OK"},
		{"CONFIG GET maxmemory", `["maxmemory" "2147483648"]`},
		{"CONFIG SET maxmemory \xff", "-ERR CONFIG SET failed…"},
		{"CONFIG SET maxmemory 1\u212a", "-ERR CONFIG SET failed…"}, // The sign of kelvin, which is a k in lower case.
		{"CONFIG SET maxmemory kb", "-ERR CONFIG SET failed…"},
		{"CONFIG GET maxmemory", `["maxmemory" "2147483648"]`},
	}.hold(t, newClient(t))
}

func TestASilentClientIsClosedUnlessItIsAllowed(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{IdleTimeout: 100 * time.Millisecond})
	silent, busy := dial(t, address), dial(t, address)
	for range 10 {
		require.Equal(t, "PONG", busy.words("PING"))
		time.Sleep(20 * time.Millisecond)
	}
	require.True(t, silent.isClosed())
	require.Equal(t, "OK", busy.words("CONFIG SET timeout 0"))
	time.Sleep(200 * time.Millisecond)
	require.Equal(t, "PONG", busy.words("PING"), "there is no limit any more")
}

func TestAClientThatIsSilentAlreadyGetsTheNewLimit(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{IdleTimeout: 100 * time.Millisecond})
	silent, subscribed, other := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, "PONG", silent.words("PING"))
	require.Equal(t, `["subscribe" "a" 1]`, subscribed.words("SUBSCRIBE a"))
	require.Equal(t, "OK", other.words("CONFIG SET timeout 0"))
	time.Sleep(150 * time.Millisecond)
	require.Equal(t, "PONG", silent.words("PING"), "there is no limit any more")
	require.Equal(t, "OK", other.words("CONFIG SET timeout 1"))
	require.NoError(t, silent.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := silent.read()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, `["pong" ""]`, subscribed.words("PING"))
}

// slowStore is a store that takes a while for each Get.
type slowStore struct {
	*kv.DB
	pause time.Duration
}

// Get implements server.Store.
func (s slowStore) Get(key []byte) ([]byte, error) {
	time.Sleep(s.pause)
	return s.DB.Get(key)
}

// TestANewLimitCountsNoTimeThatACommandTook sets the limit when a client has just been answered, after most of that time.
func TestANewLimitCountsNoTimeThatACommandTook(t *testing.T) {
	_, address := serveStore(t, slowStore{openStore(t, kv.Options{}), 900 * time.Millisecond}, server.Options{})
	c, other := dial(t, address), dial(t, address)
	require.Equal(t, "nil", c.words("GET a"))
	time.Sleep(50 * time.Millisecond) // The session waits for bytes by now.
	require.Equal(t, "OK", other.words("CONFIG SET timeout 1"))
	time.Sleep(250 * time.Millisecond)
	require.Equal(t, "PONG", c.words("PING"), "it was silent for a third of the limit")
}

func TestASubscribedClientMayBeSilent(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{IdleTimeout: 100 * time.Millisecond})
	for _, row := range []struct{ begin, end string }{{"SUBSCRIBE a", "UNSUBSCRIBE"}, {"KV.WATCH 0", "KV.UNWATCH"}} {
		c := dial(t, address)
		c.words(row.begin)
		time.Sleep(150 * time.Millisecond)
		require.Equal(t, `["pong" ""]`, c.words("PING"), row.begin)
		c.words(row.end)
		require.True(t, c.isClosed(), "it is a client like others again")
	}
}

func TestShutdownEndsAClientThatMayBeIdle(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{IdleTimeout: time.Hour})
	c := dial(t, address)
	require.Equal(t, "PONG", c.words("PING"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, srv.Shutdown(ctx))
	require.True(t, c.isClosed())
}

func TestOneClientTooManyIsToldSo(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{MaxClients: 1})
	c := dial(t, address)
	require.Equal(t, "PONG", c.words("PING"))
	require.Equal(t, "-ERR max number of clients reached", dial(t, address).reply())
	require.EqualValues(t, 1, srv.Stats().Refused)
	require.Equal(t, "OK", c.words("CONFIG SET maxclients 2"))
	require.Equal(t, "PONG", dial(t, address).words("PING"))
}

func TestMetricsCountWhatHappened(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c := dial(t, address)
	c.send(encode("SET", "a", "1") + encode("SET", "b", "2") + encode("GET", "a"))
	for range 3 {
		c.reply()
	}
	require.Equal(t, "nil", c.words("GET c"))
	require.Equal(t, "-ERR syntax error", c.words("SET a 1 2"))
	var page bytes.Buffer
	require.NoError(t, srv.WritePrometheus(&page, kv.Label{Name: "store", Value: "a \"b\"\n"}))
	for _, want := range []string{
		`walnut_server_clients{store="a \"b\"\n"} 1`,
		`walnut_server_commands_total{store="a \"b\"\n",command="get"} 2`,
		`walnut_server_commands_total{store="a \"b\"\n",command="set"} 3`,
		`walnut_server_error_replies_total{store="a \"b\"\n"} 1`,
		`walnut_server_group_seconds_count{store="a \"b\"\n",kind="read"} 1`,
		`walnut_server_group_seconds_count{store="a \"b\"\n",kind="write"} 2`,
	} {
		require.Contains(t, page.String(), "\n"+want+"\n")
	}
	received := regexp.MustCompile(`walnut_server_received_bytes_total\{.*\} (\d+)`).FindStringSubmatch(page.String())
	sent := strings.Join([]string{encode("SET", "a", "1"), encode("SET", "b", "2"), encode("GET", "a"), encode("GET", "c"), encode("SET", "a", "1", "2")}, "")
	require.Equal(t, strconv.Itoa(len(sent)), received[1])
	require.ErrorContains(t, srv.WritePrometheus(&page, kv.Label{Name: "command", Value: "x"}), "taken")

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing (Debian: prometheus)")
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = &page
	said, err := check.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Empty(t, string(said))
}
