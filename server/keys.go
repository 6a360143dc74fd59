package server

// keyCommands are about single keys, whatever their values.
var keyCommands = []command{
	{name: "del", arity: -2, class: writing, run: deleteKeys, keys: allKeys},
	{name: "unlink", arity: -2, class: writing, run: deleteKeys, keys: allKeys},
	{name: "exists", arity: -2, class: reading, run: countKeys, keys: allKeys},
	{name: "touch", arity: -2, class: reading, run: countKeys, keys: allKeys},
	{name: "type", arity: 2, class: reading, run: typeOf, keys: oneKey},
	{name: "rename", arity: 3, class: writing, run: rename, keys: twoKeys},
	{name: "renamenx", arity: 3, class: writing, run: renameNew, keys: twoKeys},
	{name: "copy", arity: -3, class: writing, run: copyKey, keys: twoKeys, grows: true},
	{name: "move", arity: 3, class: writing, run: moveToDatabase, keys: oneKey},
}

func deleteKeys(c *call) {
	deleted := int64(0)
	for _, key := range c.args[1:] {
		if !c.has(key) {
			continue
		}
		if !c.remove(key) {
			return
		}
		deleted++
	}
	c.integer(deleted)
}

// countKeys is EXISTS and TOUCH: there is no time of the last use that TOUCH would change. A key that comes twice
// counts twice.
func countKeys(c *call) {
	found := int64(0)
	for _, key := range c.args[1:] {
		if c.has(key) {
			found++
		}
	}
	c.integer(found)
}

func typeOf(c *call) {
	if c.has(c.args[1]) {
		c.simple(typeString)
	} else {
		c.simple("none")
	}
}

// typeString is the only type of a value.
const typeString = "string"

const errNoKey = "ERR no such key"

func rename(c *call) {
	if c.move(true) == moved {
		c.ok()
	}
}

func renameNew(c *call) {
	if outcome := c.move(false); outcome != notMoved {
		c.truth(outcome == moved)
	}
}

// moveOutcome is what became of a move.
type moveOutcome uint8

const (
	notMoved moveOutcome = iota // The error is written as the reply.
	moved
	taken // There is a pair with the new key.
)

// move gives a pair another key, with its deadline. A pair with that key is replaced if it may be.
func (c *call) move(replace bool) moveOutcome {
	from, to := c.args[1], c.args[2]
	value, found := c.get(from)
	same := string(from) == string(to)
	switch {
	case !found:
		c.fail(errNoKey)
		return notMoved
	case same && replace:
		return moved
	case !replace && c.has(to):
		return taken
	}
	if c.put(to, value, c.deadline(from)) && c.remove(from) {
		return moved
	}
	return notMoved
}

const errSameObject = "ERR source and destination objects are the same"

// moveToDatabase is MOVE, which never does anything: there is no other database.
func moveToDatabase(c *call) {
	problem := databaseProblem(c.args[2])
	if problem == "" {
		problem = errSameObject
	}
	c.fail(problem)
}

func copyKey(c *call) {
	replace, problem := copyOptions(c.args[3:])
	from, to := c.args[1], c.args[2]
	if problem == "" && string(from) == string(to) {
		problem = errSameObject
	}
	if problem != "" {
		c.fail(problem)
		return
	}
	value, found := c.get(from)
	if !found || !replace && c.has(to) {
		c.truth(false)
	} else if c.put(to, value, c.deadline(from)) {
		c.truth(true)
	}
}

// copyOptions takes the options REPLACE and DB, where there is the database 0 alone. It returns the error where they
// aren't right.
func copyOptions(args [][]byte) (replace bool, problem string) {
	for ; len(args) > 0; args = args[1:] {
		switch {
		case is(args[0], "REPLACE"):
			replace = true
		case is(args[0], "DB") && len(args) > 1:
			if problem = databaseProblem(args[1]); problem != "" {
				return false, problem
			}
			args = args[1:]
		default:
			return false, errSyntax
		}
	}
	return replace, ""
}
