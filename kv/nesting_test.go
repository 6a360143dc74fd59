package kv

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// nestedCalls are the calls that would wait for the Update which they are made in.
func nestedCalls(db *DB) map[string]func() error {
	return map[string]func() error{
		"Put":           func() error { _, err := db.Put([]byte("nested"), nil); return err },
		"Delete":        func() error { _, err := db.Delete([]byte("nested")); return err },
		"Apply":         func() error { _, err := db.Apply(&Batch{}); return err },
		"ApplyContext":  func() error { _, err := db.ApplyContext(context.Background(), &Batch{}); return err },
		"Update":        func() error { return db.Update(func(*Tx) error { return nil }) },
		"Sync":          db.Sync,
		"Close":         db.Close,
		"a Put far off": func() error { return farOff(300, func() error { _, err := db.Put([]byte("nested"), nil); return err }) },
		"a Put in a View in it": func() error {
			return db.View(func(*Tx) error { _, err := db.Put([]byte("nested"), nil); return err })
		},
	}
}

// farOff calls a function many frames further down.
//
//go:noinline
func farOff(frames int, call func() error) error {
	if frames == 0 {
		return call()
	}
	if err := farOff(frames-1, call); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}

func TestNestedCallsAreRefusedAndNeverHang(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		for name, call := range nestedCalls(db) {
			t.Run(name, func(t *testing.T) {
				inUpdate(t, db, func(tx *Tx) {
					require.ErrorIs(t, call(), ErrNested)
					require.NoError(t, tx.Put([]byte("k"), []byte(name)), "the transaction goes on")
				})
				requireHolds(t, db, "k="+name)
			})
		}
	})
}

func TestNestedCallsOfADeferredFunctionAreRefused(t *testing.T) {
	db, _ := openMem(t)
	for name, call := range nestedCalls(db) {
		var nested error
		require.Equal(t, "oops", outcome(func() error {
			return db.Update(func(*Tx) error {
				defer func() { nested = call() }()
				panic("oops")
			})
		}))
		require.ErrorIs(t, nested, ErrNested, name)
	}
}

// TestReadsInsideAnUpdateSeeTheVisibleState is what is allowed to be nested.
func TestReadsInsideAnUpdateSeeTheVisibleState(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		put(t, db, "k", "visible")
		inUpdate(t, db, func(tx *Tx) {
			require.NoError(t, tx.Put([]byte("k"), []byte("own")))
			value, err := db.Get([]byte("k"))
			require.NoError(t, err)
			require.Equal(t, "visible", string(value))
			requireHolds(t, db, "k=visible")
			require.EqualValues(t, 1, db.Offset())
			require.NoError(t, db.View(func(tx *Tx) error {
				require.Equal(t, []string{"k=visible"}, lines(tx.Scan(Range{})))
				return nil
			}))
			snapshot, err := db.Snapshot()
			require.NoError(t, err)
			require.NoError(t, snapshot.Close())
			require.Equal(t, 1, db.Stats().Keys)
			require.Equal(t, []string{"k=own"}, lines(tx.Scan(Range{})))
		})
		requireHolds(t, db, "k=own")
	})
}

// TestNestingIsToldFromContention has many goroutines that find the lock taken by each other all the time, and that are
// nested every now and then. None may be taken for the other.
func TestNestingIsToldFromContention(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		const goroutines, rounds = 8, 60
		var done sync.WaitGroup
		for g := range goroutines {
			done.Go(func() {
				for i := range rounds {
					err := db.Update(func(tx *Tx) error {
						if _, err := db.Put([]byte("nested"), nil); i%3 == 0 && err == nil {
							t.Error("a nested put went through")
						}
						return tx.Put(fmt.Appendf(nil, "%d/%d", g, i), nil)
					})
					if err != nil {
						t.Errorf("an update that is not nested: %v", err)
					}
					if _, err := db.Put(fmt.Appendf(nil, "put/%d/%d", g, i), nil); err != nil {
						t.Errorf("a put that is not nested: %v", err)
					}
				}
			})
		}
		done.Wait()
		require.EqualValues(t, 2*goroutines*rounds, db.Stats().Keys)
	})
}

// TestStoresMayBeNestedInEachOther updates one store inside an Update of another, while both are busy, and goes back to the
// first from there, which is refused.
func TestStoresMayBeNestedInEachOther(t *testing.T) {
	const goroutines, rounds = 6, 40
	var stores []*DB
	for i := range 5 { // Numbers of several lengths.
		stores = append(stores, openStore(t, fmt.Sprint(storeDir, i), memOptions(vfs.NewMem())))
	}
	var done sync.WaitGroup
	for g := range goroutines {
		done.Go(func() {
			for i := range rounds {
				key := fmt.Appendf(nil, "%d/%d", g, i)
				if err := updateAll(stores, stores, key); err != nil {
					t.Error(err)
				}
				if _, err := stores[(g+i)%len(stores)].Put([]byte("contention"), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	for _, db := range stores {
		require.Equal(t, goroutines*rounds+1, db.Stats().Keys)
	}
}

// updateAll puts a key into every store that is left, each Update inside the one before. Innermost it tries to put into
// every store.
func updateAll(left, all []*DB, key []byte) error {
	if len(left) == 0 {
		for i, db := range all {
			if _, err := db.Put(key, nil); err == nil {
				return fmt.Errorf("a nested put into store %d went through", i)
			}
		}
		return nil
	}
	return left[0].Update(func(tx *Tx) error {
		if err := updateAll(left[1:], all, key); err != nil {
			return err
		}
		return tx.Put(key, nil)
	})
}

func TestAStoresNumberIsReadFromTheStack(t *testing.T) {
	for _, number := range []uint64{1, 2, 3, 4, 5, 255, 256, 1 << 20, 1<<63 + 5, 1<<64 - 1} {
		own := &nesting{number: number}
		others := []*nesting{{number: number - 1}, {number: number + 1}, {number: number << 1}, {number: number >> 1}, {number: number ^ 1<<40}}
		for _, other := range others {
			other.running.Store(true) // By another goroutine, as far as this one knows.
		}
		require.False(t, own.nested())
		require.NoError(t, own.run(nil, func(*Tx) error {
			require.True(t, own.nested())
			for _, other := range others {
				require.False(t, other.nested())
			}
			outside := make(chan bool)
			go func() { outside <- own.nested() }()
			require.False(t, <-outside, "another goroutine")
			return others[0].run(nil, func(*Tx) error {
				require.True(t, own.nested())
				require.True(t, others[0].nested())
				require.False(t, others[1].nested())
				return nil
			})
		}))
		require.False(t, own.nested())
	}
}

func BenchmarkNestingRun(b *testing.B) {
	for _, number := range []uint64{1, 1000} {
		b.Run(fmt.Sprint("number=", number), func(b *testing.B) {
			n := &nesting{number: number}
			for b.Loop() {
				_ = n.run(nil, func(*Tx) error { return nil })
			}
		})
	}
}

func BenchmarkNestingNested(b *testing.B) {
	for _, depth := range []int{1, 50} {
		b.Run(fmt.Sprint("frames=", depth), func(b *testing.B) {
			n := &nesting{number: 1}
			n.running.Store(true)
			_ = farOff(depth, func() error {
				for b.Loop() {
					if n.nested() {
						b.Fatal("nested")
					}
				}
				return nil
			})
		})
	}
}
