package differential

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// promised are the commands of kvctl serve whose replies depend on the stream alone, or that have a rule.
const promised = `PING ECHO QUIT HELLO AUTH RESET SELECT CLIENT COMMAND CONFIG INFO DBSIZE FLUSHDB FLUSHALL
	TIME LASTSAVE SAVE ACL GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX MGET MSET MSETNX APPEND STRLEN GETRANGE
	SETRANGE INCR DECR INCRBY DECRBY INCRBYFLOAT LCS GETBIT SETBIT BITCOUNT BITPOS BITOP BITFIELD BITFIELD_RO DEL
	UNLINK EXISTS TYPE RENAME RENAMENX COPY RANDOMKEY TOUCH KEYS SCAN OBJECT DUMP RESTORE MOVE EXPIRE PEXPIRE
	EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST MULTI EXEC DISCARD WATCH UNWATCH WAIT`

// neverRefused are those that take any arguments.
const neverRefused = "QUIT INFO"

// neverDone is what one database has no use for.
const neverDone = "MOVE"

// TestStreamsHaveEveryCommandDoneAndRefused shows that streams reach what they are for: every command is done and is
// refused, and EXEC also does nothing since a watched key has changed.
func TestStreamsHaveEveryCommandDoneAndRefused(t *testing.T) {
	c, err := resp.Dial(judged.Reference(t).Address)
	require.NoError(t, err)
	done, refused := map[string]int{}, map[string]int{}
	for seed := range uint64(240) {
		steps := slices.DeleteFunc(generate(seed, streamLength), func(one step) bool {
			quits := strings.EqualFold(one.args[0], "QUIT")
			if quits {
				done["QUIT"]++
			}
			return quits
		})
		for _, one := range steps {
			c.Put(one.args...)
		}
		require.NoError(t, c.Flush())
		for _, one := range steps {
			reply, err := c.Next()
			require.NoError(t, err)
			switch name := strings.ToUpper(one.args[0]); {
			case reply.IsError():
				refused[name]++
			case name == "EXEC" && reply.Null:
				done["EXEC, in vain"]++
			case reply.Text != "QUEUED":
				done[name]++
			}
		}
	}
	for name := range strings.FieldsSeq(promised) {
		if name != neverDone {
			require.Greater(t, done[name], 3, name)
		}
		if !strings.Contains(neverRefused, name) {
			require.Positive(t, refused[name], name)
		}
	}
	require.Greater(t, done["EXEC, in vain"], 10)
}

// TestAStreamIsMadeOfItsSeedAlone is what replaying depends on.
func TestAStreamIsMadeOfItsSeedAlone(t *testing.T) {
	require.Equal(t, generate(7, 500), generate(7, 500))
	require.NotEqual(t, generate(7, 500), generate(8, 500))
}

// TestNothingExpiresWhileAStreamRuns is what makes replies independent of how fast they come.
func TestNothingExpiresWhileAStreamRuns(t *testing.T) {
	for _, c := range []struct {
		soon    bool
		command string
	}{
		{true, "EXPIRE k 10"},
		{true, "expire k 49999"},
		{false, "EXPIRE k 50001"},
		{false, "EXPIRE k -1"},
		{false, "EXPIRE k x"},
		{true, "SET k v NX ex 3"},
		{false, "SET k v EX 99999"},
		{true, "PSETEX k 3000 v"},
		{true, "GETEX k PX 5"},
		{false, "GET k"},
		{true, "RESTORE k 5 v"},
		{false, "RESTORE k 5 v absttl"},
	} {
		require.Equal(t, c.soon, expiresSoon(strings.Fields(c.command)), c.command)
	}
	for seed := range uint64(20) {
		for _, one := range generate(seed, streamLength) {
			require.False(t, expiresSoon(one.args), one)
		}
	}
}

// TestStreamsDoNotStoreWhatOnlyRedisCanHold is what keeps the servers alike: a key or a deadline that only one of them
// holds would make all that follows differ. What both refuse stays in the streams.
func TestStreamsDoNotStoreWhatOnlyRedisCanHold(t *testing.T) {
	long := strings.Repeat("x", 64<<10+1)
	for _, c := range []struct {
		odd  bool
		args []string
	}{
		{true, []string{"set", "", "v"}},
		{true, []string{"SET", long, "v", "NX"}},
		{false, []string{"SET", long[1:], ""}},
		{true, []string{"MSET", "a", "", "", "b"}},
		{false, []string{"MSET", "a", "", "b", ""}},
		{true, []string{"RENAME", "a", ""}},
		{true, []string{"RESTORE", "", "0", "v"}},
		{true, strings.Fields("RESTORE k 9223372036855 v")},
		{true, strings.Fields("RESTORE k 9223372036854775807 v ABSTTL")},
		{false, strings.Fields("RESTORE k 9223372036854775807 v")},
		{false, []string{"RENAME", "", "a"}},
		{false, []string{"GET", ""}},
		{false, []string{"SET"}},
		{true, strings.Fields("EXPIRE k 9223372036")},
		{true, strings.Fields("EXPIREAT k 9223372036854775")},
		{false, strings.Fields("EXPIRE k 9223372036854775")},
		{false, strings.Fields("EXPIREAT k 9223372036854776")},
		{true, strings.Fields("PEXPIREAT k 9223372036854775807")},
		{false, strings.Fields("PEXPIRE k 9223372036854775807")},
		{true, strings.Fields("SET k v NX pxat 9223372036855")},
		{false, strings.Fields("SET k v EX 99999999")},
	} {
		require.Equal(t, c.odd, fillsOddKey(c.args) || expiresLate(c.args), c.args)
	}
}

// TestOnlyAForeignCursorMayBeRefused is about the one error that Redis hasn't.
func TestOnlyAForeignCursorMayBeRefused(t *testing.T) {
	for _, c := range []struct {
		want    verdict
		command string
		judged  string
	}{
		{explained, "SCAN 7", "ERR invalid cursor"},
		{explained, "scan -1 COUNT 3", "ERR invalid cursor"},
		{different, "SCAN 0", "ERR invalid cursor"},
		{different, "SCAN -0", "ERR invalid cursor"},
		{different, "SCAN", "ERR invalid cursor"},
		{different, "SCAN 7", "ERR syntax error"},
		{different, "GET 7", "ERR invalid cursor"},
	} {
		redis, judged := resp.Reply{Kind: '*', Raw: []byte("*2")}, resp.Reply{Kind: '-', Text: c.judged, Raw: []byte("-")}
		got, _ := compare(strings.Fields(c.command), nil, redis, judged, 0)
		require.Equal(t, c.want, got, c.command)
	}
}
