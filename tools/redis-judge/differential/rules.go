package differential

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// rule says which replies to a command may differ.
type rule struct {
	commands []string // Names, with the subcommand where there is one.
	why      string
	alike    func(a, b resp.Reply, tolerance time.Duration) bool
}

// rules is every reply that may differ from that of Redis, and why. Errors must be the same everywhere.
var rules = []rule{
	{[]string{"RANDOMKEY"}, "any key is right", sameShape},
	{[]string{"KEYS"}, "the order of keys is nobody's promise", sameSet},
	{[]string{"SCAN"}, "cursors and order are nobody's promise; whole iterations are compared as sets", sameShape},
	{[]string{"TTL", "EXPIRETIME"}, "the servers get a relative deadline at two times", sameSeconds},
	{[]string{"PTTL", "PEXPIRETIME"}, "the servers get a relative deadline at two times", sameMillis},
	{[]string{"TIME", "LASTSAVE"}, "clocks go on", sameShape},
	{[]string{"CLIENT ID", "CLIENT INFO", "CLIENT LIST"}, "each server numbers its connections", sameKind},
	{[]string{"INFO", "CONFIG GET"}, "servers differ in what there is to be known of them", sameKind},
	{[]string{"COMMAND COUNT"}, "Redis has more commands", sameKind},
	{[]string{"COMMAND INFO", "COMMAND"}, "flags and categories differ; arity and places of keys don't", samePlaces},
	{[]string{"HELLO"}, "servers have their own names, versions and numbers of connections", sameGreeting},
	{[]string{"OBJECT ENCODING"}, "int, embstr and raw depend on how Redis came to the value", sameKind},
	{[]string{"DUMP"}, "Redis compresses what is longer than 20 bytes", sameDump},
	{[]string{"OBJECT REFCOUNT", "OBJECT IDLETIME"}, "Redis shares small numbers, and counts seconds", sameKind},
}

// ruleOf returns the rule of a command, or nil: then replies must be the same byte by byte.
func ruleOf(args []string) *rule {
	if len(args) == 0 {
		return nil
	}
	name := strings.ToUpper(args[0])
	both := name
	if len(args) > 1 {
		both += " " + strings.ToUpper(args[1])
	}
	for i, r := range rules {
		if slices.Contains(r.commands, name) || slices.Contains(r.commands, both) {
			return &rules[i]
		}
	}
	return nil
}

// foreignCursor is the only error that may come where Redis does something.
var foreignCursor = rule{[]string{"SCAN"}, "a cursor that no SCAN has given is refused", nil}

// isForeignCursor reports whether a command is a SCAN with a number as its cursor that only another SCAN could give.
func isForeignCursor(args []string) bool {
	if len(args) < 2 || !strings.EqualFold(args[0], "SCAN") {
		return false
	}
	number, err := strconv.ParseUint(strings.TrimLeft(args[1], "+-"), 10, 64)
	return err == nil && number != 0
}

func sameKind(a, b resp.Reply, _ time.Duration) bool {
	return a.Kind == b.Kind && a.Null == b.Null
}

// sameShape is sameKind of the reply and of the elements that aren't lists.
func sameShape(a, b resp.Reply, _ time.Duration) bool {
	if a.Kind != b.Kind || a.Null != b.Null {
		return false
	}
	for i := range min(len(a.Elements), len(b.Elements)) {
		if !sameKind(a.Elements[i], b.Elements[i], 0) {
			return false
		}
	}
	return true
}

func sameSet(a, b resp.Reply, _ time.Duration) bool {
	return a.Kind == b.Kind && slices.Equal(sorted(a), sorted(b))
}

// sorted returns the elements' bytes in order.
func sorted(reply resp.Reply) []string {
	var raw []string
	for _, element := range reply.Elements {
		raw = append(raw, string(element.Raw))
	}
	slices.Sort(raw)
	return raw
}

func sameMillis(a, b resp.Reply, tolerance time.Duration) bool {
	return sameTime(a, b, tolerance.Milliseconds())
}

// sameSeconds allows for a second more, since a time that lies between two is rounded.
func sameSeconds(a, b resp.Reply, tolerance time.Duration) bool {
	return sameTime(a, b, 1+int64(tolerance.Seconds()))
}

func sameTime(a, b resp.Reply, tolerance int64) bool {
	x, isTime := a.Int()
	y, isAlso := b.Int()
	return isTime && isAlso && x > 0 && y > 0 && max(x-y, y-x) <= tolerance
}

// samePlaces compares name, arity and the places of keys. Without a name, COMMAND INFO lists every command.
func samePlaces(a, b resp.Reply, _ time.Duration) bool {
	if all := 2 * len(described); len(a.Elements) > all && len(b.Elements) > all {
		return true
	}
	if len(a.Elements) != len(b.Elements) {
		return false
	}
	for i, x := range a.Elements {
		y := b.Elements[i]
		if x.Null || y.Null || len(x.Elements) < 6 || len(y.Elements) < 6 {
			if string(x.Raw) != string(y.Raw) {
				return false
			}
			continue
		}
		for _, at := range []int{0, 1, 3, 4, 5} {
			if string(x.Elements[at].Raw) != string(y.Elements[at].Raw) {
				return false
			}
		}
	}
	return true
}

// sameGreeting compares the names of the fields, and the fields that must be equal.
func sameGreeting(a, b resp.Reply, _ time.Duration) bool {
	if a.Kind != b.Kind || len(a.Elements) != len(b.Elements) {
		return false
	}
	for i, x := range a.Elements {
		y := b.Elements[i]
		isValue := i%2 == 1
		free := isValue && slices.Contains([]string{"server", "version", "id", "modules"}, a.Elements[i-1].Text)
		if x.Kind != y.Kind || !free && string(x.Raw) != string(y.Raw) {
			return false
		}
	}
	return true
}

// verdict is what a comparison found.
type verdict int

const (
	same verdict = iota
	explained
	different
)

// compare compares two replies to a command. The queue has the commands since MULTI, which EXEC replies to.
func compare(args []string, queue [][]string, a, b resp.Reply, tolerance time.Duration) (verdict, *rule) {
	switch {
	case string(a.Raw) == string(b.Raw):
		return same, nil
	case isForeignCursor(args) && !a.IsError() && b.Text == "ERR invalid cursor":
		return explained, &foreignCursor
	case a.IsError() || b.IsError():
		return different, nil
	case strings.EqualFold(args[0], "EXEC"):
		return compareAll(queue, a, b, tolerance)
	}
	if r := ruleOf(args); r != nil && r.alike(a, b, tolerance) {
		return explained, r
	}
	return different, nil
}

// compareAll compares the elements of two replies to EXEC, each by the rule of its command.
func compareAll(queue [][]string, a, b resp.Reply, tolerance time.Duration) (verdict, *rule) {
	if a.Kind != b.Kind || a.Null != b.Null || len(a.Elements) != len(b.Elements) || len(queue) != len(a.Elements) {
		return different, nil
	}
	found, by := same, (*rule)(nil)
	for i, args := range queue {
		one, r := compare(args, nil, a.Elements[i], b.Elements[i], tolerance)
		if one > found {
			found, by = one, r
		}
	}
	return found, by
}

// difference is a command to which the servers' replies differ.
type difference struct {
	at   int // Its number among the steps.
	step step
	a, b string
}

func (d *difference) String() string {
	return fmt.Sprintf("%s\n    redis  %s\n    judged %s", d.step, d.a, d.b)
}
