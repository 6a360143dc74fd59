package server

import (
	"context"
	"errors"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// call is a command that runs: its arguments, what it reads and writes, and where its reply goes.
type call struct {
	*reply
	session *session
	ctx     context.Context // Done when the server is to end at once.
	command *command
	args    [][]byte  // The first is the command's name. They belong to the connection: what keeps one must copy it.
	tx      *kv.Tx    // Nil for commands that need none.
	now     time.Time // The same for all commands of a transaction.
}

// Texts of errors that several commands have, as Redis words them.
const (
	errSyntax     = "ERR syntax error"
	errNotInteger = "ERR value is not an integer or out of range"
	errNotFloat   = "ERR value is not a valid float"
)

// get returns the value of a key, and whether there is one. The value is the store's: read-only, and valid for good.
func (c *call) get(key []byte) (value []byte, found bool) {
	value, err := c.tx.Get(key)
	return value, err == nil
}

// deadline returns the instant from which on the pair of a key is gone, the zero time where it stays.
func (c *call) deadline(key []byte) time.Time {
	at, err := c.tx.Deadline(key)
	if err != nil {
		return time.Time{}
	}
	return at
}

// put writes a pair, until a deadline unless that is zero. Where it returns false the store has refused, and the reply is written.
func (c *call) put(key, value []byte, deadline time.Time) bool {
	c.session.server.watched.touch(key)
	return c.wrote(c.tx.PutDeadline(key, value, deadline))
}

// remove deletes a key, which need not be there. Where it returns false the store has refused, and the reply is written.
func (c *call) remove(key []byte) bool {
	c.session.server.watched.touch(key)
	return c.wrote(c.tx.Delete(key))
}

// removeRange deletes the keys from start to before end, where an empty end is past the last key. Where it returns false the store has
// refused, and the reply is written.
func (c *call) removeRange(start, end []byte) bool {
	c.session.server.watched.touchAll()
	return c.wrote(c.tx.DeleteRange(start, end))
}

// wrote reports whether a write was taken. Otherwise it writes the error as the reply.
func (c *call) wrote(err error) bool {
	if err != nil {
		c.fail(failure(err))
	}
	return err == nil
}

// failure returns the text of a store's error for a client. Its first word tells what a client should do: see docs/server.md.
func failure(err error) string {
	switch {
	case errors.Is(err, errCrowded):
		return errCrowded.Error()
	case errors.Is(err, kv.ErrEmptyKey):
		return "ERR the key is empty, which this store can't hold"
	case errors.Is(err, kv.ErrUndecided):
		return "UNDECIDED " + err.Error()
	case errors.Is(err, kv.ErrNotLeader), errors.Is(err, kv.ErrConflict):
		return "TRYAGAIN " + err.Error()
	case errors.Is(err, kv.ErrReadOnly):
		return "READONLY You can't write against a read only replica."
	case errors.Is(err, kv.ErrNoSpace), errors.Is(err, kv.ErrFailed):
		return "MISCONF " + err.Error()
	}
	return "ERR " + err.Error()
}
