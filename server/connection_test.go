package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// dialogue is what one connection sends, a line each, and what it is answered. A reply that ends in … is the beginning of one.
type dialogue []struct{ send, want string }

func (d dialogue) hold(t *testing.T, c *client) {
	t.Helper()
	for _, one := range d {
		got := c.words(one.send)
		if start, cut := strings.CutSuffix(one.want, "…"); cut {
			require.True(t, strings.HasPrefix(got, start), "%s: %s", one.send, got)
			continue
		}
		require.Equal(t, one.want, got, one.send)
	}
}

func TestHelloSaysWhatTheServerIsAndChangesTheProtocol(t *testing.T) {
	dialogue{
		{"HELLO", `["server" "walnut" "version" "7.0.15" "proto" 2 "id" 1 "mode" "standalone" "role" "master" "modules" []]`},
		{"HELLO 3", `{"server" "walnut" "version" "7.0.15" "proto" 3 "id" 1 "mode" "standalone" "role" "master" "modules" []}`},
		{"GET missing", "nil"},
		{"HELLO 4", "-NOPROTO unsupported protocol version"},
		{"HELLO x", "-ERR Protocol version is not an integer or out of range"},
		{"HELLO 2 BLA", "-ERR Syntax error in HELLO option 'BLA'"},
		{"HELLO 2 " + strings.Repeat("x", 300), "-ERR Syntax error in HELLO option '" + strings.Repeat("x", 128) + "'"},
		{"HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"},
		{"HELLO 2 SETNAME a\xff", "-ERR Client names cannot contain spaces, newlines or special characters."},
		{"CLIENT GETNAME", "nil"},
		{"HELLO 2 SETNAME early BLA", "-ERR Syntax error in HELLO option 'BLA'"},
		{"CLIENT GETNAME", `"early"`},
		{"HELLO 2 AUTH nobody x BLA", "-WRONGPASS invalid username-password pair or user is disabled."},
		{"HELLO", `{"server"…`},
		{"HELLO 2 SETNAME me", `["server"…`},
		{"CLIENT GETNAME", `"me"`},
		{"AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"},
		{"AUTH default x", "OK"},
		{"AUTH a b c", "-ERR syntax error"},
	}.hold(t, newClient(t))
}

func TestResetMakesAConnectionNew(t *testing.T) {
	c := newClient(t)
	dialogue{
		{"HELLO 3 SETNAME me", "{…"},
		{"WATCH a", "OK"},
		{"SET a 1", "OK"},
		{"MULTI", "OK"},
		{"RESET", "RESET"},
		{"EXEC", "-ERR EXEC without MULTI"},
		{"CLIENT GETNAME", "nil"},
		{"HELLO", "[…"},
		{"MULTI", "OK"},
		{"GET a", "QUEUED"},
		{"EXEC", `["1"]`},
		{"MULTI", "OK"},
		{"SELECT 0", "QUEUED"},
		{"HELLO 3", "QUEUED"},
		{"CLIENT REPLY OFF", "-ERR Command not allowed inside a transaction"},
		{"DISCARD", "OK"},
		{"MULTI", "OK"},
		{"QUIT", "OK"},
	}.hold(t, c)
	require.True(t, c.isClosed())
}

func TestOneDatabaseCanBeSelected(t *testing.T) {
	const outOfRange = "-ERR value is out of range, value must between -2147483648 and 2147483647"
	dialogue{
		{"SELECT 0", "OK"},
		{"SELECT 1", "-ERR DB index is out of range"},
		{"SELECT -2147483648", "-ERR DB index is out of range"},
		{"SELECT 2147483648", outOfRange},
		{"SELECT -2147483649", outOfRange},
		{"SELECT x", "-ERR value is not an integer or out of range"},
	}.hold(t, newClient(t))
}

func TestAClientSilencesReplies(t *testing.T) {
	c := newClient(t)
	for _, line := range []string{
		"CLIENT REPLY SKIP", "ECHO 1", "ECHO 2", "CLIENT REPLY OFF", "ECHO 3", "nope", "CLIENT REPLY SKIP", "ECHO 4", "CLIENT REPLY ON", "ECHO 5",
		"CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "ECHO 6", "ECHO 7", "CLIENT REPLY SKIP", "CLIENT REPLY ON",
	} {
		c.send(encode(strings.Fields(line)...))
	}
	for _, want := range []string{`"2"`, "OK", `"5"`, `"7"`, "OK"} {
		require.Equal(t, want, c.reply())
	}
	require.Equal(t, "-ERR syntax error", c.words("CLIENT REPLY maybe"))
}

func TestClientsDescribeThemselvesAndOthers(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	first, second := dial(t, address), dial(t, address)
	dialogue{
		{"CLIENT ID", "1"},
		{"CLIENT SETNAME first", "OK"},
		{"CLIENT SETINFO lib-name go-redis", "OK"},
		{"CLIENT SETINFO LIB-VER 9.1", "OK"},
		{"CLIENT SETINFO lib-os x", "-ERR Unrecognized option 'lib-os'"},
		{"CLIENT NO-EVICT on", "OK"},
		{"CLIENT NO-TOUCH maybe", "-ERR syntax error"},
		{"CLIENT INFO", `"id=1 addr=` + first.conn.LocalAddr().String() + " laddr=" + address + " name=first age=…"},
		{"CLIENT", "-ERR wrong number of arguments for 'client' command"},
		{"CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command"},
		{"CLIENT MAINT_NOTIFICATIONS ON", "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."},
		{"CLIENT LIST TYPE nope", "-ERR Unknown client type 'nope'"},
		{"CLIENT LIST ID 1 x", "-ERR Invalid client ID"},
		{"CLIENT LIST ID", "-ERR syntax error"},
		{"CLIENT LIST TYPE pubsub", `""`},
		{"CLIENT HELP", "[CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are: GETNAME…"},
	}.hold(t, first)
	require.Equal(t, "OK", second.words("MULTI"))
	all := first.words("CLIENT LIST")
	require.Regexp(t, `^"id=1 addr=\S+ laddr=\S+ name=first age=0 idle=0 flags=N db=0 sub=0 psub=0 multi=-1 cmd=client\|list user=default resp=2 `+
		`lib-name=go-redis lib-ver=9.1\\nid=2 addr=\S+ laddr=\S+ name= age=0 idle=0 flags=x db=0 sub=0 psub=0 multi=0 cmd=multi user=default resp=2 `+
		`lib-name= lib-ver=\\n"$`, all)
	require.Equal(t, 1, strings.Count(first.words("CLIENT LIST ID 2 3"), "id="))
}

func TestConnectionsAreKilledByWhatTheyAre(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c := dial(t, address)
	dialogue{
		{"CLIENT KILL 1.2.3.4:5", "-ERR No such client"},
		{"CLIENT KILL ID 99", "0"},
		{"CLIENT KILL ID 0", "-ERR client-id should be greater than 0"},
		{"CLIENT KILL NOPE 1", "-ERR syntax error"},
		{"CLIENT KILL ID 1 SKIPME", "-ERR syntax error"},
		{"CLIENT KILL TYPE nope", "-ERR Unknown client type 'nope'"},
		{"CLIENT KILL USER nope", "-ERR No such user 'nope'"},
		{"CLIENT KILL TYPE pubsub", "0"},
		{"CLIENT KILL TYPE normal", "0"},
	}.hold(t, c)
	require.Equal(t, "-ERR No such client", c.do("CLIENT", "KILL", ""))
	for _, option := range []string{"ADDR", "LADDR"} {
		require.Equal(t, "0", c.do("CLIENT", "KILL", option, "", "SKIPME", "no"), "no connection has an empty address")
	}
	require.Equal(t, "-ERR No such user ''", c.do("CLIENT", "KILL", "USER", ""))
	require.Equal(t, "-ERR Unknown client type ''", c.do("CLIENT", "KILL", "TYPE", ""))
	for id, by := range []string{"ADDR %s", "%s", "USER default", "ID %d LADDR " + address + " SKIPME no"} {
		other := dial(t, address)
		require.Equal(t, "PONG", other.words("PING"))
		line := strings.ReplaceAll(strings.ReplaceAll(by, "%s", other.conn.LocalAddr().String()), "%d", string(rune('2'+id)))
		require.Contains(t, []string{"1", "OK"}, c.words("CLIENT KILL "+line), by)
		require.True(t, other.isClosed(), by)
	}
	require.Equal(t, "1", c.words("CLIENT KILL SKIPME no"))
	require.True(t, c.isClosed(), "after its reply")
}

// TestAConnectionIsKilledOnce: one whose command is still in progress is in the server's list after it was killed.
func TestAConnectionIsKilledOnce(t *testing.T) {
	store, address := serveGated(t)
	c, other := dial(t, address), dial(t, address)
	other.send(encode("SET", "a", "1"))
	<-store.came
	require.Equal(t, "1", c.words("CLIENT KILL TYPE normal"))
	require.Equal(t, "0", c.words("CLIENT KILL TYPE normal"))
	require.Equal(t, "-ERR No such client", c.words("CLIENT KILL "+other.conn.LocalAddr().String()))
}

func TestNamesOfClientsAreShort(t *testing.T) {
	c := newClient(t)
	fits, long := strings.Repeat("n", 1<<10), strings.Repeat("n", 1<<10+1)
	for _, row := range []struct{ what, command string }{
		{"Client names", "CLIENT SETNAME "},
		{"Client names", "HELLO 2 SETNAME "},
		{"lib-name", "CLIENT SETINFO LIB-NAME "},
		{"lib-ver", "CLIENT SETINFO LIB-VER "},
	} {
		require.NotContains(t, c.words(row.command+fits), "-", row.command)
		require.Equal(t, "-ERR "+row.what+" cannot have more than 1024 bytes.", c.words(row.command+long))
	}
	require.Equal(t, `"`+fits+`"`, c.words("CLIENT GETNAME"))
	require.Less(t, len(c.words("CLIENT LIST")), 4<<10)
}
