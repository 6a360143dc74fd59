package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/buntdb"
)

func makeBuntdb(t *testing.T, fill func(tx *buntdb.Tx)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.aof")
	db, err := buntdb.Open(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *buntdb.Tx) error {
		fill(tx)
		return nil
	}))
	require.NoError(t, db.Close())
	return path
}

func set(t *testing.T, tx *buntdb.Tx, key, value string, ttl time.Duration) {
	t.Helper()
	var options *buntdb.SetOptions
	if ttl > 0 {
		options = &buntdb.SetOptions{Expires: true, TTL: ttl}
	}
	_, _, err := tx.Set(key, value, options)
	require.NoError(t, err)
}

func TestEveryPairOfABuntdbFileArrives(t *testing.T) {
	want := numbered(2500)
	path := makeBuntdb(t, func(tx *buntdb.Tx) {
		for key, pair := range want {
			set(t, tx, key, pair.value, 0)
		}
		set(t, tx, "gone", "x", 0)
		_, err := tx.Delete("gone")
		require.NoError(t, err)
		set(t, tx, "expired", "x", time.Nanosecond)
	})
	got, said := mustMigrate(t, "buntdb", path)
	require.Equal(t, want, got)
	require.Equal(t, "2500 pairs, 0 with a deadline, in 3 commits\n", said.stdout)
}

// The file has the deadline in seconds. Walnut's is the one that buntdb would have after it opened the file again.
func TestATimeToLiveOfBuntdbBecomesADeadline(t *testing.T) {
	path := makeBuntdb(t, func(tx *buntdb.Tx) {
		set(t, tx, "session", "ada", time.Hour)
		set(t, tx, "lasting", "bob", 0)
	})
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "$2\r\nae\r\n$10\r\n")
	require.True(t, found, "%q", text)
	seconds, err := time.ParseDuration(after[:10] + "s")
	require.NoError(t, err)
	got, said := mustMigrate(t, "buntdb", path)
	require.Equal(t, content{"session": {"ada", int64(seconds.Seconds())}, "lasting": {value: "bob"}}, got)
	require.Equal(t, "2 pairs, 1 with a deadline, in 1 commits\n", said.stdout)
}

func TestADamagedBuntdbFileIsAnErrorThatNamesTheByte(t *testing.T) {
	const first, second = "*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n", "*3\r\n$3\r\nset\r\n$1\r\nb\r\n$1\r\n2\r\n"
	cases := []struct {
		name, text, want string
		code             int
	}{
		{"no command is a store without a pair", "", "", exitDone},
		{"zeros between commands are allowed", first + "\x00\x00" + second, "", exitDone},
		{"cut in the middle of a command", first + second[:20], "command at byte 27 lacks its end", exitDamage},
		{"cut in the middle of a length", first + second[:6], "command at byte 27 lacks its end", exitDamage},
		{"a length beyond the file", first + "*3\r\n$999999999999\r\nset\r\n", "command at byte 27 lacks its end", exitDamage},
		{"a length that is no number", first + "*3\r\n$x\r\nset\r\n", "command at byte 27 has a length", exitDamage},
		{"a length that is too long to be one", "*3\r\n$" + strings.Repeat("9", 30) + "\r\n", "byte 0 is none", exitDamage},
		{"a value that is longer than its length", first + strings.Replace(second, "2\r\n", "22\r\n", 1), "wrong length", exitDamage},
		{"something else", "text\n" + first, "command at byte 0 is none of buntdb's", exitDamage},
		{"an unknown command", first + "*1\r\n$4\r\nquit\r\n", "the source is damaged", exitDamage},
		{"a command without a letter", first + "*1\r\n$0\r\n\r\n", "the source is damaged", exitDamage},
		{"a long line", strings.Repeat("*", 100_000), "command at byte 0 is none of buntdb's", exitDamage},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "damaged.aof")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			got := migrateWith(t.Context(), "--from", "buntdb", path, "--dir", filepath.Join(t.TempDir(), "store"))
			require.Equal(t, c.code, got.code, got.stderr)
			require.Contains(t, got.stderr, c.want)
		})
	}
}

// Every length of a whole file is one that ends between two commands, or an error.
func TestACutBuntdbFileIsNeverTakenForAWholeOne(t *testing.T) {
	path := makeBuntdb(t, func(tx *buntdb.Tx) {
		set(t, tx, "a", strings.Repeat("x", 20), 0)
		set(t, tx, "b", "", time.Hour)
	})
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	between := bytes.Index(text, []byte("\r\n*")) + 2
	for length := range text {
		err := checkCommands(bytes.NewReader(text[:length]), int64(length))
		if length == 0 || length == between {
			require.NoError(t, err, length)
			continue
		}
		require.ErrorIs(t, err, errDamaged, length)
	}
}

func TestABuntdbFileThatIsWrittenToIsAnError(t *testing.T) {
	path := makeBuntdb(t, func(tx *buntdb.Tx) { set(t, tx, "a", "1", 0) })
	from, err := openBuntdb(path)
	require.NoError(t, err)
	defer from.Close()
	err = from.each(func(pair) error {
		change(t, path, func(text []byte) []byte { return append(text, 0) })
		return nil
	})
	require.ErrorIs(t, err, errLocked)
}
