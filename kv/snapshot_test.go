package kv

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TestAHeldSnapshotSeesItsInstant overwrites and deletes everything ten thousand times while readers look at a snapshot
// again and again.
func TestAHeldSnapshotSeesItsInstant(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		const keys = 500
		var b Batch
		for i := range keys {
			b.Put(fmt.Appendf(nil, "%04d", i), []byte("old"))
		}
		_, err := db.Apply(&b)
		require.NoError(t, err)
		snapshot, err := db.Snapshot()
		require.NoError(t, err)
		want := lines(db.Scan(Range{}))
		var done sync.WaitGroup
		for w := range 4 {
			done.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 8))
				for range 25 {
					var b Batch
					for range 100 {
						b.Put(fmt.Appendf(nil, "%04d", random.IntN(keys)), []byte("new"))
					}
					b.Delete(fmt.Appendf(nil, "%04d", random.IntN(keys)))
					if _, err := db.Apply(&b); err != nil {
						t.Error(err)
					}
				}
			})
			done.Go(func() {
				for range 20 {
					if !slices.Equal(want, lines(snapshot.Scan(Range{}))) {
						t.Error("the snapshot has changed")
					}
				}
			})
		}
		done.Wait()
		require.NotEqual(t, want, lines(db.Scan(Range{})))
		require.Equal(t, want, lines(snapshot.Scan(Range{})))
		require.Equal(t, keys, snapshot.Count(Range{}))
		require.EqualValues(t, 1, snapshot.Offset())
		require.NoError(t, snapshot.Close())
	})
}

func TestSnapshotReadsWhatTheStoreHeld(t *testing.T) {
	db, _ := openMem(t)
	now := int64(1000)
	db.now = func() int64 { return now }
	for _, key := range []string{"a", "b", "c"} {
		put(t, db, key, "v"+key)
	}
	_, err := db.PutTTL([]byte("d"), nil, 5)
	require.NoError(t, err)
	snapshot, err := db.Snapshot()
	require.NoError(t, err)
	now = 2000

	value, err := snapshot.Get([]byte("a"))
	require.NoError(t, err)
	require.Equal(t, "va", string(value))
	has, err := snapshot.Has([]byte("d"))
	require.NoError(t, err)
	require.True(t, has, "the deadline was ahead at that instant")
	has, err = snapshot.Has([]byte("e"))
	require.NoError(t, err)
	require.False(t, has)
	_, err = snapshot.Get(nil)
	require.ErrorIs(t, err, ErrEmptyKey)
	key, value, ok := snapshot.First(Range{Start: []byte("aa"), Reverse: true, Limit: -1})
	require.Equal(t, "b vb true", fmt.Sprintf("%s %s %v", key, value, ok))
	key, _, ok = snapshot.Last(Range{End: []byte("c")})
	require.Equal(t, "b true", fmt.Sprintf("%s %v", key, ok))
	_, _, ok = snapshot.First(Range{Prefix: []byte("x")})
	require.False(t, ok)
	require.Equal(t, 2, snapshot.Count(Range{Limit: 2}))
	require.NoError(t, snapshot.Close())
}

func TestAClosedSnapshotShowsNothing(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "a", "v")
	put(t, db, "b", "v")
	snapshot, err := db.Snapshot()
	require.NoError(t, err)
	seen := 0
	for range snapshot.Scan(Range{}) {
		require.NoError(t, snapshot.Close(), "more than once")
		seen++
	}
	require.Equal(t, 2, seen, "a scan under way goes on")
	_, err = snapshot.Get([]byte("a"))
	require.ErrorIs(t, err, ErrTxDone)
	_, err = snapshot.Has([]byte("a"))
	require.ErrorIs(t, err, ErrTxDone)
	require.Empty(t, lines(snapshot.Scan(Range{})))
	require.Zero(t, snapshot.Count(Range{}))
	require.Zero(t, snapshot.Offset())
	_, _, ok := snapshot.First(Range{})
	require.False(t, ok)
	_, _, ok = snapshot.Last(Range{})
	require.False(t, ok)
}

func TestASnapshotOutlivesItsStore(t *testing.T) {
	db, err := Open(storeDir, memOptions(vfs.NewMem()))
	require.NoError(t, err)
	put(t, db, "k", "v")
	snapshot, err := db.Snapshot()
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Equal(t, []string{"k=v"}, lines(snapshot.Scan(Range{})))
	require.NoError(t, snapshot.Close())
}

func TestOpenSnapshotsAreCounted(t *testing.T) {
	db, _ := openMem(t)
	now := int64(1000)
	db.now = func() int64 { return now }
	requireOpen := func(count int, oldest time.Duration) {
		t.Helper()
		gotCount, gotOldest := db.openSnapshots()
		require.Equal(t, count, gotCount)
		require.Equal(t, oldest, gotOldest)
	}
	hold := func() *Snapshot {
		snapshot, err := db.Snapshot()
		require.NoError(t, err)
		now += 10
		return snapshot
	}
	requireOpen(0, 0)
	a, b, c := hold(), hold(), hold()
	requireOpen(3, 30)
	require.NoError(t, db.View(func(*Tx) error {
		requireOpen(4, 30)
		require.NoError(t, a.Close())
		requireOpen(3, 20)
		return nil
	}))
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	requireOpen(1, 10)
	require.Equal(t, "oops", outcome(func() error { return db.View(func(*Tx) error { panic("oops") }) }))
	requireOpen(1, 10)
	now = 0
	requireOpen(1, 0) // A clock that was set back makes nothing older.
	require.NoError(t, c.Close())
	requireOpen(0, 0)
}

// TestTheListOfHeldIsWhatASliceWouldBe closes in any order.
func TestTheListOfHeldIsWhatASliceWouldBe(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 9))
		var list heldList
		var slice []*heldEntry
		for now := range int64(100) {
			if random.IntN(2) == 0 && len(slice) > 0 {
				i := random.IntN(len(slice))
				list.remove(slice[i])
				slice = slices.Delete(slice, i, i+1)
			} else {
				slice = append(slice, &heldEntry{})
				list.add(slice[len(slice)-1], now)
			}
			var forward, back []*heldEntry
			for e := list.oldest; e != nil; e = e.newer {
				forward = append(forward, e)
			}
			for e := list.newest; e != nil; e = e.older {
				back = append(back, e)
			}
			slices.Reverse(back)
			require.True(t, slices.Equal(slice, forward) && slices.Equal(slice, back), "seed %d, step %d", seed, now)
			require.Equal(t, len(slice), list.count)
		}
	}
}

func BenchmarkView(b *testing.B) {
	db, _ := openMem(b)
	put(b, db, "k", "v")
	b.ReportAllocs()
	for b.Loop() {
		_ = db.View(func(*Tx) error { return nil })
	}
}

func BenchmarkViewParallel(b *testing.B) {
	db, _ := openMem(b)
	put(b, db, "k", "v")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = db.View(func(*Tx) error { return nil })
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	db, _ := openMem(b)
	put(b, db, "k", "v")
	b.ReportAllocs()
	for b.Loop() {
		snapshot, err := db.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		_ = snapshot.Close()
	}
}
