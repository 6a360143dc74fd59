package differential

import (
	"strconv"
)

// family makes commands of one kind. Of two families the one with twice the weight makes twice as many.
type family struct {
	weight int
	make   func(g *generator) []string
}

// families is every command that a stream has. Their replies depend on nothing but the stream, with the exceptions of
// rules.go.
var families = []family{
	{24, (*generator).set},
	{24, (*generator).simpleString},
	{16, (*generator).counter},
	{8, (*generator).severalKeys},
	{6, (*generator).part},
	{5, (*generator).subsequence},
	{12, (*generator).bits},
	{6, (*generator).bitFields},
	{8, (*generator).dumping},
	{14, (*generator).expiry},
	{12, (*generator).lifetimeLeft},
	{12, (*generator).keyspace},
	{12, (*generator).transaction},
	{4, (*generator).object},
	{4, (*generator).connection},
	{5, (*generator).administration},
	{2, (*generator).unknown},
}

// command makes a command of a random family, or a whole iteration.
func (g *generator) command(conn int) step {
	if g.chance(40) {
		return g.iteration(conn)
	}
	sum := 0
	for _, f := range families {
		sum += f.weight
	}
	at := g.IntN(sum)
	for _, f := range families {
		if at -= f.weight; at < 0 {
			return step{conn: conn, args: f.make(g)}
		}
	}
	panic("unreachable")
}

func (g *generator) set() []string {
	args := []string{"SET", g.key(), g.value()}
	for g.chance(2) {
		args = append(args, g.setOption()...)
	}
	return args
}

func (g *generator) setOption() []string {
	switch g.IntN(10) {
	case 0:
		return []string{g.anyCase("EX"), g.lifetime(seconds)}
	case 1:
		return []string{"PX", g.lifetime(millis)}
	case 2:
		return []string{"EXAT", g.instant(seconds)}
	case 3:
		return []string{"PXAT", g.instant(millis)}
	}
	option := g.pick("NX", "XX", "GET", "KEEPTTL", "NX", "XX", "GET", "KEEPTTL", "FOO", "PERSIST", "EX")
	return []string{g.anyCase(option)}
}

func (g *generator) simpleString() []string {
	key := g.key()
	switch g.IntN(10) {
	case 0, 1, 2:
		return []string{"GET", key}
	case 3:
		return []string{"SETNX", key, g.value()}
	case 4:
		return []string{"SETEX", key, g.lifetime(seconds), g.value()}
	case 5:
		return []string{"PSETEX", key, g.lifetime(millis), g.value()}
	case 6:
		return []string{"GETSET", key, g.value()}
	case 7:
		return []string{"GETDEL", key}
	case 8:
		return append([]string{"GETEX", key}, g.getexOptions()...)
	}
	return []string{g.pick("APPEND", "append"), key, g.value()}
}

func (g *generator) getexOptions() (options []string) {
	for g.chance(2) {
		switch g.IntN(6) {
		case 0:
			options = append(options, "EX", g.lifetime(seconds))
		case 1:
			options = append(options, "PX", g.lifetime(millis))
		case 2:
			options = append(options, "EXAT", g.instant(seconds))
		case 3:
			options = append(options, "PXAT", g.instant(millis))
		case 4:
			options = append(options, g.anyCase("PERSIST"))
		case 5:
			options = append(options, g.pick("KEEPTTL", "NX", "GET", "FOO"))
		}
	}
	return options
}

func (g *generator) counter() []string {
	key := g.key()
	switch g.IntN(7) {
	case 0:
		return []string{"INCR", key}
	case 1:
		return []string{"DECR", key}
	case 2:
		return []string{"INCRBY", key, g.integer()}
	case 3:
		return []string{"DECRBY", key, g.integer()}
	case 4:
		start := g.pick("0", "1", "-1", "9223372036854775806", "-9223372036854775807", "10.5", "1e3")
		return []string{"SET", key, start}
	}
	return []string{"INCRBYFLOAT", key, g.decimal()}
}

func (g *generator) severalKeys() []string {
	switch g.IntN(3) {
	case 0:
		return append([]string{"MGET"}, g.someKeys()...)
	case 1:
		return append([]string{"MSET"}, g.pairs()...)
	}
	return append([]string{"MSETNX"}, g.pairs()...)
}

func (g *generator) pairs() (pairs []string) {
	for _, key := range g.someKeys() {
		pairs = append(pairs, key, g.value())
	}
	return pairs
}

func (g *generator) part() []string {
	switch g.IntN(4) {
	case 0:
		return []string{"STRLEN", g.key()}
	case 1:
		return []string{"SETRANGE", g.key(), g.small(), g.value()}
	}
	return []string{"GETRANGE", g.key(), g.small(), g.small()}
}

func (g *generator) subsequence() []string {
	args := []string{"LCS", g.key(), g.key()}
	for g.chance(2) {
		switch g.IntN(5) {
		case 0:
			args = append(args, "LEN")
		case 1, 2:
			args = append(args, g.anyCase("IDX"))
		case 3:
			args = append(args, "MINMATCHLEN", g.pick("0", "1", "2", "4", "-1", "abc"))
		case 4:
			args = append(args, g.pick("WITHMATCHLEN", "WITHMATCHLEN", "FOO"))
		}
	}
	return args
}

func (g *generator) bits() []string {
	switch g.IntN(6) {
	case 0:
		return []string{"GETBIT", g.key(), g.bit(true)}
	case 1:
		return []string{"SETBIT", g.key(), g.bit(false), g.pick("0", "1", "1", "2", "abc")}
	case 2, 3:
		args := []string{"BITCOUNT", g.key()}
		if g.chance(3) {
			return args
		}
		return append(append(args, g.small(), g.small()), g.unitOfBits()...)
	case 4:
		args := []string{"BITPOS", g.key(), g.pick("0", "1", "1", "2", "abc")}
		switch g.IntN(4) {
		case 0:
			return args
		case 1:
			return append(args, g.small())
		}
		return append(append(args, g.small(), g.small()), g.unitOfBits()...)
	}
	return append([]string{"BITOP", g.anyCase(g.pick("AND", "OR", "XOR", "NOT", "FOO")), g.key()}, g.someKeys()...)
}

// unitOfBits returns what places in a value count, if anything.
func (g *generator) unitOfBits() []string {
	if g.chance(2) {
		return nil
	}
	return []string{g.anyCase(g.pick("BIT", "BYTE", "BIT", "BYTE", "FOO"))}
}

func (g *generator) bitFields() []string {
	reads := g.chance(4)
	args := []string{"BITFIELD", g.key()}
	if reads {
		args[0] = "BITFIELD_RO"
	}
	for len(args) == 2 || g.chance(2) {
		kind, place := g.fieldType(), g.bit(false)
		if g.chance(4) {
			place = "#" + strconv.Itoa(g.IntN(6))
		}
		switch {
		case reads && !g.chance(12), g.chance(4):
			args = append(args, g.anyCase("GET"), kind, place)
		case g.chance(3):
			args = append(args, g.anyCase("OVERFLOW"), g.anyCase(g.pick("WRAP", "SAT", "FAIL", "SAT", "FAIL", "FOO")))
		default:
			args = append(args, g.anyCase(g.pick("SET", "INCRBY")), kind, place, g.integer())
		}
	}
	return args
}

func (g *generator) fieldType() string {
	if g.chance(12) {
		return g.pick("u64", "i65", "i0", "u", "x8", "", "i-1", "I8", "u08", "i8\x00")
	}
	return g.pick("i", "u", "i") + g.pick("1", "2", "5", "8", "16", "32", "63", "64")
}

func (g *generator) expiry() []string {
	key := g.key()
	var args []string
	switch g.IntN(5) {
	case 0:
		args = []string{"EXPIRE", key, g.lifetime(seconds)}
	case 1:
		args = []string{"PEXPIRE", key, g.lifetime(millis)}
	case 2:
		args = []string{"EXPIREAT", key, g.instant(seconds)}
	case 3:
		args = []string{"PEXPIREAT", key, g.instant(millis)}
	case 4:
		return []string{"PERSIST", key}
	}
	for g.chance(2) {
		args = append(args, g.anyCase(g.pick("NX", "XX", "GT", "LT", "GT", "LT", "FOO")))
	}
	return args
}

func (g *generator) lifetimeLeft() []string {
	return []string{g.pick("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"), g.key()}
}

func (g *generator) keyspace() []string {
	switch g.IntN(11) {
	case 0:
		return append([]string{"DEL"}, g.someKeys()...)
	case 1:
		return append([]string{"UNLINK"}, g.someKeys()...)
	case 2:
		return append([]string{"EXISTS"}, g.someKeys()...)
	case 3:
		return append([]string{"TOUCH"}, g.someKeys()...)
	case 4:
		return []string{"TYPE", g.key()}
	case 5:
		return []string{"RENAME", g.key(), g.key()}
	case 6:
		return []string{"RENAMENX", g.key(), g.key()}
	case 7:
		return g.copyKey()
	case 8:
		return []string{"KEYS", g.pattern()}
	case 9:
		return []string{g.pick("RANDOMKEY", "DBSIZE")}
	}
	cursor := g.pick("0", "abc", "-1", "", "0 ", "18446744073709551616")
	return []string{"SCAN", cursor, g.pick("MATCH", "COUNT", "TYPE", "FOO")}
}

func (g *generator) copyKey() []string {
	args := []string{"COPY", g.key(), g.key()}
	for g.chance(2) {
		switch g.IntN(3) {
		case 0:
			args = append(args, g.anyCase("REPLACE"))
		case 1:
			args = append(args, "DB", g.pick("0", "0", "1", "-1", "abc"))
		case 2:
			args = append(args, g.pick("DB", "FOO"))
		}
	}
	return args
}

// iteration makes a whole SCAN. Its cursor is put in when it runs.
func (g *generator) iteration(conn int) step {
	args := []string{"SCAN", "0"}
	for g.chance(2) {
		switch g.IntN(4) {
		case 0, 1:
			args = append(args, g.anyCase("MATCH"), g.pattern())
		case 2:
			args = append(args, "COUNT", g.pick("1", "2", "10", "1000", "0", "-1", "abc"))
		case 3:
			args = append(args, "TYPE", g.pick("string", "STRING", "list", "foo", ""))
		}
	}
	return step{conn: conn, args: args, flush: true, whole: true}
}

func (g *generator) transaction() []string {
	switch g.IntN(12) {
	case 0, 1, 2:
		return append([]string{"WATCH"}, g.someKeys()...)
	case 3:
		return []string{"UNWATCH"}
	case 4:
		return []string{"EXEC"}
	case 5:
		return []string{"DISCARD"}
	}
	return []string{"MULTI"}
}

func (g *generator) object() []string {
	return []string{"OBJECT", g.anyCase(g.pick("ENCODING", "ENCODING", "FREQ", "REFCOUNT", "IDLETIME", "FOO")), g.key()}
}

func (g *generator) connection() []string {
	switch g.IntN(14) {
	case 0, 1:
		return []string{"PING"}
	case 2:
		return []string{"PING", g.value()}
	case 3:
		return []string{"ECHO", g.value()}
	case 4:
		return []string{"SELECT", g.pick("0", "0", "1", "-1", "abc", "99999999999")}
	case 5, 6:
		return g.hello()
	case 7:
		return []string{"RESET"}
	case 8:
		return []string{"QUIT"}
	case 9:
		return g.auth()
	}
	return g.client()
}

func (g *generator) hello() []string {
	args := []string{"HELLO"}
	if g.chance(10) {
		return args
	}
	args = append(args, g.pick("2", "3", "3", "1", "4", "abc"))
	switch g.IntN(6) {
	case 0:
		args = append(args, "SETNAME", g.pick("judge", "a b", ""))
	case 1:
		args = append(args, "AUTH", g.pick("default", "nobody"), "secret")
	case 2:
		args = append(args, g.pick("AUTH", "SETNAME", "FOO"))
	}
	return args
}

func (g *generator) auth() []string {
	return [][]string{
		{"AUTH", "secret"},
		{"AUTH", "default", "secret"},
		{"AUTH", "nobody", "secret"},
		{"AUTH"},
		{"AUTH", "a", "b", "c"},
	}[g.IntN(5)]
}

func (g *generator) client() []string {
	return [][]string{
		{"CLIENT", "ID"},
		{"CLIENT", "GETNAME"},
		{"CLIENT", "GETNAME"},
		{"CLIENT", "SETNAME", g.pick("judge", "two words", "", "line\n", "a")},
		{"CLIENT", "INFO"},
		{"CLIENT", "LIST"},
		{"CLIENT", "LIST", "ID", "0"},
		{"CLIENT", "LIST", "FOO"},
		{"CLIENT", "NO-EVICT", g.pick("on", "off", "FOO")},
		{"CLIENT", "KILL", g.pick("127.0.0.1:1", "abc", "")},
		{"CLIENT", "KILL", "ID", g.pick("999999999", "0", "-1", "abc")},
		{"CLIENT", "MAINT_NOTIFICATIONS", "ON"},
		{"CLIENT"},
		{"CLIENT", "FOO", "a"},
	}[g.IntN(14)]
}

func (g *generator) administration() []string {
	if g.chance(12) {
		return []string{g.pick("FLUSHDB", "FLUSHALL"), g.pick("SYNC", "ASYNC", "FOO", "")}
	}
	return [][]string{
		{g.pick("FLUSHDB", "FLUSHALL", "SAVE")},
		{"TIME"},
		{"LASTSAVE"},
		{"INFO"},
		{"INFO", g.pick("server", "clients", "replication", "nosuchsection")},
		{"COMMAND", "COUNT"},
		{"COMMAND", "INFO", g.pick(described...)},
		{"COMMAND", "INFO", g.pick("nosuchcommand", "")},
		{"COMMAND", "FOO"},
		{"CONFIG", "GET", g.pick("nosuchparameter", "maxclients")},
		{"CONFIG", "SET", "nosuchparameter", "1"},
		{"CONFIG", "FOO"},
		{"WAIT", "0", strconv.Itoa(g.IntN(2))},
		{"WAIT", g.pick("abc", "-1", "1"), g.pick("1", "abc", "-1")},
		{"ACL", "WHOAMI"},
	}[g.IntN(15)]
}

// described are commands whose place in COMMAND INFO is compared.
var described = []string{
	"get", "set", "SETEX", "mget", "mset", "msetnx", "del", "exists", "rename", "copy", "expire", "dump", "restore", "move",
	"pexpireat", "ttl", "scan", "keys", "multi", "exec", "watch", "ping", "hello", "incrbyfloat", "lcs", "getex",
	"object", "touch", "wait", "type", "bitop", "bitfield", "bitpos",
}

func (g *generator) unknown() []string {
	args := []string{g.pick("NOSUCH", "GETT", "", "get ", "\r\n", "SET\x00", "KV", "kv.", "XÄ")}
	for g.chance(2) {
		args = append(args, g.pick("a", "k1", "", "a\r\nb", "it's", "\x00\xff", g.value()))
	}
	return args
}
