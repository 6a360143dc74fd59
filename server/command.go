package server

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// class says where a command runs.
type class uint8

const (
	// onSession commands need no transaction. They run by themselves, between groups.
	onSession class = iota
	// anywhere commands need no transaction either, and change nothing, so that a group goes on through them.
	anywhere
	// reading commands are quick, and read in the transaction of their group.
	reading
	// scanning commands may take long. They read in a view, since all writers would wait for them in an Update.
	scanning
	// writing commands read and write in the Update of their group.
	writing
)

// command is what the server does for a name. Its function writes exactly one reply, unless it says otherwise.
type command struct {
	name   string // In lower case. That of a subcommand follows its command's: client|id.
	arity  int    // How many arguments, the name included; at least that many where it is negative.
	class  class
	run    func(c *call)
	keys   keyPlaces
	always permission // What it may run in spite of.
	bounds bool       // Its two keys are those that a range begins at and ends before.
	grows  bool       // It may need memory, so that it is refused where the store has all that it may have.
	// blind reports whether a writing command with these arguments reads nothing, so that neither what it writes nor its reply depends on
	// what is there. It then writes by put alone. Nil is never.
	blind func(args [][]byte) bool
	admin bool // It is about the server or other clients, so that it is for users without limits.
	alone bool // It can't be part of a transaction.
	// connects says that it changes what the connection is. In a replicated store it can't be part of a transaction, which another node may
	// run, over another connection.
	connects bool
	// within says that it shows the state of the transaction which it is in, so that it runs on the node where that does.
	within bool
	under  []command // Its subcommands. Without one of them, run runs.

	family family       // These are newCommandTable's.
	subs   commandTable // under.
	calls  *atomic.Uint64
}

// family is a kind of commands, as Redis names it for ACL CAT.
type family string

// permission is a set of states in which most commands are refused.
type permission uint8

const (
	unauthenticated permission = 1 << iota // Before AUTH.
	subscribed                             // While a RESP2 client is subscribed.
	insideMulti                            // It runs at once inside MULTI, rather than with EXEC.
	confined                               // For a user of some keys only, although no argument is a key: it shows no other keys.
)

// keyPlaces says which arguments are keys, as COMMAND does: first to last, every step; none where first is 0. A negative last counts from
// the end.
type keyPlaces struct{ first, last, step int }

var (
	noKeys  = keyPlaces{}
	oneKey  = keyPlaces{1, 1, 1}
	twoKeys = keyPlaces{1, 2, 1}
	allKeys = keyPlaces{1, -1, 1}
)

// of returns the keys among a command's arguments.
func (p keyPlaces) of(args [][]byte) (keys [][]byte) {
	if p.first == 0 {
		return nil
	}
	last := p.last
	if last < 0 {
		last += len(args)
	}
	for i := p.first; i <= last && i < len(args); i += p.step {
		keys = append(keys, args[i])
	}
	return keys
}

// takes reports whether a command can have that many arguments.
func (c *command) takes(count int) bool {
	return count == c.arity || c.arity < 0 && count >= -c.arity
}

// commandTable has every command by its name in lower case. It doesn't change.
type commandTable map[string]*command

func newCommandTable() commandTable {
	table := make(commandTable)
	table.add("connection", connectionCommands, clientCommands, commandCommands)
	table.add("transaction", transactionCommands)
	table.add("string", stringCommands, setCommands, rangeCommands, counterCommands, lcsCommands)
	table.add("bitmap", bitCommands)
	table.add("generic", keyCommands, keyspaceCommands, scanCommands, objectCommands, expiryCommands, dumpCommands)
	table.add("pubsub", pubsubCommands)
	table.add("kv", orderedCommands, nativeCommands, commitCommands)
	table.add("", serverCommands, configCommands, aclCommands, clusteringCommands)
	return table
}

// add adds copies of the commands of a family, with their subcommands.
func (t commandTable) add(of family, tables ...[]command) {
	for _, one := range slices.Concat(tables...) {
		one.family, one.calls = of, new(atomic.Uint64)
		if one.under != nil {
			one.subs = make(commandTable, len(one.under))
			one.subs.add(of, one.under)
		}
		_, key, isSub := strings.Cut(one.name, "|")
		if !isSub {
			key = one.name
		}
		t[key] = &one
	}
}

// all returns the commands in the order of their names, each before its subcommands.
func (t commandTable) all() (list []*command) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		list = append(list, t[name])
		list = append(list, t[name].subs.all()...)
	}
	return list
}

// named returns the command with a name such as get or client|id in any case, nil where there is none.
func (t commandTable) named(name []byte) *command {
	first, second, isSub := bytes.Cut(name, []byte{'|'})
	found := t.find(first)
	if found == nil || !isSub {
		return found
	}
	return found.subs.find(second)
}

// nameMax is more bytes than any command's name has.
const nameMax = 32

// find returns the command of a name in any case, nil where there is none.
func (t commandTable) find(name []byte) *command {
	var lower [nameMax]byte
	if len(name) > nameMax {
		return nil
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return t[string(lower[:len(name)])]
}

// is reports whether an argument is a word, in any case.
func is(arg []byte, word string) bool {
	return len(arg) == len(word) && strings.EqualFold(string(arg), word)
}
