package server

import (
	"maps"
	"slices"
	"strings"
)

// aclCommands are about the users.
var aclCommands = []command{{name: "acl", arity: -2, under: []command{
	{name: "acl|whoami", arity: 2, class: onSession, run: aclWhoAmI, always: confined},
	{name: "acl|list", arity: 2, class: anywhere, run: aclList, admin: true},
	{name: "acl|users", arity: 2, class: anywhere, run: aclUsers, admin: true},
	{name: "acl|getuser", arity: 3, class: anywhere, run: aclUser, admin: true},
	{name: "acl|cat", arity: -2, class: anywhere, run: aclCategories, always: confined},
	{name: "acl|help", arity: 2, class: anywhere, always: confined, run: helpOf("acl",
		"CAT [<category>]", "    List all commands that belong to <category>, or all command categories",
		"    when no category is specified.",
		"GETUSER <username>", "    Get the user's details.",
		"LIST", "    Show users details in config file format.",
		"USERS", "    List all the registered usernames.",
		"WHOAMI", "    Return the current connection username.",
	)},
}}}

func aclWhoAmI(c *call) { c.text(c.user().name) }

func aclList(c *call) {
	all := c.session.server.currentUsers().sorted()
	c.array(len(all))
	for _, one := range all {
		c.text(one.String())
	}
}

func aclUsers(c *call) {
	all := c.session.server.currentUsers().sorted()
	c.array(len(all))
	for _, one := range all {
		c.text(one.name)
	}
}

func aclUser(c *call) {
	u := c.session.server.currentUsers().byName[string(c.args[2])]
	if u == nil {
		c.null()
		return
	}
	flags := []string{"off"}
	if u.enabled {
		flags[0] = "on"
	}
	if u.nopass {
		flags = append(flags, "nopass")
	}
	channels := ""
	if u.allKeys {
		channels = "&*"
	}
	c.pairs(6)
	c.text("flags")
	c.set(len(flags))
	for _, flag := range flags {
		c.text(flag)
	}
	c.text("passwords")
	c.array(len(u.passwords))
	for _, hash := range u.passwords {
		c.text(hash)
	}
	c.text("commands")
	c.text(u.commandRules())
	c.text("keys")
	c.text(strings.Join(u.keyPatterns(), " "))
	c.text("channels")
	c.text(channels)
	c.text("selectors")
	c.array(0)
}

// aclCategories lists the kinds of commands, or the commands of one.
func aclCategories(c *call) {
	members := make(map[string][]string)
	for _, one := range c.session.server.commands.all() {
		for _, category := range one.categories("") {
			members[category] = append(members[category], one.name)
		}
	}
	names := slices.Sorted(maps.Keys(members))
	switch {
	case len(c.args) > 3:
		c.fail("ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.")
		return
	case len(c.args) == 3:
		names = members[strings.ToLower(string(c.args[2]))]
		if names == nil {
			c.fail("ERR Unknown category '" + asText(c.args[2]) + "'")
			return
		}
	}
	c.array(len(names))
	for _, name := range names {
		c.text(name)
	}
}
