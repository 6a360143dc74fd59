package server

import (
	"strconv"
	"strings"
)

// repliesFree is how many bytes of replies a client may have that count into no limit of all clients. A command that runs alone begins with
// groupReplies at most. So there is always room for a short reply, which must not become an error once the command is done.
const repliesFree = groupReplies + 4<<10

// reply encodes replies, in RESP2 or RESP3. Where the two differ, a method writes what the connection's protocol has.
//
// Invariant: buf holds whole replies, but while a command runs, and where full is set.
type reply struct {
	buf      []byte
	resp3    bool
	base     int    // Where the replies of the commands begin that run together.
	max      int    // How many bytes those may have. One command can ask for the same large value a million times.
	kept     int    // Up to where messages go that also a client gets which wants no replies.
	full     bool   // They would have more: values were left out, or will be.
	share    share  // Of what buf has beyond repliesFree.
	failures uint64 // Errors since the last flush. A transaction that ran twice counts twice.
}

// drop drops the replies from start on, but no messages.
func (r *reply) drop(start int) { r.buf = r.buf[:max(start, r.kept)] }

// cut takes back what there is from start on: what it answers didn't happen, or happens again.
func (r *reply) cut(start int) { r.buf, r.kept = r.buf[:start], min(r.kept, start) }

// keep makes messages of the replies that there are. Those that are too large will be an error instead.
func (r *reply) keep() {
	if r.hasRoom(0) {
		r.kept = len(r.buf)
	}
}

// simple is a status, such as OK.
func (r *reply) simple(text string) {
	r.buf = append(r.buf, '+')
	r.buf = append(r.buf, text...)
	r.buf = append(r.buf, '\r', '\n')
}

func (r *reply) ok() { r.buf = append(r.buf, "+OK\r\n"...) }

// oneLine has what would end the line of an error.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// fail is an error. Its first word is its code, ERR as a rule. Line breaks at its end are left out.
func (r *reply) fail(text string) {
	r.failures++
	r.buf = append(r.buf, '-')
	r.buf = append(r.buf, oneLine.Replace(strings.TrimRight(text, "\r\n"))...)
	r.buf = append(r.buf, '\r', '\n')
}

func (r *reply) integer(n int64) { r.head(':', n) }

// truth is 1 or 0.
func (r *reply) truth(yes bool) {
	if yes {
		r.integer(1)
	} else {
		r.integer(0)
	}
}

// hasRoom reports whether a value fits, and otherwise notes that it doesn't. What is short doesn't ask, since a command is looked at once
// more after it.
func (r *reply) hasRoom(length int) bool {
	after := len(r.buf) + length
	r.full = r.full || after-r.base > r.max || after-repliesFree > r.share.bytes && !r.share.hold(after)
	return !r.full
}

func (r *reply) bulk(value []byte) {
	if !r.hasRoom(len(value)) {
		return
	}
	r.head('$', int64(len(value)))
	r.buf = append(r.buf, value...)
	r.buf = append(r.buf, '\r', '\n')
}

func (r *reply) text(value string) {
	if !r.hasRoom(len(value)) {
		return
	}
	r.head('$', int64(len(value)))
	r.buf = append(r.buf, value...)
	r.buf = append(r.buf, '\r', '\n')
}

// verbatim is a text for people.
func (r *reply) verbatim(value string) {
	switch {
	case !r.resp3:
		r.text(value)
		return
	case !r.hasRoom(len(value)):
		return
	}
	r.head('=', int64(len(value))+4)
	r.buf = append(r.buf, "txt:"...)
	r.buf = append(r.buf, value...)
	r.buf = append(r.buf, '\r', '\n')
}

// null says that there is no value.
func (r *reply) null() {
	if r.resp3 {
		r.buf = append(r.buf, "_\r\n"...)
	} else {
		r.buf = append(r.buf, "$-1\r\n"...)
	}
}

// nullArray says that there is no list of values.
func (r *reply) nullArray() {
	if r.resp3 {
		r.buf = append(r.buf, "_\r\n"...)
	} else {
		r.buf = append(r.buf, "*-1\r\n"...)
	}
}

// array begins a list of replies.
func (r *reply) array(n int) { r.head('*', int64(n)) }

// pairs begins a map with n keys: each is a reply, and so is the value after it.
func (r *reply) pairs(n int) {
	if r.resp3 {
		r.head('%', int64(n))
	} else {
		r.array(2 * n)
	}
}

// set begins a set of n replies.
func (r *reply) set(n int) {
	if r.resp3 {
		r.head('~', int64(n))
	} else {
		r.array(n)
	}
}

// push begins a message of n replies that the client didn't ask for.
func (r *reply) push(n int) {
	if r.resp3 {
		r.head('>', int64(n))
	} else {
		r.array(n)
	}
}

// head is a reply's kind and a number.
func (r *reply) head(kind byte, n int64) {
	r.buf = append(r.buf, kind)
	r.buf = strconv.AppendInt(r.buf, n, 10)
	r.buf = append(r.buf, '\r', '\n')
}
