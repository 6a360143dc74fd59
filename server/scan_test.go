package server_test

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestKeysMatchesAsRedisDoes(t *testing.T) {
	c := newClient(t)
	all := []string{
		"a", "ab", "abc", "b", "user:1", "user:12", "user:2", "x*y", "k[1]", `back\slash`, "a-b", "^a", "\x80", "\xff",
	}
	for _, key := range all {
		require.Equal(t, "OK", c.do("SET", key, "1"))
	}
	for _, s := range []struct{ pattern, want string }{
		{"nothing", ""},
		{"a", "a"},
		{"a*", "a a-b ab abc"},
		{"*b", "a-b ab b"},
		{"a*b*", "a-b ab abc"},
		{"user:?", "user:1 user:2"},
		{"user:[13-9]*", "user:1 user:12"},
		{"[^a-z]*", "^a \x80 \xff"},
		{"[^^]*b", "a-b ab"},
		{`x\*y`, "x*y"},
		{`x\**`, "x*y"},
		{`k\[1\]`, "k[1]"},
		{`*\\*`, `back\slash`},
		{`*[\]]`, "k[1]"},
		{"[c-a]", "a b"},
		{"a[-]b", "a-b"},
		{"[a", "a"},
		{"[^", "a b \x80 \xff"},
		{"[\x81-\xff]", "\xff"},
		{"[\x80-a]", "a \x80 \xff"},
		{`a\`, ""},
		{"a**b", "a-b ab"},
		{"**", strings.Join(slices.Sorted(slices.Values(all)), " ")},
		{"*", strings.Join(slices.Sorted(slices.Values(all)), " ")},
	} {
		var quoted []string
		for _, key := range strings.Fields(s.want) {
			quoted = append(quoted, fmt.Sprintf("%q", key))
		}
		want := "[" + strings.Join(quoted, " ") + "]"
		require.Equal(t, want, c.do("KEYS", s.pattern), "KEYS %q", s.pattern)
		reply := c.do("SCAN", "0", "COUNT", "100", "MATCH", s.pattern)
		require.Equal(t, `["0" `+want+"]", reply, "SCAN MATCH %q", s.pattern)
	}
}

// scanned returns the cursor of a reply to SCAN, and the keys in quotes.
func scanned(t *testing.T, reply string) (cursor string, keys []string) {
	t.Helper()
	cursor, list, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(reply, `["`), "]]"), `" [`)
	require.True(t, ok, "%s isn't a reply to SCAN", reply)
	return cursor, strings.Fields(list)
}

func TestScanYieldsEachKeyOnceWhateverHappensMeanwhile(t *testing.T) {
	_, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	c, other := dial(t, address), dial(t, address)
	for i := range 100 {
		require.Equal(t, "OK", c.do("SET", fmt.Sprintf("key%02d", i), "1"))
	}
	var found []string
	cursor := "0"
	for round := 0; round == 0 || cursor != "0"; round++ {
		var keys []string
		cursor, keys = scanned(t, []*client{c, other}[round%2].do("SCAN", cursor, "COUNT", "7", "MATCH", "key*"))
		require.LessOrEqual(t, len(keys), 7)
		found = append(found, keys...)
		other.do("DEL", strings.Trim(keys[len(keys)-1], `"`)) // That after which the next one goes on.
		other.do("SET", fmt.Sprintf("key%02d-%d", 50, round), "1")
		other.do("SET", fmt.Sprintf("before%d", round), "1")
	}
	for i := range 100 {
		want := fmt.Sprintf(`"key%02d"`, i)
		count := 0
		for _, key := range found {
			if key == want {
				count++
			}
		}
		require.Equal(t, 1, count, want)
	}
}

func TestCountSaysHowManyKeysScanLooksAt(t *testing.T) {
	c := newClient(t)
	for i := range 25 {
		c.do("SET", fmt.Sprintf("key%02d", i), "1")
	}
	cursor, keys := scanned(t, c.words("SCAN 0 MATCH *3"))
	require.Equal(t, []string{`"key03"`}, keys)
	_, keys = scanned(t, c.words("SCAN "+cursor+" MATCH *3"))
	require.Equal(t, []string{`"key13"`}, keys)
	require.Equal(t, `["0" ["key13"]]`, c.words("SCAN 0 MATCH key13 COUNT 1"), "a key that is said whole is looked up")
	require.Equal(t, `["0" ["key20" "key21" "key22" "key23" "key24"]]`, c.words("SCAN 0 MATCH key2* COUNT 5"))
	require.Equal(t, `["0" []]`, c.words("SCAN 0 TYPE hash COUNT 25"))
	cursor, _ = scanned(t, c.words("SCAN 0 TYPE hash COUNT 24"))
	require.NotEqual(t, "0", cursor)
	require.Equal(t, `["0" ["key24"]]`, c.words("SCAN "+cursor+" TYPE STRING"))
}

func TestScanRefusesWhatIsNotRight(t *testing.T) {
	c := newClient(t)
	c.follow(step{"SET a 1", "OK"})
	for _, s := range []step{
		{"SCAN x", "-ERR invalid cursor"},
		{"SCAN 1", "-ERR invalid cursor"},
		{"SCAN -1", "-ERR invalid cursor"},
		{"SCAN 18446744073709551615", "-ERR invalid cursor"},
		{"SCAN 18446744073709551616", "-ERR invalid cursor"},
		{"SCAN x COUNT x", "-ERR invalid cursor"},
		{`SCAN "0 "`, "-ERR invalid cursor"},
		{`SCAN " 0"`, "-ERR invalid cursor"},
		{"SCAN -", "-ERR invalid cursor"},
		{"SCAN -1 COUNT", "-ERR syntax error"},
		{"SCAN 0 COUNT x", "-ERR value is not an integer or out of range"},
		{"SCAN 0 COUNT 0", "-ERR syntax error"},
		{"SCAN 0 COUNT", "-ERR syntax error"},
		{"SCAN 0 MATCH", "-ERR syntax error"},
		{"SCAN 0 foo bar", "-ERR syntax error"},
		{"SCAN 0 COUNT 9223372036854775807", `["0" ["a"]]`},
	} {
		c.follow(s)
	}
}

func TestACursorIsReadAsCReadsIt(t *testing.T) {
	c := newClient(t)
	c.follow(step{"SET a 1", "OK"})
	for _, zero := range []string{"0", "00", "+0", "-0", `""`, `"\x00"`, `"0\x001"`} {
		c.follow(step{"SCAN " + zero, `["0" ["a"]]`})
	}
	c.follow(step{"SET b 1", "OK"})
	cursor, _ := scanned(t, c.words("SCAN 0 COUNT 1"))
	number, err := strconv.ParseUint(cursor, 10, 64)
	require.NoError(t, err)
	for _, same := range []string{"0" + cursor, "+" + cursor, fmt.Sprint("-", -number)} {
		c.follow(step{"SCAN " + same, `["0" ["b"]]`})
	}
}

func TestTheSamePlaceHasTheSameCursorUntilItIsForgotten(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	const keys, kept = 16<<10 + 2, 16 << 10
	var batch kv.Batch
	for i := range keys {
		batch.Put(fmt.Appendf(nil, "key%05d", i), nil)
	}
	_, err := db.Apply(&batch)
	require.NoError(t, err)
	cursors := make([]string, kept+1)
	for i := range kept {
		cursors[i+1], _ = scanned(t, c.do("SCAN", cmp.Or(cursors[i], "0"), "COUNT", "1"))
	}
	again, _ := scanned(t, c.words("SCAN 0 COUNT 1"))
	require.Equal(t, cursors[1], again)
	end, _ := scanned(t, c.do("SCAN", cursors[2], "COUNT", "100000"))
	require.Equal(t, "0", end)
	scanned(t, c.do("SCAN", cursors[kept], "COUNT", "1")) // One more than there is room for: the third goes.
	require.Equal(t, "-ERR invalid cursor", c.do("SCAN", cursors[3]))
	for _, used := range []string{cursors[1], cursors[2], cursors[5]} {
		scanned(t, c.do("SCAN", used, "COUNT", "1"))
	}
}

func TestCursorsOfLongKeysAreForgottenSooner(t *testing.T) {
	c := newClient(t)
	for i := range 258 { // 256 of them have 16 MiB; the last one needs no cursor.
		require.Equal(t, "OK", c.do("SET", fmt.Sprintf("%0*d", kv.MaxKeySize, i), "1"))
	}
	first, _ := scanned(t, c.words("SCAN 0 COUNT 1"))
	second, _ := scanned(t, c.do("SCAN", first, "COUNT", "1"))
	for cursor := second; cursor != "0"; {
		cursor, _ = scanned(t, c.do("SCAN", cursor, "COUNT", "1"))
	}
	require.Equal(t, "-ERR invalid cursor", c.do("SCAN", first))
	require.NotContains(t, c.do("SCAN", second, "COUNT", "1"), "invalid")
}

func TestConnectionsScanAtTheSameTime(t *testing.T) {
	db := openStore(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	for i := range 500 {
		_, err := db.Put(fmt.Appendf(nil, "key%03d", i), nil)
		require.NoError(t, err)
	}
	counts := make(chan int)
	const connections = 4
	for range connections {
		c := dial(t, address)
		go func() {
			count := 0
			for cursor := "0"; cursor != "0" || count == 0; {
				_, _ = io.WriteString(c.conn, encode("SCAN", cursor, "COUNT", "3"))
				reply, err := c.read()
				if !assert.NoError(t, err) {
					break
				}
				var keys []string
				cursor, keys = scanned(t, reply)
				count += len(keys)
			}
			counts <- count
		}()
	}
	for range connections {
		require.Equal(t, 500, <-counts)
	}
}

func TestRandomKeyReachesEveryKey(t *testing.T) {
	c := newClient(t)
	c.follow(step{"RANDOMKEY", "nil"})
	missing := map[string]bool{}
	for _, key := range []string{"a", "aa", "aaa", "b", "user:1", "user:21", "user:9", "z\x00", "z\xff", "\xff"} {
		require.Equal(t, "OK", c.do("SET", key, "1"))
		missing[fmt.Sprintf("%q", key)] = true
	}
	for range 5000 {
		delete(missing, c.do("RANDOMKEY"))
	}
	require.Empty(t, missing)
}
