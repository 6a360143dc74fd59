//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestStatsThatWatchShowTheWritersNumbersOnATerminal(t *testing.T) {
	dir := t.TempDir()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	_, err = db.Put([]byte("a"), []byte("1"))
	require.NoError(t, err)
	m := startOnTerminal(t, dir, "stats", "--watch", "--every", "50ms")
	m.shows("keys")
	m.shows(" 1\r\n")
	_, err = db.Put([]byte("b"), []byte("2"))
	require.NoError(t, err)
	m.shows("\x1b[2J") // In place of the last ones.
	m.shows("keys")
	m.shows(" 2\r\n")
	m.types(keyCtrlC)
	require.Zero(t, m.ends())
	require.NoError(t, db.Close())
}

func TestAnImportShowsItsProgressOnATerminal(t *testing.T) {
	dir := t.TempDir()
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "{\"key\":\"%04d\",\"value\":\"v\"}\n", i)
	}
	file := filepath.Join(dir, "pairs.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	m := startOnTerminal(t, filepath.Join(dir, "store"), "import", file)
	m.shows("1000 pairs, ")
	m.shows("3000 pairs, ")
	m.shows("100%")
	require.Zero(t, m.ends())
}
