package kv

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAScanIsResumedAfterAKey(t *testing.T) {
	db := openMemory(t, Options{})
	for _, key := range []string{"a", "b", "b\x00", "ba", "c", "d\xff"} {
		put(t, db, key, "")
	}
	for _, c := range []struct {
		sentence string
		r        Range
		want     string
	}{
		{"the key itself isn't yielded again", Range{After: []byte("b")}, "b\x00 ba c d\xff"},
		{"the key need not be there any more", Range{After: []byte("bZ")}, "ba c d\xff"},
		{"a descending scan goes on to smaller keys", Range{After: []byte("ba"), Reverse: true}, "b\x00 b a"},
		{"a later start counts", Range{Start: []byte("c"), After: []byte("a")}, "c d\xff"},
		{"an earlier end counts", Range{End: []byte("b"), After: []byte("c"), Reverse: true}, "a"},
		{"it narrows a prefix", Range{Prefix: []byte("b"), After: []byte("b")}, "b\x00 ba"},
		{"it narrows a prefix from its end", Range{Prefix: []byte("b"), After: []byte("ba"), Reverse: true}, "b\x00 b"},
		{"a key before the range leaves it whole", Range{Prefix: []byte("b"), After: []byte("a")}, "b b\x00 ba"},
		{"a key after the range leaves nothing", Range{Prefix: []byte("b"), After: []byte("c")}, ""},
		{"the last key leaves nothing", Range{After: []byte("d\xff")}, ""},
		{"a limit counts from there", Range{After: []byte("a"), Limit: 2}, "b b\x00"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var keys []string
			for key := range db.Scan(c.r) {
				keys = append(keys, string(key))
			}
			require.Equal(t, c.want, strings.Join(keys, " "))
			require.Equal(t, len(keys), counted(t, db, c.r))
		})
	}
}

func TestPagesOfAScanAreTheWholeScan(t *testing.T) {
	db := openMemory(t, Options{})
	for i := range 100 {
		put(t, db, fmt.Sprintf("%02d", i), "")
	}
	for _, reverse := range []bool{false, true} {
		for size := 1; size < 12; size++ {
			var paged []string
			for page := (Range{Limit: size, Reverse: reverse}); ; {
				before := len(paged)
				for key, value := range db.Scan(page) {
					paged = append(paged, fmt.Sprintf("%s=%s", key, value))
					page.After = key
				}
				if len(paged) == before {
					break
				}
			}
			require.Equal(t, lines(db.Scan(Range{Reverse: reverse})), paged)
		}
	}
}

func TestThePrefixEndIsTheFirstKeyAfterAllWithThePrefix(t *testing.T) {
	for _, c := range []struct{ sentence, prefix, want string }{
		{"the last byte is one more", "ab", "ac"},
		{"a last byte that has no next is cut off", "a\xff\xff", "b"},
		{"an empty prefix has no end", "", ""},
		{"nor has one of the greatest bytes alone", "\xff\xff", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			prefix := []byte(c.prefix)
			require.Equal(t, c.want, string(PrefixEnd(prefix)))
			require.True(t, bytes.Equal([]byte(c.prefix), prefix), "the prefix is left alone")
		})
	}
}
