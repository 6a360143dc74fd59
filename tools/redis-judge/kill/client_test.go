package kill

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// client writes through one connection until the server dies. It does one operation after the other, without waiting
// for replies:
//
//	SET s/i   MULTI   SET a/i   SET b/i   DEL token/i-1   SET token/i   EXEC   INCR n
//
// So the effects that survive must be those of a prefix of its commands; a/i and b/i are there both or not at all; and
// of the tokens there is always the last one alone.
type client struct {
	name    string
	dice    *rand.Rand
	sent    int // Operations.
	replies int // Of all commands.

	transactions int // Those that check has found.
}

// The replies to an operation, by their place.
const (
	replyToSet  = 0
	replyToExec = 6
	replyToIncr = 7
	repliesOfOp = 8
)

// inFlight is how many operations may wait for their replies.
const inFlight = 32

func (c *client) key(kind string, i int) string { return fmt.Sprintf("%s/%s/%d", c.name, kind, i) }
func (c *client) counter() string               { return c.name + "/n" }

// value returns what a key is set to. Some values are large, so that writes are torn in their middle.
func (c *client) value(i int) string {
	size := 20
	if i%17 == 3 {
		size = 5000
	}
	return fmt.Sprintf("%s-%d-%0*d", c.name, i, size, i)
}

// work writes until the connection ends, and returns an error only for a reply that is wrong.
func (c *client) work(conn *resp.Conn) error {
	window, ended := make(chan struct{}, inFlight), make(chan struct{})
	var wrong error
	go func() {
		defer close(ended)
		wrong = c.read(conn, window)
	}()
	for {
		select {
		case window <- struct{}{}:
		case <-ended:
			return wrong
		}
		c.put(conn, c.sent)
		c.sent++
		if c.dice.IntN(4) == 0 || len(window) == inFlight {
			if conn.Flush() != nil {
				<-ended
				return wrong
			}
		}
	}
}

func (c *client) put(conn *resp.Conn, i int) {
	conn.Put("SET", c.key("s", i), c.value(i))
	conn.Put("MULTI")
	conn.Put("SET", c.key("a", i), c.value(i))
	conn.Put("SET", c.key("b", i), c.value(i))
	conn.Put("DEL", c.key("token", i-1))
	conn.Put("SET", c.key("token", i), c.value(i))
	conn.Put("EXEC")
	conn.Put("INCR", c.counter())
}

// read reads replies until the connection ends.
func (c *client) read(conn *resp.Conn, window chan struct{}) error {
	for ; ; c.replies++ {
		reply, err := conn.Next()
		if err != nil {
			return nil
		}
		i, place := c.replies/repliesOfOp, c.replies%repliesOfOp
		if want := wanted(i, place); string(reply.Raw) != want {
			return fmt.Errorf("client %s, operation %d, reply %d: %s, want %q", c.name, i, place, reply, want)
		}
		if place == replyToIncr {
			<-window
		}
	}
}

// wanted returns the bytes of a reply.
func wanted(i, place int) string {
	switch place {
	case replyToExec:
		return fmt.Sprintf("*4\r\n+OK\r\n+OK\r\n:%d\r\n+OK\r\n", min(i, 1))
	case replyToIncr:
		return ":" + strconv.Itoa(i+1) + "\r\n"
	case replyToSet, 1:
		return "+OK\r\n"
	}
	return "+QUEUED\r\n"
}

// acknowledged returns how many operations have a reply at the place.
func (c *client) acknowledged(place int) int {
	return (c.replies + repliesOfOp - 1 - place) / repliesOfOp
}

// check asks the server, after its restart, what there is of a client's writes, and returns how many pairs.
func (c *client) check(conn *resp.Conn) (pairs int, err error) {
	sets, err := c.present(conn, "s")
	if err != nil {
		return 0, err
	}
	a, err := c.present(conn, "a")
	if err != nil {
		return 0, err
	}
	b, err := c.present(conn, "b")
	if err != nil {
		return 0, err
	}
	reply, err := conn.Must("GET", c.counter())
	if err != nil {
		return 0, err
	}
	incremented, _ := strconv.Atoi(reply.Text)
	c.transactions = max(c.transactions, a)
	switch {
	case sets < c.acknowledged(replyToSet), a < c.acknowledged(replyToExec),
		incremented < c.acknowledged(replyToIncr):
		err = fmt.Errorf("acknowledged is lost: of %d sets, %d transactions and %d increments there are %d, %d and %d",
			c.acknowledged(replyToSet), c.acknowledged(replyToExec), c.acknowledged(replyToIncr), sets, a, incremented)
	case a != b:
		err = fmt.Errorf("half a transaction: %d of the first keys, %d of the second ones", a, b)
	case sets < a || a < incremented || incremented < sets-1 || sets > c.sent:
		err = fmt.Errorf("no prefix: %d sets, %d transactions, %d increments of %d operations",
			sets, a, incremented, c.sent)
	default:
		err = c.checkTokens(conn, a)
	}
	if err != nil {
		return 0, fmt.Errorf("client %s: %w", c.name, err)
	}
	return sets + a + b + min(a, 1) + min(incremented, 1), nil
}

// present returns how many keys of a kind there are. They must be the first ones, and have their values.
func (c *client) present(conn *resp.Conn, kind string) (int, error) {
	for i := range c.sent {
		conn.Put("GET", c.key(kind, i))
	}
	if err := conn.Flush(); err != nil {
		return 0, err
	}
	count := 0
	for i := range c.sent {
		reply, err := conn.Next()
		switch {
		case err != nil:
			return 0, err
		case reply.Null:
		case reply.Text != c.value(i):
			return 0, fmt.Errorf("%s is %s", c.key(kind, i), reply)
		case count != i:
			return 0, fmt.Errorf("%s is there, and %s isn't", c.key(kind, i), c.key(kind, count))
		default:
			count++
		}
	}
	return count, nil
}

// checkTokens shows that there is the token of the last transaction alone.
func (c *client) checkTokens(conn *resp.Conn, transactions int) error {
	for i := range c.sent {
		conn.Put("GET", c.key("token", i))
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	for i := range c.sent {
		reply, err := conn.Next()
		if err != nil {
			return err
		}
		if reply.Null != (i != transactions-1) {
			return fmt.Errorf("half a transaction: after %d of them token %d is %s", transactions, i, reply)
		}
	}
	return nil
}
