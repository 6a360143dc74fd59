package server

import (
	"fmt"
	"strings"
)

// request is a command that has arrived.
type request struct {
	args    [][]byte
	command *command // Nil before resolve, and where the request can't run.
	problem string   // Why it can't.
}

// size returns how many bytes its arguments have.
func (r *request) size() (bytes int) {
	for _, arg := range r.args {
		bytes += len(arg)
	}
	return bytes
}

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

// resolve finds a request's command, and whether it may run as the session is now.
func (s *session) resolve(r *request) {
	if r.command != nil || r.problem != "" {
		return
	}
	found := s.server.commands.find(r.args[0])
	if found == nil && s.guest && is(r.args[0], forwardName) {
		found = &forwardCommand
	}
	switch {
	case found == nil:
		r.problem = unknownCommand(r.args)
	case !found.takes(len(r.args)):
		r.problem = wrongArity(found.name)
	default:
		r.problem = s.objection(found, r.args)
	}
	if r.problem == "" {
		r.command = found
	}
}

// objection returns why a command may not run as the session is now, an empty text where it may.
func (s *session) objection(c *command, args [][]byte) string {
	if s.subscriptions() > 0 && !s.out.resp3 && c.always&subscribed == 0 {
		return fmt.Sprintf("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
			c.name)
	}
	return ""
}

func wrongArity(name string) string {
	return fmt.Sprintf("ERR wrong number of arguments for '%s' command", name)
}

// shownMax is how many bytes of an argument an error shows.
const shownMax = 128

// unknownCommand is worded as Redis does, with the first arguments up to 128 bytes.
func unknownCommand(args [][]byte) string {
	var shown strings.Builder
	for _, arg := range args[1:] {
		if shown.Len() >= shownMax {
			break
		}
		fmt.Fprintf(&shown, "'%s' ", cut(arg, shownMax-shown.Len()))
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cut(args[0], shownMax), shown.String())
}

// cut returns the first bytes of an argument.
func cut(arg []byte, length int) []byte { return arg[:min(len(arg), length)] }
