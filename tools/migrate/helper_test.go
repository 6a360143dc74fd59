package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// content is a store's pairs by key. The deadline is in Unix seconds, 0 where there is none.
type content map[string]held

type held struct {
	value    string
	deadline int64
}

// numbered returns n pairs, some with values of 10 kB and some empty, so that more than one commit is needed.
func numbered(n int) content {
	pairs := content{}
	for i := range n {
		value := fmt.Sprint("value ", i)
		switch i % 100 {
		case 50:
			value = string(bytes.Repeat([]byte{byte(i)}, 10_000))
		case 51:
			value = ""
		}
		pairs[fmt.Sprintf("key %05d\x00\xff", i)] = held{value: value}
	}
	return pairs
}

// result is how a run of the program ended.
type result struct {
	code           int
	stdout, stderr string
}

func migrateWith(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// mustMigrate migrates, requires that it succeeds and leaves the source's bytes alone, and returns what the store holds.
func mustMigrate(t *testing.T, kind, source string, flags ...string) (content, result) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	before := bytesBelow(t, source)
	got := migrateWith(t.Context(), append([]string{"--from", kind, source, "--dir", dir}, flags...)...)
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Equal(t, before, bytesBelow(t, source), "the source was changed")
	return contentOf(t, dir), got
}

// bytesBelow returns the bytes of a file, or of every file in a directory, by name.
func bytesBelow(t *testing.T, path string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var text []byte
			text, err = os.ReadFile(name)
			files[name] = string(text)
		}
		return err
	}))
	return files
}

func contentOf(t *testing.T, dir string) content {
	t.Helper()
	db, err := kv.Open(dir, kv.Options{ReadOnly: true})
	require.NoError(t, err)
	defer db.Close()
	pairs := content{}
	require.NoError(t, db.View(func(tx *kv.Tx) error {
		for key, value := range tx.Scan(kv.Range{}) {
			deadline, err := tx.Deadline(key)
			if err != nil {
				return err
			}
			pair := held{value: string(value)}
			if !deadline.IsZero() {
				pair.deadline = deadline.UnixNano() / int64(time.Second)
				require.Zero(t, deadline.Nanosecond())
			}
			pairs[string(key)] = pair
		}
		return nil
	}))
	return pairs
}

// change replaces a file by what a function makes of its bytes.
func change(t *testing.T, path string, by func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, by(text), 0o600))
}
