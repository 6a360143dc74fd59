package server

import (
	"bytes"

	"github.com/walnutkv/walnut/kv"
)

// unlimited reports whether the user may do everything.
func (u *user) unlimited() bool { return u.allKeys && u.rights == everything }

// objection returns why a user may not run a command, an empty text where it may.
func (u *user) objection(c *command, args [][]byte) string {
	switch {
	case !u.mayRun(c):
		return "NOPERM this user has no permissions to run the '" + c.name + "' command"
	case !u.mayTouch(c, args):
		return errNotItsKey
	}
	return ""
}

const errNotItsKey = "NOPERM this user has no permissions to access one of the keys used as arguments"

// mayRun reports whether a user may run a command, on keys that it may use. A command that names no keys may touch any, unless it says
// otherwise.
func (u *user) mayRun(c *command) bool {
	switch {
	case c.always&unauthenticated != 0:
		return true
	case u.rights == nothing, c.admin && !u.unlimited(), c.class == writing && u.rights != everything:
		return false
	}
	return u.allKeys || c.keys != noKeys || c.always&confined != 0
}

func (u *user) mayTouch(c *command, args [][]byte) bool {
	if u.allKeys {
		return true
	}
	keys := c.keys.of(args)
	if c.bounds && len(keys) == 2 {
		return u.mayReach(keys[0], keys[1])
	}
	for _, key := range keys {
		if !u.mayUse(key) {
			return false
		}
	}
	return true
}

// mayUse reports whether a user may use a key. For a prefix it reports whether it may use all keys that have it.
func (u *user) mayUse(key []byte) bool {
	if u.allKeys {
		return true
	}
	for _, prefix := range u.prefixes {
		if len(key) >= len(prefix) && string(key[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

// mayReach reports whether a user may use all keys from start to before end, where an empty end is past the last key.
func (u *user) mayReach(start, end []byte) bool {
	if u.allKeys {
		return true
	}
	for _, prefix := range u.prefixes {
		limit := kv.PrefixEnd([]byte(prefix))
		if bytes.HasPrefix(start, []byte(prefix)) && (len(limit) == 0 || len(end) > 0 && bytes.Compare(end, limit) <= 0) {
			return true
		}
	}
	return false
}

// user returns whose command it is, for a command that looks itself at which keys it may show.
func (c *call) user() *user { return c.session.user.Load() }
