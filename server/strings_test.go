package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestValuesAreReadAndWrittenAsRedisDoes(t *testing.T) {
	play(t, []scene{
		{"MGET has a null for each key that isn't there", []step{
			{"MSET a 1 b 2", "OK"},
			{"MGET a x b a", `["1" nil "2" "1"]`},
			{"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
		}},
		{"MSETNX writes all pairs or none", []step{
			{"MSETNX a 1 b 2", "1"},
			{"MSETNX c 3 b 4", "0"},
			{"MGET a b c", `["1" "2" nil]`},
			{"MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"},
		}},
		{"SETNX writes only where there is nothing", []step{
			{"SETNX a 1", "1"},
			{"SETNX a 2", "0"},
			{"GET a", `"1"`},
		}},
		{"GETSET takes the deadline away", []step{
			{"GETSET a 1", "nil"},
			{"EXPIRE a 100", "1"},
			{"GETSET a 2", `"1"`},
			{"TTL a", "-1"},
		}},
		{"GETDEL deletes what it answers", []step{
			{"SET a 1", "OK"},
			{"GETDEL a", `"1"`},
			{"GETDEL a", "nil"},
			{"EXISTS a", "0"},
		}},
		{"APPEND keeps the deadline", []step{
			{"APPEND a wal", "3"},
			{"EXPIRE a 100", "1"},
			{"APPEND a nut", "6"},
			{"GET a", `"walnut"`},
			{"TTL a", "100"},
			{"STRLEN a", "6"},
			{"STRLEN x", "0"},
		}},
		{"the empty value is one", []step{
			{`SET a ""`, "OK"},
			{"GET a", `""`},
			{"EXISTS a", "1"},
			{`APPEND b ""`, "0"},
			{"EXISTS b", "1"},
		}},
	})
}

func TestWhatAStoreCannotHoldIsRefusedAndChangesNothing(t *testing.T) {
	const emptyKey = "-ERR the key is empty, which this store can't hold"
	play(t, []scene{
		{"reads find nothing under the empty key", []step{
			{`GET ""`, "nil"},
			{`MGET ""`, "[nil]"},
			{`EXISTS ""`, "0"},
			{`DEL ""`, "0"},
			{`GETDEL ""`, "nil"},
			{`TTL ""`, "-2"},
			{`EXPIRE "" 1`, "0"},
			{`TYPE ""`, "none"},
		}},
		{"writes to the empty key are refused", []step{
			{"SET a 1", "OK"},
			{`SET "" 1`, emptyKey},
			{`APPEND "" 1`, emptyKey},
			{`INCR ""`, emptyKey},
			{`RENAME a ""`, emptyKey},
			{`COPY a ""`, emptyKey},
			{"GET a", `"1"`},
		}},
		{"MSET with one such key writes none", []step{
			{`MSET a 1 "" 2 b 3`, emptyKey},
			{`MSETNX a 1 "" 2 b 3`, emptyKey},
			{"MGET a b", "[nil nil]"},
		}},
	})
	t.Run("a key over 64 KiB", func(t *testing.T) {
		c, key := newClient(t), strings.Repeat("k", kv.MaxKeySize+1)
		const want = "-ERR the key is larger than 64 KiB, which this store can't hold"
		require.Equal(t, want, c.do("SET", key, "1"))
		require.Equal(t, want, c.do("MSET", "a", "1", key, "2"))
		require.Equal(t, "nil", c.do("GET", key))
		require.Equal(t, "nil", c.do("GET", "a"))
		require.Equal(t, "OK", c.do("SET", key[1:], "1"))
	})
	t.Run("a value over 32 MiB", func(t *testing.T) {
		c, half := newClient(t), strings.Repeat("v", kv.MaxValueSize/2)
		require.Equal(t, "-ERR the value is larger than 32 MiB, which this store can't hold",
			c.do("SET", "a", half+half+"v"))
		require.Equal(t, "OK", c.do("SET", "a", half))
		require.Equal(t, "33554432", c.do("APPEND", "a", half))
		require.Equal(t, "-ERR string exceeds maximum allowed size (proto-max-bulk-len)", c.do("APPEND", "a", "v"))
		require.Equal(t, "33554432", c.do("STRLEN", "a"))
	})
}

func TestCommandsThatAreTooLargeTogetherAreDoneOneByOne(t *testing.T) {
	db := openStore(t, kv.Options{MaxCommitSize: 1 << 20})
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	require.Equal(t, "OK", c.do("SET", "a", strings.Repeat("v", 600<<10)))
	before := db.Offset()
	c.send(encode("COPY", "a", "b") + encode("GET", "x") + encode("APPEND", "a", "v") + encode("COPY", "a", "c") +
		encode("STRLEN", "c"))
	for _, want := range []string{"1", "nil", "614401", "1", "614401"} {
		require.Equal(t, want, c.reply())
	}
	require.Equal(t, before+3, db.Offset())
	c.send(encode("SET", "first", "1") + encode("SETRANGE", "b", "1100000", "v") + encode("SET", "last", "1"))
	require.Equal(t, "OK", c.reply())
	require.Contains(t, c.reply(), "-ERR kv: write in a transaction refused: kv: commit is too large")
	require.Equal(t, "OK", c.reply())
	require.Equal(t, `["1" "1"]`, c.words("MGET first last"))
}

func TestATransactionThatIsTooLargeHappensNotAtAll(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{MaxCommitSize: 1 << 20}), server.Options{})
	c := dial(t, address)
	require.Equal(t, "OK", c.do("SET", "a", strings.Repeat("v", 600<<10)))
	c.follow(
		step{"MULTI", "OK"}, step{"SET first 1", "QUEUED"}, step{"COPY a b", "QUEUED"}, step{"COPY a c", "QUEUED"},
	)
	require.Contains(t, c.words("EXEC"), "-ERR kv: write in a transaction refused: kv: commit is too large")
	require.Equal(t, "0", c.words("EXISTS first b c"))
}

func TestSetRangeGrowsAValueWithZeros(t *testing.T) {
	const tooLong = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"
	play(t, []scene{
		{"a part is replaced", []step{
			{"SET a hello", "OK"},
			{"SETRANGE a 1 ipp", "5"},
			{"GET a", `"hippo"`},
		}},
		{"the gap is zeros", []step{
			{"SETRANGE a 2 xy", "4"},
			{"GET a", `"\x00\x00xy"`},
		}},
		{"nothing to write makes no pair", []step{
			{`SETRANGE a 5 ""`, "0"},
			{"EXISTS a", "0"},
		}},
		{"the deadline stays", []step{
			{"SET a hello EX 100", "OK"},
			{"SETRANGE a 0 j", "5"},
			{"TTL a", "100"},
		}},
		{"limits are checked before memory is taken", []step{
			{"SETRANGE a 33554432 x", tooLong},
			{"SETRANGE a 9223372036854775807 x", tooLong},
			{"SETRANGE a -1 x", "-ERR offset is out of range"},
			{"SETRANGE a x x", "-ERR value is not an integer or out of range"},
			{`SETRANGE a 9223372036854775807 ""`, "0"},
			{"SETRANGE a 33554431 x", "33554432"},
		}},
	})
}

func TestGetRangeCountsFromBothEnds(t *testing.T) {
	c := newClient(t)
	c.follow(step{"SET a walnut", "OK"})
	for _, s := range []step{
		{"0 -1", `"walnut"`},
		{"0 2", `"wal"`},
		{"-3 -1", `"nut"`},
		{"3 100", `"nut"`},
		{"-100 0", `"w"`},
		{"4 2", `""`},
		{"-1 -3", `""`},
		{"6 9", `""`},
		{"-100 -50", `"w"`},
		{"0 x", "-ERR value is not an integer or out of range"},
		{"0 9223372036854775807", `"walnut"`},
		{"-9223372036854775808 -9223372036854775807", `"w"`},
	} {
		c.follow(step{"GETRANGE a " + s.send, s.want}, step{"SUBSTR a " + s.send, s.want})
	}
	c.follow(step{"GETRANGE x 0 -1", `""`})
}
