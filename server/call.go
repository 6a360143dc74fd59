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
	batch   *kv.Batch // What blind writes write to, in place of tx; nil elsewhere.
	now     time.Time // The same for all commands of a transaction.
}

// Texts of errors that several commands have, as Redis words them.
const (
	errSyntax     = "ERR syntax error"
	errNotInteger = "ERR value is not an integer or out of range"
	errNotFloat   = "ERR value is not a valid float"
	errNoDatabase = "ERR DB index is out of range"
	errTooLong    = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
)

// Texts of errors that Redis has no words for.
const (
	errEmptyKey      = "ERR the key is empty, which this store can't hold"
	errKeyTooLarge   = "ERR the key is larger than 64 KiB, which this store can't hold"
	errValueTooLarge = "ERR the value is larger than 32 MiB, which this store can't hold"
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

// has reports whether there is a pair with that key.
func (c *call) has(key []byte) bool {
	_, found := c.get(key)
	return found
}

// storable reports whether the store can hold a pair. Otherwise it writes the error as the reply. A command that writes
// several pairs asks for all of them before it writes the first, since what it has written stays.
func (c *call) storable(key, value []byte) bool {
	switch {
	case len(key) == 0:
		c.fail(errEmptyKey)
	case len(key) > kv.MaxKeySize:
		c.fail(errKeyTooLarge)
	case len(value) > kv.MaxValueSize:
		c.fail(errValueTooLarge)
	default:
		return true
	}
	return false
}

// put writes a pair, until a deadline unless that is zero. Where it returns false the pair was refused, and the reply
// is written.
func (c *call) put(key, value []byte, deadline time.Time) bool {
	if !c.storable(key, value) {
		return false
	}
	c.session.server.watched.touch(key)
	c.session.server.memory.put(len(key) + len(value))
	if c.batch != nil {
		c.batch.PutDeadline(key, value, deadline)
		return true
	}
	return c.wrote(c.tx.PutDeadline(key, value, deadline))
}

// remove deletes a key, which need not be there. Where it returns false the store has refused, and the reply is
// written.
func (c *call) remove(key []byte) bool {
	c.session.server.watched.touch(key)
	return c.wrote(c.tx.Delete(key))
}

// removeRange deletes the keys from start to before end, where an empty end is past the last key. Where it returns
// false the store has refused, and the reply is written.
func (c *call) removeRange(start, end []byte) bool {
	c.session.server.watched.touchRange(start, end, c.tx.Has)
	return c.wrote(c.tx.DeleteRange(start, end))
}

// wrote reports whether a write was taken. Otherwise it writes the error as the reply, and the transaction won't
// happen: the command may have written before, and so would be half done.
func (c *call) wrote(err error) bool {
	if err != nil {
		c.fail(failure(err))
		c.session.refusal = err
		return false
	}
	c.session.wrote = true
	return true
}

// goesOn reports whether a command that takes long may go on. It can't once its connection is killed. Then the error is written as the
// reply, and the transaction won't happen.
func (c *call) goesOn() bool {
	if !c.session.killed.Load() {
		return true
	}
	c.fail(failure(errKilled))
	c.session.refusal = errKilled
	return false
}

// failure returns the text of a store's error for a client. Its first word tells what a client should do: see
// docs/server.md.
func failure(err error) string {
	switch {
	case errors.Is(err, kv.ErrEmptyKey):
		return errEmptyKey
	case errors.Is(err, kv.ErrKeyTooLarge) && !errors.Is(err, kv.ErrIndex):
		return errKeyTooLarge
	case errors.Is(err, errNotFresh):
		return errNoLeader
	case errors.Is(err, kv.ErrUndecided):
		return "UNDECIDED " + err.Error()
	case errors.Is(err, kv.ErrNotLeader), errors.Is(err, kv.ErrConflict):
		return "TRYAGAIN " + err.Error()
	case errors.Is(err, kv.ErrTruncated):
		return "TRUNCATED " + err.Error()
	case errors.Is(err, kv.ErrReadOnly):
		return "READONLY You can't write against a read only replica."
	case errors.Is(err, kv.ErrNoSpace), errors.Is(err, kv.ErrFailed):
		return "MISCONF " + err.Error()
	}
	return "ERR " + err.Error()
}
