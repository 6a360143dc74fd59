package server

import (
	"bytes"
	"math"
	"strings"
	"time"
)

// configCommands are about the options that clients ask for.
var configCommands = []command{{name: "config", arity: -2, under: []command{
	{name: "config|get", arity: -3, class: anywhere, run: configGet, admin: true},
	{name: "config|set", arity: -4, class: onSession, run: configSet, admin: true},
	{name: "config|resetstat", arity: 2, class: anywhere, run: configResetStat, admin: true},
	{name: "config|rewrite", arity: 2, class: anywhere, run: configRewrite, admin: true},
	{name: "config|help", arity: 2, class: anywhere, always: confined, run: helpOf("config",
		"GET <pattern>", "    Return parameters matching the glob-like <pattern> and their values.",
		"SET <directive> <value>", "    Set the configuration <directive> to <value>.",
		"RESETSTAT", "    Reset statistics reported by the INFO command.",
		"REWRITE", "    Rewrite the configuration file.",
	)},
}}}

// setting is an option as CONFIG has it. Without set it can't be changed.
type setting struct {
	name string
	get  func(s *Server) string
	set  func(s *Server, value int64)
	unit func(text []byte) (value int64, problem string)
}

// settings are in the order in which CONFIG GET lists them.
var settings = []setting{
	{
		name: "maxmemory", unit: bytesUnit, get: func(s *Server) string { return number(s.memory.limit.Load()) },
		set: func(s *Server, n int64) { s.memory.limit.Store(n) },
	},
	{name: "maxmemory-policy", get: always("noeviction")},
	{
		name: "maxclients", unit: between(1, math.MaxUint32), get: func(s *Server) string { return number(s.maxClients.Load()) },
		set: func(s *Server, n int64) { s.maxClients.Store(n) },
	},
	{
		name: "timeout", unit: between(0, math.MaxInt32), // Seconds.
		get: func(s *Server) string { return number(s.idleTimeout.Load() / int64(time.Second)) },
		set: func(s *Server, n int64) { s.limitSilence(time.Duration(n) * time.Second) },
	},
	{
		name: "slowlog-log-slower-than", unit: between(-1, math.MaxInt64/1000), // Microseconds.
		get: func(s *Server) string { return number(max(-1, s.slow.threshold.Load()/int64(time.Microsecond))) },
		set: func(s *Server, n int64) { s.slow.threshold.Store(n * int64(time.Microsecond)) },
	},
	{
		name: "slowlog-max-len", unit: between(0, math.MaxInt32), get: func(s *Server) string { return number(s.slow.limit.Load()) },
		set: func(s *Server, n int64) { s.slow.limit.Store(n) },
	},
	{name: "databases", get: always("1")},
	{name: "save", get: always("")},
	{name: "appendonly", get: always("yes")},
	{name: "notify-keyspace-events", get: always("")},
	{name: "proto-max-bulk-len", get: always(number(requestMax))},
	{name: "cluster-enabled", get: func(s *Server) string { return yesIf(s.opts.Cluster != nil) }},
}

func always(text string) func(*Server) string { return func(*Server) string { return text } }

func yesIf(condition bool) string {
	if condition {
		return "yes"
	}
	return "no"
}

func number(n int64) string { return string(appendInt(nil, n)) }

// between returns what reads integers in a range.
func between(low, high int64) func(text []byte) (int64, string) {
	return func(text []byte) (int64, string) {
		n, ok := parseInt(text)
		switch {
		case !ok:
			return 0, "argument couldn't be parsed into an integer"
		case n < low || n > high:
			return 0, "argument must be between " + number(low) + " and " + number(high) + " inclusive"
		}
		return n, ""
	}
}

// bytesUnit reads a size, such as 100mb.
func bytesUnit(text []byte) (int64, string) {
	digits := bytes.TrimRight(text, "bgkmBGKM")
	unit, known := map[string]int64{
		"": 1, "b": 1, "k": 1e3, "kb": 1 << 10, "m": 1e6, "mb": 1 << 20, "g": 1e9, "gb": 1 << 30,
	}[strings.ToLower(string(text[len(digits):]))]
	n, ok := parseInt(digits)
	if !ok || !known || n < 0 || n > math.MaxInt64/unit {
		return 0, "argument must be a memory value"
	}
	return n * unit, ""
}

func configGet(c *call) {
	found := make(map[string]bool)
	for _, arg := range c.args[2:] {
		if !c.goesOn() {
			return
		}
		g := newGlob(bytes.ToLower(arg))
		if problem := g.problem(); problem != "" {
			c.fail(problem)
			return
		}
		for _, one := range settings {
			if g.names(one.name) {
				found[one.name] = true
			}
		}
	}
	c.pairs(len(found))
	for _, one := range settings {
		if found[one.name] {
			c.text(one.name)
			c.text(one.get(c.session.server))
		}
	}
}

// names reports whether the pattern is the name of an option or matches it. A backslash in one without special bytes is part of the name.
func (g *glob) names(option string) bool {
	if g.plain {
		return string(g.pattern) == option
	}
	return matchGlob(g.pattern, []byte(option))
}

// configSet changes options, all or none.
func configSet(c *call) {
	if len(c.args)%2 != 0 {
		c.fail(errSyntax)
		return
	}
	changes := make(map[string]func())
	for i := 2; i < len(c.args); i += 2 {
		name := strings.ToLower(string(c.args[i]))
		one := settingOf(name)
		if one == nil {
			c.fail("ERR Unknown option or number of arguments for CONFIG SET - '" + asText(c.args[i]) + "'")
			return
		}
		value, problem := one.parse(c.args[i+1])
		if changes[name] != nil {
			problem = "duplicate parameter"
		}
		if problem != "" {
			c.fail("ERR CONFIG SET failed (possibly related to argument '" + asText(c.args[i]) + "') - " + problem)
			return
		}
		changes[name] = func() { one.set(c.session.server, value) }
	}
	for _, change := range changes {
		change()
	}
	c.ok()
}

func settingOf(name string) *setting {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i]
		}
	}
	return nil
}

// parse returns the value that a text stands for, or why there is none.
func (s *setting) parse(text []byte) (value int64, problem string) {
	if s.set == nil {
		return 0, "can't set immutable config"
	}
	return s.unit(text)
}

func configResetStat(c *call) {
	c.session.server.resetCounters()
	c.ok()
}

func configRewrite(c *call) { c.fail("ERR The server is running without a config file") }
