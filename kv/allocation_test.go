//go:build !race

// The race detector makes pools drop things at random.

package kv

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAllocationsOfTheHotPaths holds what is called most to the allocations it needs: a put has the one for its pair.
// More may come with a new key, when a node of the tree is split.
func TestAllocationsOfTheHotPaths(t *testing.T) {
	for _, sync := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(sync.String(), func(t *testing.T) {
			db := openStore(t, t.TempDir(), Options{Sync: sync})
			key, absent, value := []byte("key"), []byte("none"), make([]byte, 100)
			var batch Batch
			put := func() {
				_, err := db.Put(key, value)
				require.NoError(t, err)
			}
			cases := []struct {
				sentence string
				most     float64
				do       func()
			}{
				{"a put of a key that is there", 1, put},
				{"a get", 0, func() { _, _ = db.Get(key) }},
				{"a get of a key that isn't there", 0, func() { _, _ = db.Get(absent) }},
				{"a batch of ten puts", 10, func() {
					batch.Reset()
					for range 10 {
						batch.Put(key, value)
					}
					_, err := db.Apply(&batch)
					require.NoError(t, err)
				}},
				{"an Update that reads and puts", 7, func() {
					require.NoError(t, db.Update(func(tx *Tx) error {
						_, _ = tx.Get(key)
						return tx.Put(key, value)
					}))
				}},
				{"a View that reads", 1, func() {
					require.NoError(t, db.View(func(tx *Tx) error {
						_, err := tx.Get(key)
						return err
					}))
				}},
			}
			put()
			for _, c := range cases {
				require.LessOrEqual(t, testing.AllocsPerRun(200, c.do), c.most, c.sentence)
			}
		})
	}
}
