package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/buntdb"

	"github.com/walnutkv/walnut/kv"
)

// TestMain lets the tests' binary be the program: what the program starts to look at a Badger directory, and what tests start.
func TestMain(m *testing.M) {
	if os.Getenv(probeEnv) != "" || os.Getenv("WALNUT_MIGRATE_TEST") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestAWrongCommandLineSaysWhatIsWrong(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"no source's kind", []string{"file", "--dir", "store"}, `--from "": want bbolt, buntdb or badger`},
		{"another kind", []string{"--from", "pebble", "file", "--dir", "store"}, `--from "pebble"`},
		{"no source", []string{"--from", "bbolt", "--dir", "store"}, "0 sources: want one"},
		{"two sources", []string{"--from", "bbolt", "a", "--dir", "store", "b"}, "2 sources: want one"},
		{"no store", []string{"--from", "bbolt", "file"}, "name the store with --dir"},
		{"a bucket of a store that has none", []string{"--from", "badger", "d", "--dir", "s", "--bucket", "b"}, "--bucket is for bbolt"},
		{"an empty separator", []string{"--from", "bbolt", "f", "--dir", "s", "--separator", ""}, "--separator is empty"},
		{"an unknown flag", []string{"--form", "bbolt"}, "flag provided but not defined: -form"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := migrateWith(t.Context(), c.args...)
			require.Equal(t, exitUsage, got.code)
			require.Contains(t, got.stderr, c.want)
		})
	}
	help := migrateWith(t.Context(), "--help")
	require.Equal(t, exitDone, help.code)
	require.Contains(t, help.stderr, "-into-existing")
}

func TestASourceThatIsMissingMakesNoStore(t *testing.T) {
	for _, kind := range []string{"bbolt", "buntdb", "badger"} {
		t.Run(kind, func(t *testing.T) {
			store, missing := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "missing")
			got := migrateWith(t.Context(), "--from", kind, missing, "--dir", store)
			require.Equal(t, exitFailed, got.code)
			require.Contains(t, got.stderr, "missing: no such file or directory; nothing was written")
			require.NoDirExists(t, store)
			require.NoFileExists(t, missing)
		})
	}
	got := migrateWith(t.Context(), "--from", "bbolt", t.TempDir(), "--dir", "store")
	require.Contains(t, got.stderr, "bbolt keeps its data in a file")
}

func TestAStoreWithCommitsIsLeftAloneUnlessAskedFor(t *testing.T) {
	source := makeBuntdb(t, func(tx *buntdb.Tx) { set(t, tx, "a", "new", 0) })
	dir := t.TempDir()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	for _, key := range []string{"a", "b"} {
		_, err = db.Put([]byte(key), []byte("old"))
		require.NoError(t, err)
	}
	locked := migrateWith(t.Context(), "--from", "buntdb", source, "--dir", dir)
	require.Equal(t, exitFailed, locked.code)
	require.Contains(t, locked.stderr, "LOCK is locked by process")
	require.NoError(t, db.Close())

	refused := migrateWith(t.Context(), "--from", "buntdb", source, "--dir", dir)
	require.Equal(t, exitFailed, refused.code)
	require.Contains(t, refused.stderr, "has 2 commits: name an empty one, or say --into-existing; nothing was written")
	require.Equal(t, content{"a": {value: "old"}, "b": {value: "old"}}, contentOf(t, dir))

	require.Equal(t, exitDone, migrateWith(t.Context(), "--from", "buntdb", source, "--dir", dir, "--into-existing").code)
	require.Equal(t, content{"a": {value: "new"}, "b": {value: "old"}}, contentOf(t, dir))
}

func TestAPairThatTheStoreCannotTakeEndsTheMigration(t *testing.T) {
	source := makeBuntdb(t, func(tx *buntdb.Tx) {
		for key, pair := range numbered(1500) {
			set(t, tx, key, pair.value, 0)
		}
		set(t, tx, "zlast", string(make([]byte, kv.MaxValueSize+1)), 0)
	})
	dir := filepath.Join(t.TempDir(), "store")
	got := migrateWith(t.Context(), "--from", "buntdb", source, "--dir", dir)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, `key "zlast": kv: value is too large: 33554433 bytes, at most 33554432; the first 1000 pairs are durable`)
	require.Len(t, contentOf(t, dir), 1000)

	empty := makeBuntdb(t, func(tx *buntdb.Tx) { set(t, tx, "", "x", 0) })
	got = migrateWith(t.Context(), "--from", "buntdb", empty, "--dir", filepath.Join(t.TempDir(), "store"))
	require.Contains(t, got.stderr, "a pair with an empty key")
	pairs, _ := mustMigrate(t, "buntdb", empty, "--prefix", "p")
	require.Equal(t, content{"p": {value: "x"}}, pairs)
}

// endless is a source that goes on until the visitor ends it.
type endless struct{ pairs int }

func (e *endless) notes() []string { return nil }
func (e *endless) Close() error    { return nil }

func (e *endless) each(visit func(pair) error) error {
	for {
		e.pairs++
		if err := visit(pair{key: []byte("key"), value: make([]byte, 1<<10)}); err != nil {
			return err
		}
	}
}

func TestAnInterruptSaysWhatIsDurable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	defer db.Close()
	go func() {
		for db.Offset() < 3 {
		}
		cancel()
	}()
	var done outcome
	require.ErrorIs(t, done.copyAll(ctx, &endless{}, db, settings{}), context.Canceled)
	require.GreaterOrEqual(t, done.pairs, 3000)
	require.Equal(t, done.commits*batchPairs, done.pairs)
}

func TestAnInterruptIsCalledOne(t *testing.T) {
	source := makeBuntdb(t, func(tx *buntdb.Tx) { set(t, tx, "a", "1", 0) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := migrateWith(ctx, "--from", "buntdb", source, "--dir", filepath.Join(t.TempDir(), "store"))
	require.Equal(t, result{exitFailed, "", "walnut-migrate: interrupted; nothing was written\n"}, got)
}

func TestAWriteThatFailsEndsTheReading(t *testing.T) {
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	var done outcome
	err = done.copyAll(t.Context(), &endless{}, db, settings{})
	require.ErrorIs(t, err, kv.ErrClosed)
	require.ErrorContains(t, err, "write pairs 1 to 1000")
	require.Equal(t, "nothing was written", done.durable("store"))
}
