package server

import "math"

// connectionCommands are about the connection.
var connectionCommands = []command{
	{name: "ping", arity: -1, class: anywhere, run: ping, always: subscribed | confined},
	{name: "echo", arity: 2, class: anywhere, run: func(c *call) { c.bulk(c.args[1]) }, always: confined},
	{name: "quit", arity: -1, class: onSession, run: quit, always: unauthenticated | subscribed | insideMulti},
	{name: "reset", arity: 1, class: onSession, run: reset, always: unauthenticated | subscribed | insideMulti},
	{name: "select", arity: 2, class: onSession, run: selectDatabase, always: confined},
	{name: "auth", arity: -2, class: onSession, run: auth, always: unauthenticated, connects: true},
	{name: "hello", arity: -1, class: onSession, run: hello, always: unauthenticated, connects: true},
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

// reset makes the connection what it was when it began.
func reset(c *call) {
	s := c.session
	s.dropQueue()
	s.unwatch()
	s.forgetMessages()
	s.muted, s.out.resp3 = loud, false
	s.readOnly, s.toldLeader = false, ""
	s.face.rename("")
	s.server.becomeStranger(s)
	c.simple("RESET")
}

// selectDatabase accepts the one database that there is.
func selectDatabase(c *call) {
	if problem := databaseProblem(c.args[1]); problem != "" {
		c.fail(problem)
		return
	}
	c.ok()
}

// databaseProblem returns why an argument isn't the number of the one database, an empty text where it is.
func databaseProblem(arg []byte) string {
	switch n, ok := parseInt(arg); {
	case !ok:
		return errNotInteger
	case n < math.MinInt32 || n > math.MaxInt32:
		return "ERR value is out of range, value must between -2147483648 and 2147483647"
	case n != 0:
		return errNoDatabase
	}
	return ""
}
