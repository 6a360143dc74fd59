package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
)

// badgerAt has options with small files: those of the defaults are sparse, and a copy of them isn't.
func badgerAt(dir string) badger.Options {
	const longer = 1 << 10 // Longer values are in a log.
	return badger.DefaultOptions(dir).WithLogger(nil).WithMemTableSize(1 << 20).WithValueLogFileSize(1 << 20).WithValueThreshold(longer)
}

func makeBadger(t *testing.T, fill func(set func(*badger.Entry))) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "badger")
	db, err := badger.Open(badgerAt(dir))
	require.NoError(t, err)
	batch := db.NewWriteBatch()
	fill(func(entry *badger.Entry) { require.NoError(t, batch.SetEntry(entry)) })
	require.NoError(t, batch.Flush())
	require.NoError(t, db.Close())
	return dir
}

func TestEveryPairOfABadgerDirectoryArrives(t *testing.T) {
	want := numbered(2500)
	deadline := time.Now().Add(time.Hour)
	dir := makeBadger(t, func(set func(*badger.Entry)) {
		for key, pair := range want {
			set(badger.NewEntry([]byte(key), []byte(pair.value)))
		}
		set(badger.NewEntry([]byte("session"), []byte("ada")).WithTTL(time.Until(deadline)))
		set(badger.NewEntry([]byte("expired"), []byte("x")).WithTTL(time.Nanosecond))
		set(badger.NewEntry([]byte("typed"), []byte("y")).WithMeta(7))
	})
	db, err := badger.Open(badgerAt(dir))
	require.NoError(t, err)
	var seconds int64
	require.NoError(t, db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte("session"))
		require.NoError(t, err)
		seconds = int64(item.ExpiresAt())
		return txn.Set([]byte("key 00000\x00\xff"), []byte("newer")) // A second version.
	}))
	require.NoError(t, db.Close())
	require.InDelta(t, deadline.Unix(), seconds, 2)

	want["session"], want["typed"] = held{"ada", seconds}, held{value: "y"}
	want["key 00000\x00\xff"] = held{value: "newer"}
	got, said := mustMigrate(t, "badger", dir)
	require.Equal(t, want, got)
	require.Equal(t, "2502 pairs, 1 with a deadline, in 3 commits\n", said.stdout)
	require.Contains(t, said.stderr, "1 pairs had a user meta byte, which was left out")
}

func TestABadgerDirectoryThatIsOpenIsLocked(t *testing.T) {
	dir := makeBadger(t, func(set func(*badger.Entry)) { set(badger.NewEntry([]byte("a"), nil)) })
	db, err := badger.Open(badgerAt(dir))
	require.NoError(t, err)
	defer db.Close()
	got := migrateWith(t.Context(), "--from", "badger", dir, "--dir", t.TempDir())
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "another process has it open")
}

// A Badger that was not closed leaves files that only Badger itself may mend.
func TestABadgerDirectoryWhoseProgramDiedIsNotMended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "badger")
	db, err := badger.Open(badgerAt(dir))
	require.NoError(t, err)
	require.NoError(t, db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("a"), []byte("1")) }))
	killed := filepath.Join(t.TempDir(), "killed")
	require.NoError(t, os.CopyFS(killed, os.DirFS(dir)))
	require.NoError(t, db.Close())
	got := migrateWith(t.Context(), "--from", "badger", killed, "--dir", filepath.Join(t.TempDir(), "store"))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "open it once with Badger, for writing, and close it; nothing was written")

	db, err = badger.Open(badgerAt(killed))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	pairs, _ := mustMigrate(t, "badger", killed)
	require.Equal(t, content{"a": {value: "1"}}, pairs)
}

// Badger's iterators end without a word where a block is damaged.
func TestADamagedBadgerDirectoryIsAnError(t *testing.T) {
	whole := makeBadger(t, func(set func(*badger.Entry)) {
		for key, pair := range numbered(2500) {
			set(badger.NewEntry([]byte(key), []byte(pair.value)))
		}
	})
	flip := func(text []byte) []byte {
		text[len(text)/3] ^= 1
		return text
	}
	found, err := filepath.Glob(filepath.Join(whole, "*.sst"))
	require.NoError(t, err)
	tables := len(found)
	require.NotZero(t, tables)
	half := func(text []byte) []byte { return text[:len(text)/2] }
	long := func(text []byte) []byte { // The last four bytes are the length of a checksum.
		return append(text[:len(text)-4], 0x7f, 0xff, 0xff, 0xff)
	}
	for _, c := range []struct {
		name, pattern string
		damage        func([]byte) []byte
		want          string
	}{
		{"a bit of a table", "*.sst", flip, "a table"},
		{"a bit of the log of long values", "*.vlog", flip, "the value of key"},
		{"a length in a table, of which Badger panics in a goroutine", "*.sst", long, "Badger dies of it: panic"},
		{"a MANIFEST that was cut to its head", "MANIFEST", func(text []byte) []byte { return text[:8] }, "MANIFEST doesn't name the table"},
		{"a MANIFEST that was cut in a change", "MANIFEST", half, "MANIFEST has "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "damaged")
			require.NoError(t, os.CopyFS(dir, os.DirFS(whole)))
			files, err := filepath.Glob(filepath.Join(dir, c.pattern))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			change(t, files[0], c.damage)
			store := filepath.Join(t.TempDir(), "store")
			got := migrateWith(t.Context(), "--from", "badger", dir, "--dir", store)
			require.Equal(t, exitDamage, got.code, got.stderr)
			require.Contains(t, got.stderr, "the source is damaged")
			require.Contains(t, got.stderr, c.want)
			left, err := filepath.Glob(filepath.Join(dir, "*.sst"))
			require.NoError(t, err)
			require.Len(t, left, tables, "Badger has removed what its MANIFEST doesn't name")
		})
	}
}

// While Badger writes, there are tables that its MANIFEST doesn't name yet.
func TestABadgerDirectoryThatIsBeingWrittenIsNotCalledDamaged(t *testing.T) {
	dir := makeBadger(t, func(set func(*badger.Entry)) { set(badger.NewEntry([]byte("a"), nil)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000099.sst"), []byte("table"), 0o600))
	got := migrateWith(t.Context(), "--from", "badger", dir, "--dir", filepath.Join(t.TempDir(), "store"))
	require.Equal(t, exitDamage, got.code, got.stderr)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LOCK"), []byte("1\n"), 0o600))
	got = migrateWith(t.Context(), "--from", "badger", dir, "--dir", filepath.Join(t.TempDir(), "store"))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "its LOCK says that a process has it open or died with it")
	require.FileExists(t, filepath.Join(dir, "000099.sst"))
}

func TestADirectoryWithoutABadgerIsAnError(t *testing.T) {
	got := migrateWith(t.Context(), "--from", "badger", t.TempDir(), "--dir", filepath.Join(t.TempDir(), "store"))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "holds no Badger database")
}
