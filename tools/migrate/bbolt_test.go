package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// makeBbolt makes a bbolt file in which a function has put what it wants.
func makeBbolt(t *testing.T, fill func(tx *bbolt.Tx)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		fill(tx)
		return nil
	}))
	require.NoError(t, db.Close())
	return path
}

// bucketOf makes buckets in each other, and returns the innermost one.
func bucketOf(t *testing.T, tx *bbolt.Tx, names ...string) *bbolt.Bucket {
	t.Helper()
	bucket, err := tx.CreateBucketIfNotExists([]byte(names[0]))
	for _, name := range names[1:] {
		require.NoError(t, err)
		bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
	}
	require.NoError(t, err)
	return bucket
}

func put(t *testing.T, bucket *bbolt.Bucket, key, value string) {
	t.Helper()
	require.NoError(t, bucket.Put([]byte(key), []byte(value)))
}

func TestEveryPairOfABboltFileArrives(t *testing.T) {
	want := content{}
	path := makeBbolt(t, func(tx *bbolt.Tx) {
		for key, pair := range numbered(2500) {
			put(t, bucketOf(t, tx, "users"), key, pair.value)
			want["users/"+key] = pair
		}
		put(t, bucketOf(t, tx, "orders", "open"), "1", "pear")
		put(t, bucketOf(t, tx, "orders"), "1", "plum")
		bucketOf(t, tx, "empty")
		require.NoError(t, bucketOf(t, tx, "orders").SetSequence(7))
	})
	want["orders/open/1"], want["orders/1"] = held{value: "pear"}, held{value: "plum"}
	got, said := mustMigrate(t, "bbolt", path)
	require.Equal(t, want, got)
	require.Equal(t, "2502 pairs, 0 with a deadline, in 3 commits\n", said.stdout)
	require.Contains(t, said.stderr, `bucket "orders/": its sequence, which is at 7, was left out`)
}

func TestOneBucketArrivesWithoutItsName(t *testing.T) {
	path := makeBbolt(t, func(tx *bbolt.Tx) {
		put(t, bucketOf(t, tx, "users"), "ada", "1815")
		put(t, bucketOf(t, tx, "users", "gone"), "bob", "1900")
		put(t, bucketOf(t, tx, "orders"), "1", "plum")
	})
	got, _ := mustMigrate(t, "bbolt", path, "--bucket", "users")
	require.Equal(t, content{"ada": {value: "1815"}, "gone/bob": {value: "1900"}}, got)
	got, _ = mustMigrate(t, "bbolt", path, "--bucket", "users", "--prefix", "u:", "--separator", ":")
	require.Equal(t, content{"u:ada": {value: "1815"}, "u:gone:bob": {value: "1900"}}, got)
	failed := migrateWith(t.Context(), "--from", "bbolt", path, "--bucket", "nobody", "--dir", t.TempDir())
	require.Equal(t, exitFailed, failed.code)
	require.Contains(t, failed.stderr, `there is no bucket "nobody"; nothing was written`)
}

func TestKeysThatWouldCollideAreRefused(t *testing.T) {
	cases := []struct {
		name string
		fill func(tx *bbolt.Tx)
		want string
	}{
		{"the name of a bucket has the separator", func(tx *bbolt.Tx) { bucketOf(t, tx, "a/b") }, `bucket "a/b" has the separator`},
		{"a key looks like one of the bucket beside it", func(tx *bbolt.Tx) {
			put(t, bucketOf(t, tx, "a", "b"), "c", "nested")
			put(t, bucketOf(t, tx, "a"), "b/c", "beside")
		}, `key "b/c" would be taken for one of bucket "b"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := makeBbolt(t, c.fill)
			got := migrateWith(t.Context(), "--from", "bbolt", path, "--dir", t.TempDir())
			require.Equal(t, exitFailed, got.code)
			require.Contains(t, got.stderr, c.want)
			mustMigrate(t, "bbolt", path, "--separator", "|")
		})
	}
}

func TestABboltFileThatIsOpenIsLocked(t *testing.T) {
	path := makeBbolt(t, func(tx *bbolt.Tx) { bucketOf(t, tx, "a") })
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	defer db.Close()
	store := filepath.Join(t.TempDir(), "store")
	got := migrateWith(t.Context(), "--from", "bbolt", path, "--dir", store)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "another process has it open: stop that first; nothing was written")
	require.NoDirExists(t, store)
}

// bbolt itself goes on from the other meta page without a word.
func TestAMetaPageThatIsDamagedIsNoted(t *testing.T) {
	path := makeBbolt(t, func(tx *bbolt.Tx) { put(t, bucketOf(t, tx, "a"), "k", "v") })
	_, said := mustMigrate(t, "bbolt", path)
	require.NotContains(t, said.stderr, "meta page")
	for _, page := range []int{0, 1} {
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		text[page*os.Getpagesize()+64] ^= 1
		require.NoError(t, os.WriteFile(damaged, text, 0o600))
		_, said := mustMigrate(t, "bbolt", damaged)
		require.Contains(t, said.stderr, "one of the file's two meta pages is damaged")
	}
}

// Whatever bytes of the file are damaged, the program ends by itself, and what it says is in the store is in it.
func TestADamagedBboltFileIsAnError(t *testing.T) {
	whole := makeBbolt(t, func(tx *bbolt.Tx) {
		for key, pair := range numbered(3000) {
			put(t, bucketOf(t, tx, "a"), key, pair.value)
		}
	})
	text, err := os.ReadFile(whole)
	require.NoError(t, err)
	page := os.Getpagesize()
	ones := func(from, to int) []byte {
		damaged := bytes.Clone(text)
		copy(damaged[from:to], bytes.Repeat([]byte{0xff}, to-from))
		return damaged
	}
	// A branch page has the flag 1 at 8, and the number of its first child at 24.
	far := bytes.Clone(text)
	for at := 2 * page; at < len(far); at += page {
		if binary.NativeEndian.Uint16(far[at+8:]) == 1 {
			binary.NativeEndian.PutUint64(far[at+24:], 1<<30)
		}
	}
	require.NotEqual(t, text, far)
	cases := []struct {
		name string
		text []byte
		code int
	}{
		{"a page number far past the file", far, exitDamage},
		{"no byte", nil, exitFailed},
		{"something else", bytes.Repeat([]byte("text\n"), 4*page), exitDamage},
		{"cut in the middle", text[:len(text)/2], exitDamage},
		{"both meta pages", ones(0, 2*page), exitDamage},
		{"the pages in the middle", ones(len(text)/4/page*page, len(text)*3/4/page*page), exitDamage},
		{"every page but the meta pages", ones(2*page, len(text)), exitDamage},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "damaged.db")
			require.NoError(t, os.WriteFile(path, c.text, 0o600))
			got := migrateWith(t.Context(), "--from", "bbolt", path, "--dir", filepath.Join(t.TempDir(), "store"))
			require.Equal(t, c.code, got.code, got.stderr)
			require.Contains(t, got.stderr, path)
		})
	}
}
