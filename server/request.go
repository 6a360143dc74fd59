package server

import (
	"bytes"
	"fmt"
	"strings"
)

// request is a command that has arrived.
type request struct {
	args    [][]byte
	command *command // Nil before resolve, and where the request can't run.
	problem string   // Why it can't.
	block   int      // Of a MULTI: how many requests it has up to its EXEC, if they run as a part of a group.
}

// size returns how many bytes its arguments have.
func (r *request) size() (bytes int) {
	for _, arg := range r.args {
		bytes += len(arg)
	}
	return bytes
}

// About what a request takes in memory besides the bytes of its arguments.
const (
	requestOverhead  = 64
	argumentOverhead = 40
)

// held returns about how many bytes of memory it takes where it is kept.
func (r *request) held() int { return requestOverhead + argumentOverhead*len(r.args) + r.size() }

// class is where the request runs: one that can't run only has its error written.
func (r *request) class() class {
	if r.command == nil {
		return anywhere
	}
	return r.command.class
}

// blind reports whether the request writes without reading.
func (r *request) blind() bool {
	return r.command != nil && r.command.blind != nil && r.command.blind(r.args)
}

// blindly makes a command blind whatever its arguments are.
func blindly([][]byte) bool { return true }

// resolve finds a request's command, and whether it may run as the session is now. It is called again for a request that waits for those
// before it, which may have taken much memory.
func (s *session) resolve(r *request) {
	switch {
	case r.problem != "":
		return
	case r.command != nil:
		if r.command.grows && s.server.memory.full() {
			r.command, r.problem = nil, errOutOfMemory
		}
		return
	}
	found, problem := s.server.commands.lookup(r.args)
	if s.guest && is(r.args[0], forwardName) {
		found, problem = &forwardCommand, ""
	}
	if problem == "" {
		problem = s.objection(found, r.args)
	}
	switch {
	case problem == "":
		r.command = found
	case is(r.args[0], "exec"):
		r.command = s.server.commands.aborted(problem)
	case isWeb(r.args[0]):
		r.command = s.server.webCommand
	default:
		r.problem = problem
	}
}

// lookup returns the command of a request, or why there is none.
func (t commandTable) lookup(args [][]byte) (found *command, problem string) {
	found = t.find(args[0])
	if found == nil {
		return nil, unknownCommand(args)
	}
	if found.subs != nil && len(args) > 1 {
		within := found
		if found = within.subs.find(args[1]); found == nil {
			return nil, unknownSubcommand(within.name, args[1])
		}
	}
	if !found.takes(len(args)) {
		return nil, wrongArity(found.name)
	}
	return found, ""
}

// objection returns why a command may not run as the session is now, an empty text where it may.
func (s *session) objection(c *command, args [][]byte) string {
	user := s.user.Load()
	switch {
	case user == nil && c.always&unauthenticated == 0:
		return "NOAUTH Authentication required."
	case user != nil && !user.unlimited():
		if problem := user.objection(c, args); problem != "" {
			return problem
		}
	}
	switch {
	case c.grows && s.server.memory.full():
		return errOutOfMemory
	case s.queue != nil && (c.alone || c.connects && s.server.opts.Cluster != nil):
		return "ERR Command not allowed inside a transaction"
	case s.subscriptions() > 0 && !s.out.resp3 && c.always&subscribed == 0:
		return fmt.Sprintf("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
			c.name)
	}
	return ""
}

// errOutOfMemory is what a command that grows is answered while the store has all the memory that it may have.
const errOutOfMemory = "OOM command not allowed when used memory > 'maxmemory'."

func wrongArity(name string) string {
	return fmt.Sprintf("ERR wrong number of arguments for '%s' command", name)
}

// shownMax is how many bytes of an argument an error shows.
const shownMax = 128

func unknownSubcommand(name string, sub []byte) string {
	return fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", cut(sub, shownMax), strings.ToUpper(name))
}

// unknownCommand is worded as Redis does, with the first arguments up to 128 bytes.
func unknownCommand(args [][]byte) string {
	var list strings.Builder
	for _, arg := range args[1:] {
		if list.Len() >= shownMax {
			break
		}
		fmt.Fprintf(&list, "'%s' ", cut(arg, shownMax-list.Len()))
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cut(args[0], shownMax), list.String())
}

// cut returns the first bytes of an argument as an error shows it.
func cut(arg []byte, length int) []byte {
	arg = beforeZero(arg)
	return arg[:min(len(arg), length)]
}

// beforeZero returns the bytes of an argument before the first that is zero: to Redis, texts in errors are strings of C.
func beforeZero(arg []byte) []byte {
	before, _, _ := bytes.Cut(arg, []byte{0})
	return before
}

// asText returns an argument as an error shows it.
func asText(arg []byte) string { return string(cut(arg, shownMax)) }
