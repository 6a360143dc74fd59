//go:build !race

// The race detector makes pools drop things at random.

package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// ceiling is what an operation may allocate. Allocations are counted, not timed, so they can fail a test on any machine.
type ceiling struct {
	sentence string
	most     float64 // Allocations, rounded down: what the operation needs today.
	do       func() error
}

// hold fails where the operation allocates more, which should be noticed, and where it allocates less, so that what
// was won is kept.
func (c ceiling) hold(t *testing.T) {
	got := allocations(t, 100, c.most, c.do)
	require.LessOrEqual(t, got, c.most,
		"it has become more expensive: find out why with -memprofile, or raise the number and say in the commit what that buys")
}

// allocations returns how often an operation allocates: the least of some measurements, because what goes on beside it only
// ever adds. One that isn't above what is hoped for is enough.
func allocations(t *testing.T, runs int, hoped float64, do func() error) float64 {
	t.Helper()
	measure := func() float64 {
		return testing.AllocsPerRun(runs, func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
	}
	least := measure()
	for tries := 0; tries < 4 && least > hoped; tries++ {
		least = min(least, measure())
	}
	return least
}

// allocationStore opens a store of a thousand pairs, and returns one of their keys, and a value.
func allocationStore(t *testing.T, opts Options) (db *DB, key, value []byte) {
	opts.CheckpointFactor = -1
	db, value = openStore(t, t.TempDir(), opts), make([]byte, 100)
	var batch Batch
	for i := range uint64(1000) {
		batch.Put(binary.BigEndian.AppendUint64(nil, i), value)
	}
	_, err := db.Apply(&batch)
	require.NoError(t, err)
	return db, binary.BigEndian.AppendUint64(nil, 500), value
}

// TestAllocationsOfCommits holds commits to the one allocation of each pair that is put.
func TestAllocationsOfCommits(t *testing.T) {
	for _, sync := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(sync.String(), func(t *testing.T) {
			db, key, value := allocationStore(t, Options{Sync: sync})
			absent, start, end := []byte("none"), []byte("x"), []byte("y")
			var hundred, again, ranged Batch
			for i := range 100 {
				again.Put([]byte{'x', byte(i)}, value)
			}
			ranged.DeleteRange(start, end)
			apply := func(b *Batch) error {
				_, err := db.Apply(b)
				return err
			}
			for _, c := range []ceiling{
				{"a put of a key that is there", 1, func() error {
					_, err := db.Put(key, value)
					return err
				}},
				{"a delete of a key that isn't there", 0, func() error {
					_, err := db.Delete(absent)
					return err
				}},
				{"a put of a new key and its delete", 1, func() error {
					_, err := db.Put(absent, value)
					_, err2 := db.Delete(absent)
					return errors.Join(err, err2)
				}},
				{"a batch of 100 puts that is filled and applied", 100, func() error {
					hundred.Reset()
					for range 100 {
						hundred.Put(key, value)
					}
					return apply(&hundred)
				}},
				{"a batch of 100 puts that is applied again", 100, func() error { return apply(&again) }},
				{"100 new pairs and the range delete of them", 125, func() error { return errors.Join(apply(&again), apply(&ranged)) }},
				{"a range delete of nothing", 4, func() error { return apply(&ranged) }},
				{"an Update that reads and puts", 7, func() error {
					return db.Update(func(tx *Tx) error {
						_, err := tx.Get(key)
						return errors.Join(err, tx.Put(key, value))
					})
				}},
				{"an Update that deletes a range of nothing", 11, func() error {
					return db.Update(func(tx *Tx) error { return tx.DeleteRange(start, end) })
				}},
			} {
				t.Run(c.sentence, c.hold)
			}
		})
	}
}

// TestAllocationsOfReads holds reads to none, but for what a View or a ReadView is itself, and for the start of a scan.
func TestAllocationsOfReads(t *testing.T) {
	db, key, _ := allocationStore(t, Options{})
	absent, prefix := []byte("none"), []byte{0, 0, 0, 0, 0, 0, 1}
	view := func(read func(tx *Tx) error) func() error { return func() error { return db.View(read) } }
	scan := func(r Range, want int) func() error { // One of its allocations is what the loop counts with.
		return func() error {
			got := 0
			for range db.Scan(r) {
				got++
			}
			if got != want {
				return fmt.Errorf("%d pairs, want %d", got, want)
			}
			return nil
		}
	}
	for _, c := range []ceiling{
		{"a get", 0, func() error {
			_, err := db.Get(key)
			return err
		}},
		{"a get of a key that isn't there", 0, func() error {
			if _, err := db.Get(absent); !errors.Is(err, ErrNotFound) {
				return errors.New("it is there")
			}
			return nil
		}},
		{"a View", 1, view(func(*Tx) error { return nil })},
		{"a View that gets", 1, view(func(tx *Tx) error {
			_, err := tx.Get(key)
			return err
		})},
		{"a View that asks whether there is a pair", 1, view(func(tx *Tx) error {
			_, err := tx.Has(key)
			return err
		})},
		{"a count of 1000 pairs in a View", 5, view(func(tx *Tx) error {
			tx.Count(Range{})
			return nil
		})},
		{"a held view, a get of it, and its end", 1, func() error {
			view, err := db.ReadView()
			if err != nil {
				return err
			}
			_, err = view.Get(key)
			return errors.Join(err, view.Close())
		}},
		{"a scan of 100 pairs", 8, scan(Range{Limit: 100}, 100)},
		{"a scan of 256 pairs by their prefix", 9, scan(Range{Prefix: prefix}, 256)},
		{"a scan of 1000 pairs", 8, scan(Range{}, 1000)},
		{"the stats", 6, func() error {
			_ = db.Stats()
			return nil
		}},
	} {
		t.Run(c.sentence, c.hold)
	}
}

// TestAllocationsOfPairsAmongMany looks at what is shared by many pairs. The ceilings have some room, for pools that a
// collection of garbage empties, and for what grows with a start.
func TestAllocationsOfPairsAmongMany(t *testing.T) {
	const pairs = 10_000
	dir, opts := t.TempDir(), Options{Sync: SyncNever, CheckpointFactor: -1}
	db, err := Open(dir, opts)
	require.NoError(t, err)
	next, key, value := uint64(0), make([]byte, 16), make([]byte, 100)
	put := func() error {
		for range pairs {
			next++
			binary.BigEndian.PutUint64(key, next*0x9e3779b97f4a7c15) // Anywhere among the others.
			if _, err := db.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	}
	hold := func(sentence string, units, most float64, do func() error) {
		t.Run(sentence, func(t *testing.T) {
			got := allocations(t, 1, most*units, do) / units
			require.LessOrEqual(t, got, most, "it has become more expensive: find out why, or raise the number and say what that buys")
		})
	}
	hold("a put of a new key", pairs, 1.1, put)
	require.NoError(t, db.Close())
	reopen := func() error {
		db, err := Open(dir, opts)
		if err != nil {
			return err
		}
		return db.Close()
	}
	hold("a commit that a start replays", float64(next), 1.15, reopen)
	db, err = Open(dir, opts)
	require.NoError(t, err)
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, errors.Join(err, db.Close()))
	hold("a pair that a start loads", float64(next), 1.1, reopen)
}
