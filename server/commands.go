package server

import (
	"slices"
	"strings"
)

// commandCommands describe the commands.
var commandCommands = []command{{name: "command", arity: -1, class: anywhere, run: commandAll, always: confined, under: []command{
	{name: "command|count", arity: 2, class: anywhere, run: commandCount, always: confined},
	{name: "command|info", arity: -2, class: anywhere, run: commandInfo, always: confined},
	{name: "command|docs", arity: -2, class: anywhere, run: commandDocs, always: confined},
	{name: "command|list", arity: -2, class: anywhere, run: commandList, always: confined},
	{name: "command|getkeys", arity: -4, class: anywhere, run: commandKeys, always: confined},
	{name: "command|help", arity: 2, class: anywhere, always: confined, run: helpOf("command",
		"(no subcommand)", "    Return details about all commands.",
		"COUNT", "    Return the total number of commands in this server.",
		"LIST", "    Return a list of all commands in this server.",
		"INFO [<command-name> ...]", "    Return details about multiple commands.",
		"DOCS [<command-name> ...]", "    Return documentation details about multiple commands.",
		"GETKEYS <full-command>", "    Return the keys from a full command.",
	)},
}}}

func commandCount(c *call) { c.integer(int64(len(c.session.server.commands))) }

// top returns the commands that aren't subcommands, in the order of their names.
func (t commandTable) top() []*command {
	return slices.DeleteFunc(t.all(), func(c *command) bool { return strings.Contains(c.name, "|") })
}

func commandAll(c *call) {
	all := c.session.server.commands.top()
	c.array(len(all))
	for _, one := range all {
		c.describe(one)
	}
}

func commandInfo(c *call) {
	if len(c.args) == 2 {
		commandAll(c)
		return
	}
	c.array(len(c.args) - 2)
	for _, name := range c.args[2:] {
		found := c.session.server.commands.named(name)
		switch {
		case c.full:
			return // A name of a few bytes has a long description.
		case found != nil:
			c.describe(found)
		default:
			c.null()
		}
	}
}

// describe writes what COMMAND says of one.
func (c *call) describe(one *command) {
	keys := one.keys
	c.array(10)
	c.text(one.name)
	c.integer(int64(one.arity))
	c.words(one.flags())
	c.integer(int64(keys.first))
	c.integer(int64(keys.last))
	c.integer(int64(keys.step))
	c.words(one.categories("@"))
	c.set(0) // Hints of where to send it in a cluster.
	c.set(0) // Where keys are that aren't described above.
	subs := one.subs.all()
	c.set(len(subs))
	for _, sub := range subs {
		c.describe(sub)
	}
}

// words writes a set of words.
func (c *call) words(words []string) {
	c.set(len(words))
	for _, word := range words {
		c.simple(word)
	}
}

// flags say what a command does, as Redis words it.
func (c *command) flags() (words []string) {
	for _, one := range []struct {
		holds bool
		word  string
	}{
		{c.class == writing, "write"},
		{c.class == reading || c.class == scanning, "readonly"},
		{c.grows, "denyoom"},
		{c.admin, "admin"},
		{c.family == "pubsub", "pubsub"},
		{c.always&unauthenticated != 0, "no_auth"},
		{c.alone, "no_multi"},
	} {
		if one.holds {
			words = append(words, one.word)
		}
	}
	return words
}

// categories returns the kinds of a command that ACL CAT knows, each after a sign.
func (c *command) categories(sign string) (words []string) {
	for _, one := range []struct {
		holds bool
		word  string
	}{
		{c.class == writing, "write"},
		{c.class == reading || c.class == scanning, "read"},
		{c.family != "", string(c.family)},
		{c.admin, "admin"},
		{c.admin, "dangerous"},
	} {
		if one.holds {
			words = append(words, sign+one.word)
		}
	}
	return words
}

// commandDocs says to which group commands belong. There are no other documents here.
func commandDocs(c *call) {
	found := c.session.server.commands.top()
	if len(c.args) > 2 {
		found = nil
		for _, name := range c.args[2:] {
			if one := c.session.server.commands.named(name); one != nil {
				found = append(found, one)
			}
		}
	}
	c.pairs(len(found))
	for _, one := range found {
		group := string(one.family)
		switch group {
		case "":
			group = "server"
		case "keyspace":
			group = "generic"
		case "transaction":
			group = "transactions"
		}
		c.text(one.name)
		c.pairs(1)
		c.text("group")
		c.text(group)
	}
}

func commandList(c *call) {
	wanted := func(*command) bool { return true }
	switch {
	case len(c.args) == 2:
	case len(c.args) != 5 || !is(c.args[2], "filterby"):
		c.fail(errSyntax)
		return
	default:
		value := strings.ToLower(string(c.args[4]))
		switch {
		case is(c.args[3], "pattern"):
			g := newGlob([]byte(value))
			if problem := g.problem(); problem != "" {
				c.fail(problem)
				return
			}
			wanted = func(one *command) bool { return matchGlob(g.pattern, []byte(one.name)) }
		case is(c.args[3], "aclcat"):
			wanted = func(one *command) bool { return slices.Contains(one.categories(""), value) }
		case is(c.args[3], "module"):
			wanted = func(*command) bool { return false }
		default:
			c.fail(errSyntax)
			return
		}
	}
	found := slices.DeleteFunc(c.session.server.commands.all(), func(one *command) bool { return !wanted(one) })
	c.array(len(found))
	for _, one := range found {
		c.text(one.name)
	}
}

func commandKeys(c *call) {
	found, problem := c.session.server.commands.lookup(c.args[2:])
	switch {
	case found == nil && c.session.server.commands.find(c.args[2]) != nil:
		if strings.HasPrefix(problem, "ERR wrong number") {
			problem = "ERR Invalid number of arguments specified for command"
		} else {
			problem = "ERR Invalid command specified"
		}
		c.fail(problem)
		return
	case found == nil:
		c.fail("ERR Invalid command specified")
		return
	}
	keys := found.keys.of(c.args[2:])
	if len(keys) == 0 {
		c.fail("ERR The command has no key arguments")
		return
	}
	c.array(len(keys))
	for _, key := range keys {
		c.bulk(key)
	}
}
