package kv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireOrder checks that two keys order as items as they do as bytes.
func requireOrder(t *testing.T, a, b, common []byte) {
	t.Helper()
	aItem := item{order: keyOrder(a, common), pair: probe(a)}
	bItem := item{order: keyOrder(b, common), pair: probe(b)}
	require.Equal(t, bytes.Compare(a, b) < 0, aItem.less(bItem), "%q less than %q, common prefix %q", a, b, common)
}

func TestItemsOrderAsTheirKeysDo(t *testing.T) {
	keys := []string{
		"", "\x00", "\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\x01", "a", "a\x00",
		"a\x00\x00\x00\x00\x00\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00z", "abcdefg",
		"abcdefg\x00", "abcdefgh", "abcdefgh\x00", "abcdefghi", "abcdefghj", "abcdefgi", "b", "\xff\xff\xff\xff\xff\xff\xff\xff",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a\xff\xff\xff\xff\xff\xff\xff\xff",
	}
	for _, common := range []string{"", "\x00", "a", "a\x00", "abc", "abcdefgh", "b", "\xff"} {
		for _, a := range keys {
			for _, b := range keys {
				requireOrder(t, []byte(a), []byte(b), []byte(common))
			}
		}
	}
}

func FuzzItemsOrderAsTheirKeysDo(f *testing.F) {
	f.Add([]byte("user000000001"), []byte("user000000002"), []byte("user0"))
	f.Add([]byte("us"), []byte("user"), []byte("user"))
	f.Add([]byte("usf"), []byte("user\xff\xff\xff\xff\xff\xff\xff\xff"), []byte("user"))
	f.Fuzz(func(t *testing.T, a, b, common []byte) {
		requireOrder(t, a, b, common)
		requireOrder(t, append(bytes.Clone(common), a...), append(bytes.Clone(common), b...), common)
		requireOrder(t, a, append(bytes.Clone(common), b...), common)
	})
}

func TestItemsOrderAsTheirKeysDoAtRandom(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 5))
		a := randomBytes(random, 0, 20)
		b := append(bytes.Clone(a[:random.IntN(len(a)+1)]), randomBytes(random, 0, 12)...)
		common := append(bytes.Clone(a[:random.IntN(len(a)+1)]), randomBytes(random, 0, random.IntN(2))...)
		requireOrder(t, a, b, common)
	}
}

func TestCommonPrefixLeavesWhatTellsKeysApart(t *testing.T) {
	counter := func(form string, from, to int) (keys [][]byte) {
		for i := from; i < to; i++ {
			keys = append(keys, fmt.Appendf(nil, form, i))
		}
		return keys
	}
	cases := []struct {
		sentence  string
		ascending [][]byte
		want      string
	}{
		{"no keys", nil, ""},
		{"one key", [][]byte{[]byte("somewhat long")}, ""},
		{"the first keys of a counter leave room for the ones to come", counter("user%09d", 0, 1024), "user0"},
		{"what a counter has before its last eight digits", counter("user%09d", 123_456_000, 123_457_000), "user1"},
		{"keys that share little", [][]byte{[]byte("alpha"), []byte("beta"), []byte("gamma-gamma-gamma")}, ""},
		{"keys that begin alike and differ late", counter("a/long/name/%03d", 0, 1000), "a/long/"},
		{"keys that differ at once, and late", append([][]byte{[]byte("a")}, counter("user%09d", 0, 9)...), ""},
		{"short keys", counter("%04d", 0, 1024), ""},
		{"a key that is the others' prefix", [][]byte{[]byte("ab"), []byte("abcdefghijkl"), []byte("abcdefghijkm")}, "ab"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got := commonPrefix(c.ascending)
			require.Equal(t, c.want, string(got))
			require.NotNil(t, got, "nil is: not chosen yet")
		})
	}
}
