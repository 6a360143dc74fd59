package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func parseUsers(t *testing.T, text string) *server.Users {
	t.Helper()
	users, err := server.ParseUsers([]byte(text))
	require.NoError(t, err)
	return users
}

// serveUsers serves a new store to those users.
func serveUsers(t *testing.T, text string) (srv *server.Server, address string) {
	t.Helper()
	return serveStore(t, openStore(t, kv.Options{}), server.Options{Users: parseUsers(t, text)})
}

func sum(password string) string {
	hash := sha256.Sum256([]byte(password))
	return hex.EncodeToString(hash[:])
}

const threeUsers = `# Comments and empty lines are left out.

user default on >secret ~* +@all
user reader on >r1 >r2 allkeys &* -@all +@read
user app on >a ~app:* ~tmp:* +@all
user gone off >g ~* +@all
`

const noPermission = "-NOPERM this user has no permissions to "

func TestNothingRunsBeforeAUTHButWhatLeadsToIt(t *testing.T) {
	_, address := serveUsers(t, threeUsers)
	const wrong = "-WRONGPASS invalid username-password pair or user is disabled."
	c := dial(t, address)
	dialogue{
		{"GET a", "-NOAUTH Authentication required."},
		{"PING", "-NOAUTH Authentication required."},
		{"MULTI", "-NOAUTH Authentication required."},
		{"CLIENT ID", "-NOAUTH Authentication required."},
		{"EXEC", "-EXECABORT Transaction discarded because of: NOAUTH Authentication required."},
		{"nope", "-ERR unknown command 'nope', with args beginning with: "},
		{"HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used " +
			"to authenticate the client and select the RESP protocol version at the same time"},
		{"AUTH wrong", wrong},
		{"AUTH", "-ERR wrong number of arguments for 'auth' command"},
		{"AUTH gone g", wrong},
		{"AUTH nobody g", wrong},
		{"HELLO 3 AUTH reader a", wrong},
		{"AUTH secret", "OK"},
		{"ACL WHOAMI", `"default"`},
		{"SET a 1", "OK"},
		{"AUTH wrong", wrong},
		{"GET a", `"1"`},
		{"RESET", "RESET"},
		{"GET a", "-NOAUTH Authentication required."},
		{"HELLO 3 AUTH reader r2 SETNAME me", "{…"},
		{"ACL WHOAMI", `"reader"`},
	}.hold(t, c)
}

func TestAStrangerSendsLittle(t *testing.T) {
	for _, c := range []struct{ name, send, want string }{
		{"many arguments", "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length"},
		{"a long argument", "*2\r\n$3\r\nGET\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length"},
		{"many words", "GET a b c d e f g h i j\r\n", "-ERR Protocol error: unauthenticated inline request"},
		{"a long line", "GET " + strings.Repeat("a", 16<<10) + "\r\n", "-ERR Protocol error: unauthenticated inline request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, address := serveUsers(t, threeUsers)
			stranger := dial(t, address)
			stranger.send(c.send)
			require.Equal(t, c.want, stranger.reply())
			require.True(t, stranger.isClosed())

			long := strings.Repeat("x", 20000)
			known := dial(t, address)
			known.send(encode("AUTH", "secret") + encode("SET", "a", long) + encode("GET", "a"))
			for _, want := range []string{"OK", "OK", `"` + long + `"`} {
				require.Equal(t, want, known.reply(), "the limit ends with AUTH, also within a pipeline")
			}
		})
	}
}

func TestUsersMayDoWhatTheirRulesSay(t *testing.T) {
	_, address := serveUsers(t, threeUsers)
	reader, app := dial(t, address), dial(t, address)
	dialogue{
		{"AUTH reader r1", "OK"},
		{"GET a", "nil"},
		{"SET a 1", noPermission + "run the 'set' command"},
		{"CONFIG GET save", noPermission + "run the 'config|get' command"},
		{"CLIENT KILL ID 9", noPermission + "run the 'client|kill' command"},
		{"ACL LIST", noPermission + "run the 'acl|list' command"},
		{"SAVE", noPermission + "run the 'save' command"},
		{"CLIENT ID", "1"},
		{"INFO keyspace", `"# Keyspace\r\n"`},
		{"MULTI", "OK"},
		{"GET a", "QUEUED"},
		{"SET a 1", noPermission + "run the 'set' command"},
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors."},
	}.hold(t, reader)
	dialogue{
		{"AUTH app a", "OK"},
		{"SET app:1 x", "OK"},
		{"GET app:1", `"x"`},
		{"SET tmp: x", "OK"},
		{"SET app 1", noPermission + "access one of the keys used as arguments"},
		{"GET other", noPermission + "access one of the keys used as arguments"},
		{"WATCH app:1 other", noPermission + "access one of the keys used as arguments"},
		{"CONFIG SET maxmemory 1", noPermission + "run the 'config|set' command"},
		{"INFO keyspace", `""`},
		{"MULTI", "OK"},
		{"SET app:2 x", "QUEUED"},
		{"EXEC", "[OK]"},
	}.hold(t, app)
}

func TestACLNamesTheUsers(t *testing.T) {
	_, address := serveUsers(t, threeUsers)
	c := dial(t, address)
	dialogue{
		{"AUTH secret", "OK"},
		{"ACL USERS", `["app" "default" "gone" "reader"]`},
		{"ACL GETUSER nobody", "nil"},
		{"ACL GETUSER app", `["flags" ["on"] "passwords" ["` + sum("a") + `"] "commands" "+@all" "keys" "~app:* ~tmp:*" "channels" "" "selectors" []]`},
		{"ACL CAT nope", "-ERR Unknown category 'nope'"},
		{"ACL CAT transaction", `["discard" "exec" "multi" "unwatch" "watch"]`},
		{"ACL NOPE", "-ERR unknown subcommand 'NOPE'. Try ACL HELP."},
	}.hold(t, c)
	list := c.words("ACL LIST")
	require.Contains(t, list, `"user app on #`+sum("a")+` ~app:* ~tmp:* +@all"`)
	require.Contains(t, list, `"user gone off #`+sum("g")+` ~* &* +@all"`)
	require.NotContains(t, list, "secret")
	lines := strings.ReplaceAll(strings.Trim(list, `[]"`), `" "`, "\n")
	_, again := serveUsers(t, lines)
	require.Equal(t, "OK", dial(t, again).words("AUTH reader r2"), "what it prints can be read")
}

func TestNewUsersCloseTheConnectionsOfThoseThatChanged(t *testing.T) {
	srv, address := serveUsers(t, threeUsers)
	var all []*client
	for _, who := range []string{"default secret", "reader r1", "app a"} {
		c := dial(t, address)
		require.Equal(t, "OK", c.words("AUTH "+who))
		all = append(all, c)
	}
	stranger := dial(t, address)
	require.Equal(t, "-NOAUTH Authentication required.", stranger.words("PING"))
	srv.SetUsers(parseUsers(t, "user default on >secret ~* +@all\nuser app on >a ~app:* +@all\n"))
	require.Equal(t, "PONG", all[0].words("PING"), "it is as it was")
	require.True(t, all[1].isClosed(), "it is gone")
	require.True(t, all[2].isClosed(), "it may do less")
	require.Equal(t, "-WRONGPASS invalid username-password pair or user is disabled.", stranger.words("AUTH reader r1"))
	require.Equal(t, "OK", stranger.words("AUTH app a"))
}

func TestADefaultUserWithoutAPasswordIsEverybody(t *testing.T) {
	_, address := serveUsers(t, "user default on nopass ~pub:* +@read\nuser admin on >a ~* +@all\n")
	dialogue{
		{"GET pub:1", "nil"},
		{"SET pub:1 x", noPermission + "run the 'set' command"},
		{"GET other", noPermission + "access one of the keys used as arguments"},
		{"AUTH admin a", "OK"},
		{"SET other x", "OK"},
		{"RESET", "RESET"},
		{"GET other", noPermission + "access one of the keys used as arguments"},
	}.hold(t, dial(t, address))
}

func TestUsersThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"none", "# nobody\n", "there is none"},
		{"another word", "\nusr a on", "line 2: want user NAME RULE…"},
		{"no name", "user", "want user NAME RULE…"},
		{"no name before a password", "user >secret on nonsense", "line 1: want a user's NAME"},
		{"no name before a hash", "user #" + sum("secret") + " on", "line 1: want a user's NAME"},
		{"a user twice", "user a on\nuser a off", "line 2: user a comes twice"},
		{"a password without its sign", "user a on secret", "rule 2 of user a: want on, off"},
		{"a hash that is none", "user a #12", "64 hexadecimal digits"},
		{"a key without a star", "user a ~key", "want a prefix"},
		{"a pattern", "user a ~a[bc]*", "want a prefix"},
		{"a command", "user a +get", "want on, off"},
		{"an empty rule's value", "user a ~", "want a prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := server.ParseUsers([]byte(c.text))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestAUserWithoutRulesMayDoNothing(t *testing.T) {
	_, address := serveUsers(t, "user a\nuser b on >b\nuser c on >c +@all\n")
	dialogue{
		{"AUTH a x", "-WRONGPASS invalid username-password pair or user is disabled."},
		{"AUTH b b", "OK"},
		{"PING", noPermission + "run the 'ping' command"},
		{"AUTH c c", "OK"},
		{"PING", "PONG"},
		{"GET a", noPermission + "access one of the keys used as arguments"},
	}.hold(t, dial(t, address))
}

func TestNoUsersMeanEverybody(t *testing.T) {
	srv, address := serveUsers(t, threeUsers)
	c := dial(t, address)
	require.Equal(t, "OK", c.words("AUTH app a"))
	srv.SetUsers(nil)
	require.True(t, c.isClosed(), "it is gone")
	require.Equal(t, "PONG", dial(t, address).words("PING"))
}
