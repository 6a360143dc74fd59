package server

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// slowLogDefault is how many entries the slow log keeps, unless it is changed.
const slowLogDefault = 128

// Limits of an entry, which are Redis'.
const (
	slowArguments = 32
	slowArgument  = 128 // Bytes.
)

// slowLog has the commands that took long, the newest ones.
type slowLog struct {
	threshold atomic.Int64 // Nanoseconds; negative for an empty log.
	limit     atomic.Int64

	mu      sync.Mutex
	entries []slowEntry // The newest is the last.
	lastID  int64
}

type slowEntry struct {
	id   int64
	at   time.Time
	took time.Duration
	args []string
	from string
	name string
}

// note keeps an entry of commands that ran together, if they took long: that of the first which writes, or the first one.
func (l *slowLog) note(s *session, group []request, at time.Time, took time.Duration) {
	threshold := l.threshold.Load()
	if threshold < 0 || int64(took) < threshold || l.limit.Load() == 0 {
		return
	}
	shown := &group[0]
	for i := range group {
		if group[i].class() == writing {
			shown = &group[i]
			break
		}
	}
	s.server.counters().slow.Add(uint64(len(group)))
	args := shown.shown()
	if len(group) > 1 {
		args = append(args, fmt.Sprintf("... (with %d more commands)", len(group)-1))
	}
	l.add(slowEntry{at: at, took: took, args: args, from: s.remote(), name: s.face.named()})
}

func (l *slowLog) add(entry slowEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.id = l.lastID
	l.lastID++
	l.entries = append(l.entries, entry)
	if more := len(l.entries) - int(l.limit.Load()); more > 0 {
		l.entries = append([]slowEntry{}, l.entries[more:]...)
	}
}

// shown returns a request's arguments as the slow log has them: cut, and without passwords. Those of one that was refused may have some, too.
func (r *request) shown() (args []string) {
	secret := r.command == nil || r.command.always&unauthenticated != 0
	for i, arg := range r.args {
		switch {
		case i == slowArguments-1 && len(r.args) > slowArguments:
			return append(args, fmt.Sprintf("... (%d more arguments)", len(r.args)-i))
		case secret && i > 0:
			args = append(args, "(redacted)")
		case len(arg) > slowArgument:
			args = append(args, fmt.Sprintf("%s... (%d more bytes)", arg[:slowArgument], len(arg)-slowArgument))
		default:
			args = append(args, string(arg))
		}
	}
	return args
}

// newest returns the newest entries, the last one first; all of them where there are to be -1.
func (l *slowLog) newest(count int64) (entries []slowEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if count < 0 {
		count = int64(len(l.entries))
	}
	for i := len(l.entries) - 1; i >= 0 && count > 0; i, count = i-1, count-1 {
		entries = append(entries, l.entries[i])
	}
	return entries
}

func (l *slowLog) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

func (l *slowLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// slowLogCommand is about the slow log.
var slowLogCommand = command{name: "slowlog", arity: -2, under: []command{
	{name: "slowlog|get", arity: -2, class: anywhere, run: slowLogGet, admin: true},
	{name: "slowlog|len", arity: 2, class: anywhere, run: slowLogLength, admin: true},
	{name: "slowlog|reset", arity: 2, class: anywhere, run: slowLogReset, admin: true},
	{name: "slowlog|help", arity: 2, class: anywhere, always: confined, run: helpOf("slowlog",
		"GET [<count>]", "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:", "    id, timestamp, time in microseconds, arguments array, client IP and port,", "    client name",
		"LEN", "    Return the length of the slowlog.",
		"RESET", "    Reset the slowlog.",
	)},
}}

func slowLogGet(c *call) {
	count, ok := int64(10), true
	switch {
	case len(c.args) > 3:
		c.fail("ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.")
		return
	case len(c.args) == 3:
		count, ok = parseInt(c.args[2])
	}
	if !ok || count < -1 {
		c.fail("ERR count should be greater than or equal to -1")
		return
	}
	entries := c.session.server.slow.newest(count)
	c.array(len(entries))
	for _, e := range entries {
		c.array(6)
		c.integer(e.id)
		c.integer(e.at.Unix())
		c.integer(e.took.Microseconds())
		c.array(len(e.args))
		for _, arg := range e.args {
			c.text(arg)
		}
		c.text(e.from)
		c.text(e.name)
	}
}

func slowLogLength(c *call) { c.integer(int64(c.session.server.slow.length())) }

func slowLogReset(c *call) {
	c.session.server.slow.clear()
	c.ok()
}
