package differential

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// step is one command of a stream, on one of a session's connections.
type step struct {
	conn  int
	args  []string
	flush bool // The replies are read before the next command is sent.
	whole bool // A SCAN that goes on until its cursor is 0.
}

// String shows the step so that it can be pasted into redis-cli.
func (s step) String() string {
	quoted := make([]string, len(s.args))
	for i, arg := range s.args {
		if quoted[i] = arg; arg == "" || strconv.Quote(arg) != `"`+arg+`"` || strings.ContainsAny(arg, " '") {
			quoted[i] = strconv.Quote(arg)
		}
		if len(quoted[i]) > 80 {
			quoted[i] = fmt.Sprintf("%s… (%d bytes)", quoted[i][:80], len(arg))
		}
	}
	return fmt.Sprintf("%d> %s", s.conn, strings.Join(quoted, " "))
}

// connections of a session: with two, what one of them watches the other one changes.
const connections = 2

// generator makes a stream. It knows which connections are between MULTI and EXEC, so that most transactions end soon.
type generator struct {
	*rand.Rand
	multi [connections]bool
}

// generate makes a stream of some commands.
func generate(seed uint64, commands int) []step {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 17))}
	var steps []step
	for conn := range connections {
		if g.chance(2) {
			steps = append(steps, step{conn: conn, args: []string{"HELLO", "3"}})
		}
	}
	conn := 0
	for len(steps) < commands {
		if g.chance(12) {
			conn = g.IntN(connections)
		}
		steps = append(steps, g.steps(conn)...)
	}
	return steps
}

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g *generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

// steps makes the next commands of a connection: one, or a few that belong together.
func (g *generator) steps(conn int) []step {
	if g.multi[conn] && g.chance(5) {
		g.multi[conn] = false
		return []step{{conn: conn, args: []string{g.pick("EXEC", "EXEC", "EXEC", "exec", "DISCARD")}, flush: true}}
	}
	for {
		made := g.command(conn)
		if g.chance(16) {
			made.args = g.spoil(made.args)
			made.whole = made.whole && len(made.args) > 1 && made.args[1] == "0"
		}
		made.args[0] = g.anyCase(made.args[0])
		if !expiresSoon(made.args) && !expiresLate(made.args) && !waits(made.args) && !fillsOddKey(made.args) {
			return g.around(made)
		}
	}
}

// around returns a step with those that it needs before it, and remembers what it does to its connection.
func (g *generator) around(made step) []step {
	made.flush = made.flush || g.chance(6)
	switch strings.ToUpper(made.args[0]) {
	case "MULTI":
		g.multi[made.conn] = true
	case "EXEC", "DISCARD", "RESET", "QUIT":
		g.multi[made.conn] = false
		made.flush = true
	case "DBSIZE": // Redis counts pairs that have expired until something looks at them, or its timer does.
		return []step{{conn: made.conn, args: []string{"SCAN", "0", "COUNT", "1000"}}, made}
	}
	return []step{made}
}

// spoil makes a command wrong, or at least unusual.
func (g *generator) spoil(args []string) []string {
	args = append([]string(nil), args...)
	at := g.IntN(len(args))
	switch g.IntN(6) {
	case 0:
		return args[:len(args)-min(1, len(args)-1)]
	case 1:
		return append(args, g.pick("", "NX", "GET", "FOO", "1", "k1", "\r\n"))
	case 2:
		if at > 0 {
			args[at] = g.strange()
		}
	case 3:
		if at > 0 {
			args[at] = g.anyCase(args[at])
		}
	case 4:
		if at > 1 {
			args[at-1], args[at] = args[at], args[at-1]
		}
	case 5:
		args = append(args, args[at:]...)
	}
	return args
}

// anyCase returns a word as it is, mostly, or in another case.
func (g *generator) anyCase(word string) string {
	switch g.IntN(8) {
	case 0:
		return strings.ToLower(word)
	case 1:
		return strings.ToUpper(word)
	case 2:
		if word != "" {
			return strings.ToUpper(word[:1]) + strings.ToLower(word[1:])
		}
	}
	return word
}

// soon is the time in seconds within which nothing may expire: otherwise a stream would depend on how fast it runs.
const soon = 50_000

// late is the time in seconds from which on no deadline may lie: the last one that Walnut can hold is in the year 2262,
// at 9,223,372,036 seconds since 1970, and later ones become it. So they are no deadlines that differ.
const late = 7_000_000_000

// expiresSoon reports whether a command may give a pair a deadline that passes while the stream runs. Deadlines lie in
// the past, or far in the future.
func expiresSoon(args []string) bool {
	for _, d := range deadlines(args) {
		if !d.absolute && isBetween(d.number, 1, soon*d.second) {
			return true
		}
	}
	return false
}

// expiresLate reports whether a command may give a pair a deadline that is too late for Walnut, but not for Redis: it
// refuses one that has more than 63 bits as milliseconds since 1970.
func expiresLate(args []string) bool {
	for _, d := range deadlines(args) {
		last := math.MaxInt64 / 1000 * d.second
		if d.second == 1000 {
			last = math.MaxInt64
		}
		if !d.absolute {
			last -= 1_000_000_000 * d.second
		}
		if isBetween(d.number, late*d.second, last) {
			return true
		}
	}
	return false
}

// deadline is a number in a command that may be one.
type deadline struct {
	number   string
	second   int64 // How much of it a second is.
	absolute bool  // Since 1970.
}

// deadlines returns the numbers in a command that may be deadlines.
func deadlines(args []string) (found []deadline) {
	if len(args) < 3 {
		return nil
	}
	switch strings.ToUpper(args[0]) {
	case "EXPIRE", "SETEX":
		return []deadline{{args[2], 1, false}}
	case "PEXPIRE", "PSETEX":
		return []deadline{{args[2], 1000, false}}
	case "EXPIREAT":
		return []deadline{{args[2], 1, true}}
	case "PEXPIREAT":
		return []deadline{{args[2], 1000, true}}
	case "RESTORE":
		absolute := func(arg string) bool { return strings.EqualFold(arg, "ABSTTL") }
		return []deadline{{args[2], 1000, slices.ContainsFunc(args, absolute)}}
	}
	for i, arg := range args[2:] {
		switch strings.ToUpper(args[i+1]) {
		case "EX":
			found = append(found, deadline{arg, 1, false})
		case "PX":
			found = append(found, deadline{arg, 1000, false})
		case "EXAT":
			found = append(found, deadline{arg, 1, true})
		case "PXAT":
			found = append(found, deadline{arg, 1000, true})
		}
	}
	return found
}

// waits reports whether a command is a WAIT that lasts: for a replica, which there isn't, for longer than a moment.
func waits(args []string) bool {
	return len(args) == 3 && strings.EqualFold(args[0], "WAIT") &&
		isBetween(args[1], 1, math.MaxInt64) && isBetween(args[2], 0, math.MaxInt64) && !isBetween(args[2], 1, 10)
}

// written says which arguments are keys that a command gives a value. first is the first of them, every the distance to
// the next, 0 where there is one.
var written = map[string]struct{ first, every int }{
	"SET": {1, 0}, "SETNX": {1, 0}, "SETEX": {1, 0}, "PSETEX": {1, 0}, "GETSET": {1, 0}, "APPEND": {1, 0},
	"SETRANGE": {1, 0}, "INCR": {1, 0}, "DECR": {1, 0}, "INCRBY": {1, 0}, "DECRBY": {1, 0}, "INCRBYFLOAT": {1, 0},
	"MSET": {1, 2}, "MSETNX": {1, 2}, "RENAME": {2, 0}, "RENAMENX": {2, 0}, "COPY": {2, 0}, "SETBIT": {1, 0},
	"BITFIELD": {1, 0}, "BITOP": {2, 0}, "RESTORE": {1, 0},
}

// fillsOddKey reports whether a command gives a value to the empty key, or to one of over 64 KiB. Walnut refuses that,
// so that the servers would hold different pairs from then on. All other commands may have such keys, which no server
// holds then.
func fillsOddKey(args []string) bool {
	places := written[strings.ToUpper(args[0])]
	if places.first == 0 {
		return false
	}
	for i := places.first; i < len(args); i += places.every {
		if args[i] == "" || len(args[i]) > 64<<10 {
			return true
		}
		if places.every == 0 {
			break
		}
	}
	return false
}

func isBetween(number string, low, high int64) bool {
	n, err := strconv.ParseInt(number, 10, 64)
	return err == nil && low <= n && n <= high
}
