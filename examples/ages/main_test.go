package main

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

const philosophers = `{"name":"Plato","born":-428} {"name":"Hypatia","born":360} {"name":"Ada","born":1815}
	{"name":"Grace","born":1906} {"name":"Alan","born":1912} {"name":"Radia","born":1951}`

func TestPeopleComeByTheirAge(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, addPeople(t.Context(), dir, strings.NewReader(philosophers)))
	cases := []struct {
		name string
		born kv.Range
		want string
	}{
		{"all", through(math.MinInt64, math.MaxInt64), "-428 Plato\n360 Hypatia\n1815 Ada\n1906 Grace\n1912 Alan\n1951 Radia\n"},
		{"both ends count", through(1906, 1912), "1906 Grace\n1912 Alan\n"},
		{"before the year 1", through(math.MinInt64, 0), "-428 Plato\n"},
		{"nobody", through(2000, 2100), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, printPeople(t.Context(), dir, c.born, &out))
			require.Equal(t, c.want, out.String())
		})
	}
}

func TestAPersonThatIsCorrectedMoves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, addPeople(t.Context(), dir, strings.NewReader(philosophers)))
	require.NoError(t, addPeople(t.Context(), dir, strings.NewReader(`{"name":"Plato","born":-427}`)))
	var out bytes.Buffer
	require.NoError(t, printPeople(t.Context(), dir, through(math.MinInt64, 0), &out))
	require.Equal(t, "-427 Plato\n", out.String())
}

func TestAPersonThatCannotBeReadAddsNobody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	err := addPeople(t.Context(), dir, strings.NewReader(`{"name":"Ada","born":1815} {"name":`))
	require.ErrorContains(t, err, "person 2")
	require.NoDirExists(t, dir)
	require.ErrorIs(t, printPeople(t.Context(), dir, kv.Range{}, new(bytes.Buffer)), kv.ErrNotStore)
}

func TestKeysOfYearsSortAsYearsDo(t *testing.T) {
	years := []int64{math.MinInt64, -428, -1, 0, 1, 255, 256, 1815, math.MaxInt64}
	require.True(t, slices.IsSortedFunc(years, func(a, b int64) int { return bytes.Compare(yearKey(a), yearKey(b)) }))
}
