package kv

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serialClient makes one operation after the other against a store that others use too, and takes down what it saw.
type serialClient struct {
	t       testing.TB
	number  int
	random  *rand.Rand
	db      *DB
	clock   *atomic.Int64
	between func() // Called between two operations.
	serial  int    // Of the values it has written.
	history []*serialOp
}

var errSerial = errors.New("the function of an update says no")

// serialOps are what a client does, each as often as it is listed.
var serialOps = []struct {
	name string
	do   func(c *serialClient, op *serialOp) error
}{
	{"put", (*serialClient).put},
	{"put", (*serialClient).put},
	{"delete", (*serialClient).delete},
	{"apply", (*serialClient).apply},
	{"get", (*serialClient).get},
	{"get", (*serialClient).get},
	{"view", (*serialClient).view},
	{"scan", (*serialClient).scan},
	{"snapshot", (*serialClient).snapshot},
	{"count up", updating((*serialClient).countUp)},
	{"count up", updating((*serialClient).countUp)},
	{"swap", updating((*serialClient).swap)},
	{"move", updating((*serialClient).move)},
	{"sum", updating((*serialClient).sum)},
	{"compare and set", updating((*serialClient).compareAndSet)},
	{"look", updating((*serialClient).look)},
	{"refuse", updating((*serialClient).refuse)},
}

func (c *serialClient) run(operations int) {
	for range operations {
		chosen := serialOps[c.random.IntN(len(serialOps))]
		op := &serialOp{client: c.number, name: chosen.name, called: c.clock.Add(1)}
		err := chosen.do(c, op)
		op.returned = c.clock.Add(1)
		c.conclude(op, err)
		c.history = append(c.history, op)
		c.between()
	}
}

// conclude takes down what an error says of an operation's outcome.
func (c *serialClient) conclude(op *serialOp, err error) {
	failed, cancelled := errors.Is(err, ErrFailed), errors.Is(err, context.Canceled)
	switch {
	case err == nil:
	case (failed || cancelled) && errors.Is(err, errSerial), // It wrote nothing, and what it read was not made known.
		failed && strings.Contains(err.Error(), "commit refused"),
		cancelled && strings.Contains(err.Error(), "nothing was changed"):
		op.dropped = true
	case failed, cancelled:
		op.returned = unknownReturn
	case errors.Is(err, errSerial):
		op.writes = serialSet{}
	default:
		c.t.Errorf("%v: %v", op, err)
	}
}

func serialKey(key int) []byte { return []byte{'k', byte('0' + key)} }

func (c *serialClient) key() int { return c.random.IntN(serialKeys) }

// value returns a number that no other write has.
func (c *serialClient) value() (int, []byte) {
	c.serial++
	value := (c.number+1)*1000 + c.serial
	return value, strconv.AppendInt(nil, int64(value), 10)
}

// numberOf returns the number that a Get found.
func (c *serialClient) numberOf(value []byte, err error) int {
	if errors.Is(err, ErrNotFound) {
		return 0
	}
	number, bad := strconv.Atoi(string(value))
	if err != nil || bad != nil || number == 0 {
		c.t.Errorf("read %q, %v", value, err)
	}
	return number
}

// context returns one that may be over at any moment, if only rarely.
func (c *serialClient) context() (context.Context, context.CancelFunc) {
	if c.random.IntN(10) != 0 {
		return context.Background(), func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(time.Duration(c.random.IntN(200))*time.Microsecond, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

func (c *serialClient) put(op *serialOp) error {
	key := c.key()
	number, value := c.value()
	op.write(key, number)
	_, err := c.db.Put(serialKey(key), value)
	return err
}

func (c *serialClient) delete(op *serialOp) error {
	key := c.key()
	op.write(key, 0)
	_, err := c.db.Delete(serialKey(key))
	return err
}

// apply removes a range and puts two keys.
func (c *serialClient) apply(op *serialOp) error {
	var b Batch
	from, to := c.key(), c.key()
	b.DeleteRange(serialKey(from), serialKey(to))
	for key := from; key < to; key++ {
		op.write(key, 0)
	}
	for range 2 {
		key := c.key()
		number, value := c.value()
		b.Put(serialKey(key), value)
		op.write(key, number)
	}
	ctx, cancel := c.context()
	defer cancel()
	_, err := c.db.ApplyContext(ctx, &b)
	return err
}

func (c *serialClient) get(op *serialOp) error {
	key := c.key()
	op.read(key, c.numberOf(c.db.Get(serialKey(key))))
	return nil
}

// view reads some keys one by one, with time for others in between.
func (c *serialClient) view(op *serialOp) error {
	return c.db.View(func(tx *Tx) error {
		for range 3 {
			key := c.key()
			op.read(key, c.numberOf(tx.Get(serialKey(key))))
			c.wait()
		}
		return nil
	})
}

// scan reads every key, which are those that it yields and those that it doesn't.
func (c *serialClient) scan(op *serialOp) error {
	c.readAll(op, c.db.Scan(Range{Reverse: c.random.IntN(2) == 0}))
	return nil
}

func (c *serialClient) readAll(op *serialOp, scan func(func(key, value []byte) bool)) {
	var all serialState
	for key, value := range scan {
		all[key[1]-'0'] = c.numberOf(value, nil)
	}
	for key, number := range all {
		op.read(key, number)
	}
}

func (c *serialClient) snapshot(op *serialOp) error {
	held, err := c.db.ReadView()
	if err != nil {
		return err
	}
	c.wait()
	c.readAll(op, held.Scan(Range{}))
	return held.Close()
}

// wait lets others run.
func (c *serialClient) wait() {
	if c.random.IntN(4) == 0 {
		time.Sleep(time.Duration(c.random.IntN(30)) * time.Microsecond)
	}
}

// updating makes an operation of a transaction that writes.
func updating(fn func(c *serialClient, op *serialOp, tx *Tx) error) func(*serialClient, *serialOp) error {
	return func(c *serialClient, op *serialOp) error {
		ctx, cancel := c.context()
		defer cancel()
		return c.db.UpdateContext(ctx, func(tx *Tx) error { return fn(c, op, tx) })
	}
}

// txGet reads a key in a transaction.
func (c *serialClient) txGet(op *serialOp, tx *Tx, key int) int {
	number := c.numberOf(tx.Get(serialKey(key)))
	if op.writes[key] && op.wrote[key] != number {
		c.t.Errorf("%v: its own write reads as %d", op, number)
	}
	op.read(key, number)
	return number
}

// txPut writes a key in a transaction; 0 removes it.
func (c *serialClient) txPut(op *serialOp, tx *Tx, key, number int) error {
	op.write(key, number)
	if number == 0 {
		return tx.Delete(serialKey(key))
	}
	return tx.Put(serialKey(key), strconv.AppendInt(nil, int64(number), 10))
}

// countUp reads a key and writes it.
func (c *serialClient) countUp(op *serialOp, tx *Tx) error {
	key := c.key()
	c.txGet(op, tx, key)
	number, _ := c.value()
	return c.txPut(op, tx, key, number)
}

// swap gives each of two keys what the other had.
func (c *serialClient) swap(op *serialOp, tx *Tx) error {
	a, b := c.key(), c.key()
	had := [2]int{c.txGet(op, tx, a), c.txGet(op, tx, b)}
	return errors.Join(c.txPut(op, tx, a, had[1]), c.txPut(op, tx, b, had[0]))
}

// move is a transfer of all that a key has.
func (c *serialClient) move(op *serialOp, tx *Tx) error {
	from, to := c.key(), c.key()
	number := c.txGet(op, tx, from)
	err := errors.Join(c.txPut(op, tx, from, 0), c.txPut(op, tx, to, number))
	c.txGet(op, tx, from)
	return err
}

// sum reads all keys as a range and writes one.
func (c *serialClient) sum(op *serialOp, tx *Tx) error {
	c.readAll(op, tx.Scan(Range{}))
	number, _ := c.value()
	return c.txPut(op, tx, c.key(), number)
}

// compareAndSet writes one key if another is there.
func (c *serialClient) compareAndSet(op *serialOp, tx *Tx) error {
	if c.txGet(op, tx, c.key()) == 0 {
		return nil
	}
	number, _ := c.value()
	return c.txPut(op, tx, c.key(), number)
}

// look reads all keys where it could write.
func (c *serialClient) look(op *serialOp, tx *Tx) error {
	c.readAll(op, tx.Scan(Range{}))
	return nil
}

// refuse writes, and then returns an error: what it read has to be right, and what it wrote must not be there.
func (c *serialClient) refuse(op *serialOp, tx *Tx) error {
	return errors.Join(c.countUp(op, tx), errSerial)
}
