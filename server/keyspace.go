package server

import "github.com/walnutkv/walnut/kv"

// keyspaceCommands are about the store as a whole.
var keyspaceCommands = []command{
	{name: "dbsize", arity: 1, class: scanning, run: countAll},
	{name: "randomkey", arity: 1, class: scanning, run: randomKey},
	{name: "flushdb", arity: -1, class: writing, run: deleteAll},
	{name: "flushall", arity: -1, class: writing, run: deleteAll},
}

// countAll is DBSIZE. The store knows how many pairs there are as of its last commit; in a transaction that has
// written, or that sees an earlier one, they have to be counted.
func countAll(c *call) {
	if stats := c.session.server.store.Stats(); !c.tx.Writable() && stats.Visible == c.tx.Offset() {
		c.integer(int64(stats.Keys))
		return
	}
	count, err := c.tx.Count(kv.Range{})
	if err != nil {
		c.fail(failure(err))
		return
	}
	c.integer(int64(count))
}

// deleteAll is FLUSHDB and FLUSHALL: there is one database. ASYNC and SYNC are the same.
func deleteAll(c *call) {
	if len(c.args) > 2 || len(c.args) == 2 && !is(c.args[1], "ASYNC") && !is(c.args[1], "SYNC") {
		c.fail(errSyntax)
		return
	}
	if c.removeRange(nil, nil) {
		c.ok()
	}
}
