package kv

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestAStoreIsLookedUpAsItsTransactionsAre(t *testing.T) {
	for seed := range uint64(30) {
		db, _ := openMem(t)
		dice := rand.New(rand.NewPCG(seed, 0))
		m := model{}
		for range 20 {
			key := randomKey(dice)
			put(t, db, string(key), "v")
			m[string(key)] = modelPair{value: "v"}
		}
		_, err := db.PutTTL([]byte("gone"), nil, 1)
		require.NoError(t, err)
		for range 50 {
			r := randomRange(dice)
			require.Equal(t, len(m.lines(r, 0)), counted(t, db, r), "seed %d: %+v", seed, r)
			key := randomKey(dice)
			has, err := db.Has(key)
			require.NoError(t, err)
			require.Equal(t, m[string(key)].value == "v", has, "seed %d: %q", seed, key)
			requireEdges(t, m, db, r, 0)
		}
		for _, wrong := range [][]byte{nil, make([]byte, MaxKeySize+1)} {
			_, err := db.Has(wrong)
			require.Error(t, err)
		}
	}
}

func TestARangeIsDeletedInOneCommit(t *testing.T) {
	for _, c := range []struct {
		sentence   string
		start, end string
		left       []string
	}{
		{"the start goes and the end stays", "b", "c", []string{"a=1", "c=1"}},
		{"without an end it goes to the last key", "b", "", []string{"a=1"}},
		{"without a start it goes from the first key", "", "b", []string{"b=1", "bb=1", "c=1"}},
		{"without both nothing is left", "", "", nil},
		{"a range without a key is no error", "x", "y", []string{"a=1", "b=1", "bb=1", "c=1"}},
		{"a range that ends before it starts holds no key", "c", "a", []string{"a=1", "b=1", "bb=1", "c=1"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			for _, mode := range []SyncMode{SyncAlways, SyncNever} {
				opts := manual(vfs.NewMem())
				opts.Sync = mode
				db, err := Open(storeDir, opts)
				require.NoError(t, err)
				for _, key := range []string{"a", "b", "bb", "c"} {
					put(t, db, key, "1")
				}
				offset, err := db.DeleteRange([]byte(c.start), []byte(c.end))
				require.NoError(t, err)
				require.EqualValues(t, 5, offset)
				requireHolds(t, db, c.left...)
				_, err = db.DeleteRange(bytes.Repeat([]byte("x"), MaxKeySize+1), nil)
				require.ErrorIs(t, err, ErrKeyTooLarge)
				require.EqualValues(t, 5, db.Offset())
				require.NoError(t, db.Close())
			}
		})
	}
}
