package server_test

import (
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// dumps are what Redis 7.0.15 made of values.
var dumps = []struct {
	value, dump string
	compressed  bool
}{
	{"", "00000a005d9b5c400f7fa2da", false},
	{"1", "00c0010a002678e7b6d10111fc", false},
	{"-1", "00c0ff0a000c937e2485089dc5", false},
	{"127", "00c07f0a000db5eb315254c514", false},
	{"128", "00c180000a00eb7ab3b510cf4b65", false},
	{"-129", "00c17fff0a001760822854808480", false},
	{"32767", "00c1ff7f0a00495a37da17f4d52b", false},
	{"32768", "00c2008000000a0045d82eedd5bda910", false},
	{"2147483647", "00c2ffffff7f0a002c74e59ee02eada1", false},
	{"-2147483648", "00c2000000800a00c74f873e33558187", false},
	{"2147483648", "000a323134373438333634380a00e7b129a34c1d76ee", false},
	{"-2147483649", "000b2d323134373438333634390a00c261377908f2028c", false},
	{"01", "000230310a006cddc441144c7da4", false},
	{"-0", "00022d300a00d5411fd9d6d050cc", false},
	{"abc", "00036162630a00d9ac303d4172a2e2", false},
	{strings.Repeat("x", 20), "001478787878787878787878787878787878787878780a005b3c81eca58cc56b", false},
	{"abcdefghijklmnopqrstu", "00156162636465666768696a6b6c6d6e6f7071727374750a00ad1c23029a10e306", false},
	{strings.Repeat("x", 21), "00c30615017878e00a000a00941a83676017192f", true},
	{strings.Repeat("x", 63), "00c3093f017878e032000178780a0072a017a560edf6e5", true},
	{strings.Repeat("abc", 8), "00c30a180361626361e00a0200630a007fc3e2201281166e", true},
	{strings.Repeat("0123456789", 100), "" +
		"00c31b43e80a3031323334353637383930e0ff09e1ff0de2ff11e2ba110138390a00f7747d029fc37454", true},
}

func unhex(t *testing.T, text string) string {
	t.Helper()
	bytes, err := hex.DecodeString(text)
	require.NoError(t, err)
	return string(bytes)
}

func TestDumpsOfRedisRestore(t *testing.T) {
	c := newClient(t)
	for _, d := range dumps {
		dump := unhex(t, d.dump)
		require.Equal(t, "OK", c.do("RESTORE", "a", "0", dump, "REPLACE"))
		require.Equal(t, strconv.Quote(d.value), c.do("GET", "a"))
		if !d.compressed {
			require.Equal(t, strconv.Quote(dump), c.do("DUMP", "a"))
		}
	}
	require.Equal(t, "nil", c.do("DUMP", "x"))
}

func TestEveryLengthComesBackFromItsDump(t *testing.T) {
	c := newClient(t)
	for _, length := range []int{63, 64, 1<<14 - 1, 1 << 14, kv.MaxValueSize} {
		value := strings.Repeat("v", length)
		require.Equal(t, "OK", c.do("SET", "a", value))
		dump, err := strconv.Unquote(c.do("DUMP", "a"))
		require.NoError(t, err)
		require.Equal(t, "OK", c.do("RESTORE", "a", "0", dump, "REPLACE"))
		require.Equal(t, strconv.Itoa(length), c.do("STRLEN", "a"))
		require.Equal(t, "1", c.do("DEL", "a"))
	}
}

func TestRestoreRefusesAsRedisDoes(t *testing.T) {
	const (
		notSound   = "-ERR DUMP payload version or checksum are wrong"
		badFormat  = "-ERR Bad data format"
		notInteger = "-ERR value is not an integer or out of range"
		syntax     = "-ERR syntax error"
	)
	good := strconv.Quote(unhex(t, "00036162630a00d9ac303d4172a2e2"))
	play(t, []scene{
		{"the footer", []step{
			{"RESTORE a 0 abc", notSound},
			{`RESTORE a 0 ""`, notSound},
			{"RESTORE a 0 " + strings.Replace(good, "abc", "abd", 1), notSound},
			{"RESTORE a 0 " + strconv.Quote(unhex(t, "00036162630b00b0738d4ebced4b6b")), notSound},
			{"EXISTS a", "0"},
		}},
		{"a sound dump of nothing that a store holds", []step{
			{"RESTORE a 0 " + strconv.Quote("\x01\n\x00\xe3\xa3\x1c\x8e&.\xb0."), badFormat},
		}},
		{"the key, then the time, then the dump", []step{
			{"SET a old", "OK"},
			{"RESTORE a x abc", "-BUSYKEY Target key name already exists."},
			{"RESTORE a x abc FOO", syntax},
			{"RESTORE a x abc REPLACE", notInteger},
			{"RESTORE a -1 abc REPLACE", "-ERR Invalid TTL value, must be >= 0"},
			{"RESTORE a 0 abc REPLACE", notSound},
			{"GET a", `"old"`},
			{"RESTORE a 0 " + good + " replace", "OK"},
			{"GET a", `"abc"`},
		}},
		{"how much the value is used isn't kept", []step{
			{"RESTORE a 0 " + good + " IDLETIME 5 FREQ 5", syntax},
			{"RESTORE a 0 " + good + " FREQ 5 IDLETIME 5", syntax},
			{"RESTORE a 0 " + good + " FREQ", syntax},
			{"RESTORE a 0 " + good + " IDLETIME x", notInteger},
			{"RESTORE a 0 " + good + " IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0"},
			{"RESTORE a 0 " + good + " FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255"},
			{"RESTORE a 0 " + good + " IDLETIME 5 idletime 6", "OK"},
			{"RESTORE b 0 " + good + " FREQ 255", "OK"},
		}},
		{"the empty key", []step{{`RESTORE "" 0 ` + good, "-ERR the key is empty, which this store can't hold"}}},
	})
}

func TestRestoreGivesADeadline(t *testing.T) {
	good := strconv.Quote(unhex(t, "00036162630a00d9ac303d4172a2e2"))
	play(t, []scene{
		{"from now on, in milliseconds", []step{
			{"RESTORE a 100000 " + good, "OK"},
			{"TTL a", "100"},
		}},
		{"an instant", []step{
			{"RESTORE a 4000000000123 " + good + " ABSTTL", "OK"},
			{"PEXPIRETIME a", "4000000000123"},
		}},
		{"none, which takes away that of the pair before", []step{
			{"SET a old EX 100", "OK"},
			{"RESTORE a 0 " + good + " REPLACE", "OK"},
			{"TTL a", "-1"},
		}},
		{"one that has passed deletes the pair before", []step{
			{"SET a old", "OK"},
			{"RESTORE a 1 " + good + " REPLACE ABSTTL", "OK"},
			{"EXISTS a", "0"},
		}},
		{"one that Redis can't count has passed", []step{
			{"RESTORE a 9223372036854775807 " + good, "OK"},
			{"EXISTS a", "0"},
		}},
	})
}

func TestAWatchedKeyThatIsRestoredHasChanged(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c, other := dial(t, address), dial(t, address)
	require.Equal(t, "OK", c.do("SET", "a", "abc"))
	require.Equal(t, "OK", c.do("WATCH", "a"))
	require.Equal(t, "OK", other.do("RESTORE", "a", "0", unhex(t, "00036162630a00d9ac303d4172a2e2"), "REPLACE"))
	c.follow(step{"MULTI", "OK"}, step{"GET a", "QUEUED"}, step{"EXEC", "nil"})
}
