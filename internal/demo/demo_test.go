package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The demo is a test of the store. These are tests of the demo: it must not call a false claim checked.

func TestAClaimThatDoesNotHoldEndsTheDemo(t *testing.T) {
	var out bytes.Buffer
	s := &stage{out: &out}
	require.NoError(t, s.claim(true, "two is %d", 2))
	require.ErrorContains(t, s.claim(false, "two is %d", 3), "two is 3")
	require.Equal(t, "   checked: two is 2\n", out.String())
}

func TestLongTextIsBrokenBetweenWords(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 40))
	wrapped := wrap(long, "> ", "  ")
	require.Equal(t, long, strings.Join(strings.Fields(strings.TrimPrefix(wrapped, "> ")), " "))
	for line := range strings.Lines(wrapped) {
		require.LessOrEqual(t, len(line), maxWidth+1)
	}
	require.Equal(t, "> "+strings.Repeat("x", 200)+"\n", wrap(strings.Repeat("x", 200), "> ", "  "))
}

func TestOnlyTheFirstRowsWithTheirValuesAreAPrefix(t *testing.T) {
	set := &dataSet{keys: []string{"a", "b", "c"}}
	full := map[string]string{"a": "1", "b": "2", "c": "3"}
	cases := []struct {
		name  string
		found map[string]string
		want  bool
	}{
		{"nothing", map[string]string{}, true},
		{"the first", map[string]string{"a": "1"}, true},
		{"all", full, true},
		{"a later one without an earlier one", map[string]string{"a": "1", "c": "3"}, false},
		{"a wrong value", map[string]string{"a": "1", "b": "3"}, false},
		{"a key that the file doesn't have", map[string]string{"a": "1", "x": "2"}, false},
		{"one key too many", map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, isPrefix(set, full, c.found)) })
	}
}

func TestTheKillComesAfterEnoughAcknowledgements(t *testing.T) {
	kills := 0
	kill := func() error { kills++; return nil }
	last, err := killAt(strings.NewReader("acked 100 1\nnoise\nacked 200 2\nacked 300 3\n"), 200, kill)
	require.NoError(t, err)
	require.Equal(t, ack{line: "acked 300 3", rows: 300}, last, "lines printed before the process died count")
	require.Equal(t, 1, kills)

	_, err = killAt(strings.NewReader("acked 100 1\n"), 200, kill)
	require.ErrorContains(t, err, "only 100 rows")
	_, err = killAt(strings.NewReader("acked 200 2\n"), 200, func() error { return errors.New("no such process") })
	require.ErrorContains(t, err, "no such process")
	require.False(t, wasKilled(nil), "an import that ended by itself was not killed")
}

func TestOneBitOfOneFileIsFlipped(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "wal", "1.store")
	before := []byte(`{"name":"GRINNING FACE WITH"} {"name":"GRINNING FACE"}`)
	require.NoError(t, os.Mkdir(filepath.Dir(store), 0o700))
	require.NoError(t, os.WriteFile(store, before, 0o600))
	_, err := flipBit(dir)
	require.NoError(t, err)
	after, err := os.ReadFile(store)
	require.NoError(t, err)
	require.Len(t, after, len(before))
	flipped := 0
	for i := range before {
		flipped += bits.OnesCount8(before[i] ^ after[i])
	}
	require.Equal(t, 1, flipped)
	_, err = flipBit(dir)
	require.ErrorContains(t, err, "holds")
}

func TestTheDataSetIsReadWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "set.tsv.gz")
	var text bytes.Buffer
	zip := gzip.NewWriter(&text)
	_, err := zip.Write([]byte("code\tname\n0041\tA\n0042\tB"))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	require.NoError(t, os.WriteFile(file, text.Bytes(), 0o600))
	set, err := readDataSet(file)
	require.NoError(t, err)
	require.Equal(t, []string{"0041", "0042"}, set.keys)
	require.Equal(t, "code\tname\n", string(set.header))
	require.Equal(t, 1, set.count(func(key string) bool { return key > "0041" }))

	set, err = readDataSet("../../testdata/unicode/UnicodeData.tsv.gz")
	require.NoError(t, err)
	require.Len(t, set.keys, 34924)
}
