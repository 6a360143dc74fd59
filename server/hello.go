package server

// What the server is for clients. They look at the version, which is that of the Redis whose commands these are.
const (
	serverName   = "walnut"
	redisVersion = "7.0.15"
)

const (
	errWrongPassword = "WRONGPASS invalid username-password pair or user is disabled."
	errNotKnown      = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> " +
		"option can be used to authenticate the client and select the RESP protocol version at the same time"
)

func auth(c *call) {
	name, password := defaultUser, c.args[1]
	switch {
	case len(c.args) > 3:
		c.fail(errSyntax)
		return
	case len(c.args) == 3:
		name, password = string(c.args[1]), c.args[2]
	case c.session.server.currentUsers().stranger() != nil:
		c.fail("ERR AUTH <password> called without any password configured for the default user. " +
			"Are you sure your configuration is correct?")
		return
	}
	if !c.session.server.authenticate(c.session, name, password) {
		c.fail(errWrongPassword)
		return
	}
	c.ok()
}

// hello says what the server is, and changes what the connection is: its protocol, its user, its name.
func hello(c *call) {
	s := c.session
	resp3 := c.resp3
	if len(c.args) > 1 {
		version, ok := parseInt(c.args[1])
		switch {
		case !ok:
			c.fail("ERR Protocol version is not an integer or out of range")
			return
		case version != 2 && version != 3:
			c.fail("NOPROTO unsupported protocol version")
			return
		}
		resp3 = version == 3
	}
	if problem := s.takeHello(c.args[min(len(c.args), 2):]); problem != "" {
		c.fail(problem)
		return
	}
	if s.user.Load() == nil {
		c.fail(errNotKnown)
		return
	}
	if c.resp3 != resp3 {
		c.resp3 = resp3
		s.settleMessages() // What is pending is in the old protocol, so it must come before the reply.
	}
	c.greet()
}

// takeHello takes the options of HELLO one after another. It returns the error of the first that isn't right: those before
// it have had their effect, as in Redis.
func (s *session) takeHello(args [][]byte) (problem string) {
	for len(args) > 0 {
		switch {
		case is(args[0], "auth") && len(args) >= 3:
			if !s.server.authenticate(s, string(args[1]), args[2]) {
				return errWrongPassword
			}
			args = args[3:]
		case is(args[0], "setname") && len(args) >= 2:
			if problem := nameProblem(clientNames, args[1]); problem != "" {
				return problem
			}
			s.face.rename(string(args[1]))
			args = args[2:]
		default:
			return "ERR Syntax error in HELLO option '" + asText(args[0]) + "'"
		}
	}
	return ""
}

// mode is whether the server is one of several.
func (s *Server) mode() string {
	if s.opts.Cluster != nil {
		return "cluster"
	}
	return "standalone"
}

// role is what the server is to others.
func (s *Server) role() string {
	if s.opts.Cluster != nil && s.opts.Cluster.Term() == 0 {
		return "replica"
	}
	return "master"
}

// greet says what the server is.
func (c *call) greet() {
	protocol := int64(2)
	if c.resp3 {
		protocol = 3
	}
	c.pairs(7)
	c.text("server")
	c.text(serverName)
	c.text("version")
	c.text(redisVersion)
	c.text("proto")
	c.integer(protocol)
	c.text("id")
	c.integer(c.session.id)
	c.text("mode")
	c.text(c.session.server.mode())
	c.text("role")
	c.text(c.session.server.role())
	c.text("modules")
	c.array(0)
}
