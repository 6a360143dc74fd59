package server

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Users are those that may use a server, each with its passwords and rights. They don't change: see Server.SetUsers.
type Users struct{ byName map[string]*user }

// defaultUser is the user that a client is without a name. It is there by itself only where no other users are.
const defaultUser = "default"

// everybody are the users of a server without any: clients may do everything, and any password will do.
var everybody = newUsers(&user{name: defaultUser, enabled: true, nopass: true, allKeys: true, rights: everything})

// rights say which commands a user may run.
type rights uint8

const (
	nothing    rights = iota
	readOnly          // Those that change nothing.
	everything        // All. Those that are about the server need all keys, too.
)

// user is a name with its passwords, and what it may do.
//
// Invariants: passwords and prefixes are in order, without duplicates. A user with allKeys has no prefixes.
type user struct {
	name      string
	enabled   bool
	nopass    bool     // Any password will do.
	passwords []string // SHA-256, in hexadecimal digits.
	allKeys   bool
	prefixes  []string
	rights    rights
}

func newUsers(all ...*user) *Users {
	u := &Users{byName: make(map[string]*user, len(all))}
	for _, one := range all {
		u.byName[one.name] = one
	}
	return u
}

// ParseUsers reads users from a text, which has a subset of the lines of an ACL file of Redis. There is one line for each user:
//
//	user NAME on >PASSWORD ~PREFIX* +@all
//
// After the name come rules, which count in their order. A user without any is off, and may do nothing.
//
//	on  off             whether it may authenticate
//	>PASSWORD  #SHA256  a password, or its SHA-256 in 64 hexadecimal digits; a user may have several
//	nopass              any password will do; for the user default, none is needed
//	~PREFIX*            it may use keys with that prefix; several add up
//	~*  allkeys         it may use all keys
//	+@all  allcommands  it may run all commands; those about the server need all keys
//	+@read              it may run the commands that change nothing
//	-@all  nocommands   it may run no commands
//	&*  allchannels     nothing: a user hears of the keys that it may use
//
// Empty lines, and those that begin with a #, are comments. Clients that don't authenticate are the user default, if there is one with
// nopass. An error names the line, and never what might be a password.
func ParseUsers(text []byte) (*Users, error) {
	all := newUsers()
	number := 0
	for line := range bytes.Lines(text) {
		number++
		words := strings.Fields(string(line))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		parsed, err := parseUser(words)
		if err == nil && all.byName[parsed.name] != nil {
			err = fmt.Errorf("user %s comes twice", parsed.name)
		}
		if err != nil {
			return nil, fmt.Errorf("server: users: line %d: %w", number, err)
		}
		all.byName[parsed.name] = parsed
	}
	if len(all.byName) == 0 {
		return nil, errors.New("server: users: there is none")
	}
	return all, nil
}

func parseUser(words []string) (*user, error) {
	if words[0] != "user" || len(words) < 2 {
		return nil, errors.New("want user NAME RULE…")
	}
	if strings.ContainsAny(words[1][:1], ">#") { // The name was left out. As one, the password would be in errors, lists and logs.
		return nil, errors.New("want a user's NAME, not a password, after the word user")
	}
	u := &user{name: words[1]}
	for i, rule := range words[2:] {
		if err := u.apply(rule); err != nil {
			return nil, fmt.Errorf("rule %d of user %s: %w", i+1, u.name, err)
		}
	}
	slices.Sort(u.passwords)
	slices.Sort(u.prefixes)
	u.passwords, u.prefixes = slices.Compact(u.passwords), slices.Compact(u.prefixes)
	return u, nil
}

// apply takes a rule into account.
func (u *user) apply(rule string) error {
	switch rule {
	case "on":
		u.enabled = true
	case "off":
		u.enabled = false
	case "nopass":
		u.nopass, u.passwords = true, nil
	case "~*", "allkeys":
		u.allKeys, u.prefixes = true, nil
	case "+@all", "allcommands":
		u.rights = everything
	case "+@read":
		u.rights = max(u.rights, readOnly)
	case "-@all", "nocommands":
		u.rights = nothing
	case "&*", "allchannels":
	default:
		return u.applyValue(rule[0], rule[1:])
	}
	return nil
}

// applyValue takes a rule with a value into account.
func (u *user) applyValue(kind byte, value string) error {
	switch kind {
	case '>':
		u.addPassword(hashed([]byte(value)))
	case '#':
		if sum, err := hex.DecodeString(value); err != nil || len(sum) != sha256.Size {
			return errors.New("want 64 hexadecimal digits after the #")
		}
		u.addPassword(strings.ToLower(value))
	case '~':
		prefix, ends := strings.CutSuffix(value, "*")
		if !ends || prefix == "" || strings.ContainsAny(prefix, `*?[\`) {
			return errors.New("want a prefix after the ~ and a * at its end; no other patterns are known")
		}
		if !u.allKeys {
			u.prefixes = append(u.prefixes, prefix)
		}
	default:
		return errors.New("want on, off, nopass, >PASSWORD, #SHA256, ~PREFIX*, ~*, +@all, +@read or -@all")
	}
	return nil
}

func (u *user) addPassword(hash string) { u.nopass, u.passwords = false, append(u.passwords, hash) }

func hashed(password []byte) string {
	sum := sha256.Sum256(password)
	return hex.EncodeToString(sum[:])
}

// String returns the user as a line that ParseUsers reads. Two users are the same if their lines are.
func (u *user) String() string {
	words := []string{"user", u.name, "off"}
	if u.enabled {
		words[2] = "on"
	}
	if u.nopass {
		words = append(words, "nopass")
	}
	for _, hash := range u.passwords {
		words = append(words, "#"+hash)
	}
	words = append(words, u.keyPatterns()...)
	if u.allKeys {
		words = append(words, "&*")
	}
	return strings.Join(append(words, u.commandRules()), " ")
}

// keyPatterns returns which keys it may use, as rules.
func (u *user) keyPatterns() (rules []string) {
	if u.allKeys {
		return []string{"~*"}
	}
	for _, prefix := range u.prefixes {
		rules = append(rules, "~"+prefix+"*")
	}
	return rules
}

// commandRules returns which commands it may run, as rules.
func (u *user) commandRules() string {
	switch u.rights {
	case everything:
		return "+@all"
	case readOnly:
		return "-@all +@read"
	}
	return "-@all"
}

// check returns the user with a name and a password, nil where there is none. How long it takes says nothing of a password.
func (u *Users) check(name string, password []byte) *user {
	hash := hashed(password)
	found := u.byName[name]
	if found == nil {
		return nil
	}
	good := 0
	for _, one := range found.passwords {
		good |= subtle.ConstantTimeCompare([]byte(hash), []byte(one))
	}
	if !found.enabled || good == 0 && !found.nopass {
		return nil
	}
	return found
}

// named returns the user with a name, nil where there is none that may use the server.
func (u *Users) named(name string) *user {
	if found := u.byName[name]; found != nil && found.enabled {
		return found
	}
	return nil
}

// stranger returns the user that a client is before it authenticates, nil where it must.
func (u *Users) stranger() *user {
	if found := u.byName[defaultUser]; found != nil && found.enabled && found.nopass {
		return found
	}
	return nil
}

// sorted returns the users in the order of their names.
func (u *Users) sorted() []*user {
	all := make([]*user, 0, len(u.byName))
	for _, one := range u.byName {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *user) int { return cmp.Compare(a.name, b.name) })
	return all
}

// same returns the user of that name, if it may do just what the given one may, otherwise nil.
func (u *Users) same(as *user) *user {
	if found := u.byName[as.name]; found != nil && found.String() == as.String() {
		return found
	}
	return nil
}
