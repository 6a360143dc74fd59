package server

import (
	"fmt"
	"strings"
	"time"
)

// clientCommands are about one client, or all.
var clientCommands = []command{{name: "client", arity: -2, under: []command{
	{name: "client|id", arity: 2, class: anywhere, run: func(c *call) { c.integer(c.session.id) }, always: confined},
	{name: "client|getname", arity: 2, class: anywhere, run: clientName, always: confined},
	{name: "client|setname", arity: 3, class: onSession, run: clientRename, always: confined, connects: true},
	{name: "client|setinfo", arity: 4, class: onSession, run: clientLibrary, always: confined, connects: true},
	{name: "client|info", arity: 2, class: onSession, run: clientInfo, always: confined},
	{name: "client|list", arity: -2, class: onSession, run: clientList, admin: true},
	{name: "client|kill", arity: -3, class: onSession, run: clientKill, admin: true},
	{name: "client|reply", arity: 3, class: onSession, run: clientReply, always: confined, alone: true},
	{name: "client|no-evict", arity: 3, class: anywhere, run: onOrOff, always: confined},
	{name: "client|no-touch", arity: 3, class: anywhere, run: onOrOff, always: confined},
	{name: "client|help", arity: 2, class: anywhere, always: confined, run: helpOf("client",
		"GETNAME", "    Return the name of the current connection.",
		"ID", "    Return the ID of the current connection.",
		"INFO", "    Return information about the current client connection.",
		"KILL <ip:port>", "    Kill connection made from <ip:port>.",
		"KILL <option> <value> [<option> <value> [...]]", "    Kill connections. Options are ADDR, LADDR, TYPE, USER, ID and SKIPME.",
		"LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [<id> ...]]", "    Return information about client connections.",
		"NO-EVICT (ON|OFF)", "    Accepted; no client is evicted.",
		"NO-TOUCH (ON|OFF)", "    Accepted; no key is evicted.",
		"REPLY (ON|OFF|SKIP)", "    Control the replies sent to the current connection.",
		"SETINFO (LIB-NAME|LIB-VER) <value>", "    Name the library of the current connection.",
		"SETNAME <name>", "    Assign the name <name> to the current connection.",
	)},
}}}

// clientNameMax is how many bytes the name of a client, of its library and of that version may have. They are in each list of clients.
const clientNameMax = 1 << 10

// clientNames are what an error calls the names of clients.
const clientNames = "Client names"

// helpOf returns what answers the HELP of a command with subcommands.
func helpOf(name string, lines ...string) func(c *call) {
	return func(c *call) {
		c.array(len(lines) + 3)
		c.simple(strings.ToUpper(name) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
		for _, line := range lines {
			c.simple(line)
		}
		c.simple("HELP")
		c.simple("    Prints this help.")
	}
}

// isName reports whether a client may name itself so: the lists of clients are lines of words.
func isName(name []byte) bool {
	for _, c := range name {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}

// nameProblem returns why a client may not name something so, an empty text where it may.
func nameProblem(what string, name []byte) string {
	switch {
	case len(name) > clientNameMax:
		return fmt.Sprintf("ERR %s cannot have more than %d bytes.", what, clientNameMax)
	case !isName(name):
		return "ERR " + what + " cannot contain spaces, newlines or special characters."
	}
	return ""
}

func clientName(c *call) {
	if name := c.session.face.named(); name != "" {
		c.text(name)
	} else {
		c.null()
	}
}

func clientRename(c *call) {
	if problem := nameProblem(clientNames, c.args[2]); problem != "" {
		c.fail(problem)
		return
	}
	c.session.face.rename(string(c.args[2]))
	c.ok()
}

// clientLibrary notes which library a client has.
func clientLibrary(c *call) {
	f := &c.session.face
	field, name := &f.library, "lib-name"
	switch {
	case is(c.args[2], "lib-name"):
	case is(c.args[2], "lib-ver"):
		field, name = &f.libraryVersion, "lib-ver"
	default:
		c.fail("ERR Unrecognized option '" + asText(c.args[2]) + "'")
		return
	}
	if problem := nameProblem(name, c.args[3]); problem != "" {
		c.fail(problem)
		return
	}
	f.mu.Lock()
	*field = string(c.args[3])
	f.mu.Unlock()
	c.ok()
}

func clientInfo(c *call) {
	c.session.show(c.command)
	c.verbatim(c.session.line(time.Now()))
}

func clientList(c *call) {
	c.session.show(c.command)
	var wanted clientFilter
	switch args := c.args[2:]; {
	case len(args) == 0:
	case is(args[0], "type") && len(args) == 2:
		if !wanted.takeKind(c, args[1]) {
			return
		}
	case is(args[0], "id") && len(args) > 1:
		wanted.ids = make(map[int64]bool)
		for _, arg := range args[1:] {
			id, ok := parseInt(arg)
			if !ok {
				c.fail("ERR Invalid client ID")
				return
			}
			wanted.ids[id] = true
		}
	default:
		c.fail(errSyntax)
		return
	}
	var lines strings.Builder
	now := time.Now()
	for _, s := range c.session.server.each() {
		if wanted.matches(s) {
			lines.WriteString(s.line(now))
		}
	}
	c.verbatim(lines.String())
}

// clientFilter says which connections are meant. Nil fields, and an empty kind, mean all.
type clientFilter struct {
	ids    map[int64]bool
	kind   string
	user   *string
	remote *string
	local  *string
	skip   *session
}

// takeKind takes a kind of clients. Where it returns false, there is no such kind, and the reply is written.
func (f *clientFilter) takeKind(c *call, kind []byte) bool {
	switch f.kind = strings.ToLower(string(kind)); f.kind {
	case "normal", "master", "replica", "slave", "pubsub":
		return true
	}
	c.fail("ERR Unknown client type '" + asText(kind) + "'")
	return false
}

func (f *clientFilter) matches(s *session) bool {
	user := s.user.Load()
	switch {
	case f.ids != nil && !f.ids[s.id],
		f.kind == "normal" && s.face.isSubscribed(), f.kind == "pubsub" && !s.face.isSubscribed(),
		f.kind != "" && f.kind != "normal" && f.kind != "pubsub",
		f.user != nil && (user == nil || user.name != *f.user),
		f.remote != nil && s.remote() != *f.remote, f.local != nil && s.local() != *f.local, s == f.skip:
		return false
	}
	return true
}

// clientKill closes connections: the one with an address, or those that options describe.
func clientKill(c *call) {
	if len(c.args) == 3 {
		remote := string(c.args[2])
		if c.killAll(clientFilter{remote: &remote}) == 0 {
			c.fail("ERR No such client")
		} else {
			c.ok()
		}
		return
	}
	wanted := clientFilter{skip: c.session}
	for args := c.args[2:]; len(args) > 0; args = args[2:] {
		if len(args) == 1 {
			c.fail(errSyntax)
			return
		}
		if !c.takeKill(&wanted, args[0], args[1]) {
			return
		}
	}
	c.integer(int64(c.killAll(wanted)))
}

// takeKill takes an option of CLIENT KILL. Where it returns false the reply is written.
func (c *call) takeKill(wanted *clientFilter, option, value []byte) bool {
	text := string(value)
	switch {
	case is(option, "id"):
		id, ok := parseInt(value)
		if !ok || id <= 0 {
			c.fail("ERR client-id should be greater than 0")
			return false
		}
		wanted.ids = map[int64]bool{id: true}
	case is(option, "type"):
		return wanted.takeKind(c, value)
	case is(option, "addr"):
		wanted.remote = &text
	case is(option, "laddr"):
		wanted.local = &text
	case is(option, "user"):
		if c.session.server.currentUsers().byName[text] == nil {
			c.fail("ERR No such user '" + asText(value) + "'")
			return false
		}
		wanted.user = &text
	case is(option, "skipme") && is(value, "yes"):
		wanted.skip = c.session
	case is(option, "skipme") && is(value, "no"):
		wanted.skip = nil
	default:
		c.fail(errSyntax)
		return false
	}
	return true
}

// killAll closes connections, the own one once it has its reply, and returns how many.
func (c *call) killAll(wanted clientFilter) (count int) {
	for _, s := range c.session.server.each() {
		switch {
		case !wanted.matches(s):
			continue
		case s == c.session:
			s.ending = true
			count++
		case s.kill():
			count++
		}
	}
	return count
}

// muted says which replies a client doesn't want.
type muted uint8

const (
	loud     muted = iota
	muteNext       // Not the one to the next command.
	muteThis       // Not the one to the command that runs.
	mute           // None.
)

func clientReply(c *call) {
	s := c.session
	switch {
	case is(c.args[2], "on"):
		s.muted = loud
		c.ok()
	case is(c.args[2], "off"):
		s.muted = mute
	case is(c.args[2], "skip"):
		if s.muted != mute {
			s.muted = muteNext
		}
	default:
		c.fail(errSyntax)
	}
}

// onOrOff accepts what has no effect here.
func onOrOff(c *call) {
	if is(c.args[2], "on") || is(c.args[2], "off") {
		c.ok()
	} else {
		c.fail(errSyntax)
	}
}
