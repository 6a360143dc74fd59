package server_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// clock is a time that moves only when a test says so.
type clock struct{ nano atomic.Int64 }

func (c *clock) now() time.Time           { return time.Unix(0, c.nano.Load()) }
func (c *clock) advance(by time.Duration) { c.nano.Add(int64(by)) }

// newTimedClient is newClient in 2026, with a time that stands still.
func newTimedClient(t *testing.T) (*client, *clock) {
	t.Helper()
	at := new(clock)
	at.nano.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	db := openStore(t, kv.Options{Clock: at.now})
	_, address := serveStore(t, db, server.Options{Clock: at.now})
	return dial(t, address), at
}

func TestAPairIsGoneOnceItsDeadlineHasCome(t *testing.T) {
	c, at := newTimedClient(t)
	c.follow(step{"SET a 1 PX 1500", "OK"}, step{"PTTL a", "1500"}, step{"TTL a", "2"})
	at.advance(600 * time.Millisecond)
	c.follow(step{"PTTL a", "900"}, step{"TTL a", "1"}, step{"DBSIZE", "1"})
	at.advance(899 * time.Millisecond)
	c.follow(step{"PTTL a", "1"}, step{"TTL a", "0"}, step{"GET a", `"1"`})
	at.advance(time.Millisecond)
	c.follow(
		step{"GET a", "nil"}, step{"PTTL a", "-2"}, step{"TTL a", "-2"}, step{"EXPIRETIME a", "-2"},
		step{"EXISTS a", "0"},
		step{"KEYS *", "[]"}, step{"SCAN 0", `["0" []]`}, step{"RANDOMKEY", "nil"}, step{"DBSIZE", "0"},
		step{"SET a 2 XX", "nil"},
		step{"PERSIST a", "0"}, step{"DEL a", "0"}, step{"INCR a", "1"}, step{"TTL a", "-1"},
	)
}

func TestDeadlinesAreInstantsOfWholeMilliseconds(t *testing.T) {
	c, at := newTimedClient(t)
	at.advance(123456789)
	c.follow(
		step{"SET a 1", "OK"},
		step{"EXPIRE a 100", "1"}, step{"PEXPIRETIME a", "1767225700123"}, step{"EXPIRETIME a", "1767225700"},
		step{"TTL a", "100"},
		step{"PEXPIRE a 1600", "1"}, step{"PEXPIRETIME a", "1767225601723"}, step{"EXPIRETIME a", "1767225602"},
		step{"TTL a", "2"},
		step{"EXPIREAT a 1767225700", "1"}, step{"PEXPIRETIME a", "1767225700000"}, step{"PTTL a", "99877"},
		step{"PEXPIREAT a 1767225700001", "1"}, step{"PEXPIRETIME a", "1767225700001"},
		step{"PERSIST a", "1"}, step{"TTL a", "-1"}, step{"PEXPIRETIME a", "-1"}, step{"PERSIST a", "0"},
	)
}

func TestConditionsOfExpireCompareDeadlines(t *testing.T) {
	for _, c := range []struct{ name, before, condition, want, after string }{
		{"NX where the pair stays", "", "NX", "1", "100"},
		{"NX where it has a deadline", "50", "NX", "0", "50"},
		{"XX where the pair stays", "", "XX", "0", "-1"},
		{"XX where it has a deadline", "50", "xx", "1", "100"},
		{"GT where the pair stays, which is longer than any time", "", "GT", "0", "-1"},
		{"GT with a later deadline", "50", "GT", "1", "100"},
		{"GT with the same deadline", "100", "GT", "0", "100"},
		{"GT with an earlier deadline", "150", "GT", "0", "150"},
		{"LT where the pair stays", "", "LT", "1", "100"},
		{"LT with a later deadline", "50", "LT", "0", "50"},
		{"LT with the same deadline", "100", "LT", "0", "100"},
		{"LT with an earlier deadline", "150", "lt", "1", "100"},
		{"XX and LT where the pair stays", "", "XX LT", "0", "-1"},
		{"XX and GT with a later deadline", "50", "GT XX GT", "1", "100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := newTimedClient(t)
			client.follow(step{"SET a 1", "OK"})
			if c.before != "" {
				client.follow(step{"EXPIRE a " + c.before, "1"})
			}
			client.follow(step{"EXPIRE a 100 " + c.condition, c.want}, step{"TTL a", c.after}, step{"GET a", `"1"`})
		})
	}
}

func TestExpireRefusesWhatRedisRefuses(t *testing.T) {
	c, _ := newTimedClient(t)
	c.follow(
		step{"SET a 1", "OK"},
		step{"EXPIRE a 10 foo", "-ERR Unsupported option foo"},
		step{"EXPIRE a x NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
		step{"EXPIRE a x GT LT", "-ERR GT and LT options at the same time are not compatible"},
		step{"EXPIRE a x", "-ERR value is not an integer or out of range"},
		step{"EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
		step{"EXPIRE a -9223372036854775808", "-ERR invalid expire time in 'expire' command"},
		step{"PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
		step{"EXPIREAT a 9223372036854775807", "-ERR invalid expire time in 'expireat' command"},
		step{"EXPIRE x 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
		step{"EXPIRE x 10", "0"},
		step{"TTL a", "-1"},
	)
}

func TestADeadlineThatHasPassedDeletes(t *testing.T) {
	for _, command := range []string{
		"EXPIRE a 0", "EXPIRE a -1", "PEXPIRE a -9223372036854775808", "EXPIREAT a 0", "EXPIREAT a 1767225600",
		"PEXPIREAT a -5", "EXPIRE a -1 LT",
	} {
		c, _ := newTimedClient(t)
		c.follow(step{"SET a 1", "OK"}, step{command, "1"}, step{"EXISTS a", "0"}, step{command, "0"})
	}
	c, _ := newTimedClient(t)
	c.follow(step{"SET a 1", "OK"}, step{"EXPIRE a -1 GT", "0"}, step{"EXISTS a", "1"})
}

// A store's deadlines are nanoseconds in 64 bits.
func TestADeadlineAfterTheLastInstantIsThatInstant(t *testing.T) {
	c, _ := newTimedClient(t)
	c.follow(
		step{"SET a 1 PXAT 9223372036854775807", "OK"}, step{"PEXPIRETIME a", "9223372036854"},
		step{"PEXPIREAT a 9223372036854775806 GT", "0"}, step{"GET a", `"1"`},
	)
	require.Equal(t, "7456146437", c.words("TTL a"))
}
