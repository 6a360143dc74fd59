package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestBoundsAreTheRangeThatFitsAll(t *testing.T) {
	for _, c := range []struct {
		name       string
		r          kv.Range
		start, end string
	}{
		{"a prefix ends before the next one", kv.Range{Prefix: []byte("ab")}, "ab", "ac"},
		{"bytes at their end are carried over", kv.Range{Prefix: []byte("a\xff\xff")}, "a\xff\xff", "b"},
		{"the last prefix has no end", kv.Range{Prefix: []byte("\xff")}, "\xff", ""},
		{"a range stays", kv.Range{Start: []byte("a"), End: []byte("c")}, "a", "c"},
		{"a start inside the prefix wins", kv.Range{Prefix: []byte("a"), Start: []byte("ab")}, "ab", "b"},
		{"a start before the prefix doesn't", kv.Range{Prefix: []byte("b"), Start: []byte("a")}, "b", "c"},
		{"an end inside the prefix wins", kv.Range{Prefix: []byte("a"), End: []byte("ab")}, "a", "ab"},
		{"an end after the prefix doesn't", kv.Range{Prefix: []byte("a"), End: []byte("z")}, "a", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start, end := bounds(c.r)
			require.Equal(t, c.start, string(start))
			require.Equal(t, c.end, string(end))
		})
	}
}
