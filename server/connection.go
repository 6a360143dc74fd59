package server

// connectionCommands are about the connection.
var connectionCommands = []command{
	{name: "ping", arity: -1, class: anywhere, run: ping, always: subscribed},
	{name: "echo", arity: 2, class: anywhere, run: func(c *call) { c.bulk(c.args[1]) }},
	{name: "quit", arity: -1, class: onSession, run: quit, always: unauthenticated | subscribed},
	{name: "select", arity: 2, class: onSession, run: selectDatabase},
}

func ping(c *call) {
	switch {
	case len(c.args) > 2:
		c.fail(wrongArity("ping"))
	case c.session.subscriptions() > 0 && !c.resp3:
		c.array(2)
		c.text("pong")
		if len(c.args) == 2 {
			c.bulk(c.args[1])
		} else {
			c.text("")
		}
	case len(c.args) == 2:
		c.bulk(c.args[1])
	default:
		c.simple("PONG")
	}
}

func quit(c *call) {
	c.ok()
	c.session.ending = true
}

// selectDatabase accepts the one database that there is.
func selectDatabase(c *call) {
	switch n, ok := parseInt(c.args[1]); {
	case !ok:
		c.fail(errNotInteger)
	case n != 0:
		c.fail(errNoDatabase)
	default:
		c.ok()
	}
}
