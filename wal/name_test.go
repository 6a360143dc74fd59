package wal

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesAreReadBackAndSortLikeOffsets(t *testing.T) {
	bases := []uint64{1, 2, 9, 10, 42, 1 << 32, math.MaxInt64, math.MaxUint64}
	var names []string
	for _, base := range bases {
		got, ok := parseName(storeName(base), storeSuffix)
		require.True(t, ok)
		require.Equal(t, base, got)
		got, ok = parseName(indexName(base), indexSuffix)
		require.True(t, ok)
		require.Equal(t, base, got)
		names = append(names, storeName(base))
	}
	require.True(t, slices.IsSorted(names))
}

func TestForeignNamesAreNotOurs(t *testing.T) {
	for _, test := range []struct{ sentence, name string }{
		{"no name at all", ""},
		{"only the ending", ".store"},
		{"another ending", "00000000000000000001.storage"},
		{"something after the ending", "00000000000000000001.store~"},
		{"a temporary name", "00000000000000000001.store.tmp"},
		{"too few digits", "0000000000000000001.store"},
		{"too many digits", "000000000000000000001.store"},
		{"a sign", "+0000000000000000001.store"},
		{"a minus", "-0000000000000000001.store"},
		{"an underscore, which numbers in Go may have", "0000000000_000000001.store"},
		{"a hexadecimal digit", "0000000000000000000a.store"},
		{"a blank", " 0000000000000000001.store"},
		{"a digit of another script", "000000000000000000١.store"},
		{"offset 0, which no record has", "00000000000000000000.store"},
		{"more than the largest offset", "18446744073709551616.store"},
		{"an index instead of a store", "00000000000000000001.index"},
		{"a directory before it", "a/00000000000000000001.store"},
	} {
		_, ok := parseName(test.name, storeSuffix)
		require.False(t, ok, "%s: %q", test.sentence, test.name)
	}
}

func TestOnlyUnfinishedFilesOfTheLogAreTemporary(t *testing.T) {
	require.True(t, isTemporary("00000000000000000001.store.tmp"))
	require.True(t, isTemporary("00000000000000000001.index.tmp"))
	for _, name := range []string{".tmp", "notes.tmp", "00000000000000000001.tmp", "00000000000000000001.store", "1.store.tmp"} {
		require.False(t, isTemporary(name), name)
	}
}
