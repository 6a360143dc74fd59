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

// TestAReadViewSeesItsInstant overwrites and deletes everything ten thousand times while readers look at a view
// again and again.
func TestAReadViewSeesItsInstant(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		const keys = 500
		var b Batch
		for i := range keys {
			b.Put(fmt.Appendf(nil, "%04d", i), []byte("old"))
		}
		_, err := db.Apply(&b)
		require.NoError(t, err)
		view, err := db.ReadView()
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
					if !slices.Equal(want, lines(view.Scan(Range{}))) {
						t.Error("the view has changed")
					}
				}
			})
		}
		done.Wait()
		require.NotEqual(t, want, lines(db.Scan(Range{})))
		require.Equal(t, want, lines(view.Scan(Range{})))
		require.Equal(t, keys, counted(t, view, Range{}))
		require.EqualValues(t, 1, view.Offset())
		require.NoError(t, view.Close())
	})
}

func TestAReadViewReadsWhatTheStoreHeld(t *testing.T) {
	db, _ := openMem(t)
	now := int64(1000)
	setNow(db, func() int64 { return now })
	for _, key := range []string{"a", "b", "c"} {
		put(t, db, key, "v"+key)
	}
	_, err := db.PutTTL([]byte("d"), nil, 5)
	require.NoError(t, err)
	view, err := db.ReadView()
	require.NoError(t, err)
	now = 2000

	value, err := view.Get([]byte("a"))
	require.NoError(t, err)
	require.Equal(t, "va", string(value))
	has, err := view.Has([]byte("d"))
	require.NoError(t, err)
	require.True(t, has, "the deadline was ahead at that instant")
	has, err = view.Has([]byte("e"))
	require.NoError(t, err)
	require.False(t, has)
	_, err = view.Get(nil)
	require.ErrorIs(t, err, ErrEmptyKey)
	key, value, err := view.First(Range{Start: []byte("aa"), Reverse: true, Limit: -1})
	require.Equal(t, "b vb <nil>", fmt.Sprintf("%s %s %v", key, value, err))
	key, _, err = view.Last(Range{End: []byte("c")})
	require.Equal(t, "b <nil>", fmt.Sprintf("%s %v", key, err))
	_, _, err = view.First(Range{Prefix: []byte("x")})
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, 2, counted(t, view, Range{Limit: 2}))
	require.NoError(t, view.Close())
}

func TestAClosedReadViewShowsNothing(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "a", "v")
	put(t, db, "b", "v")
	view, err := db.ReadView()
	require.NoError(t, err)
	seen := 0
	for range view.Scan(Range{}) {
		require.NoError(t, view.Close(), "more than once")
		seen++
	}
	require.Equal(t, 2, seen, "a scan in progress goes on")
	_, err = view.Get([]byte("a"))
	require.ErrorIs(t, err, ErrTxDone)
	_, err = view.Has([]byte("a"))
	require.ErrorIs(t, err, ErrTxDone)
	require.PanicsWithError(t, ErrTxDone.Error(), func() { lines(view.Scan(Range{})) })
	_, err = view.Count(Range{})
	require.ErrorIs(t, err, ErrTxDone)
	require.Zero(t, view.Offset())
	_, _, err = view.First(Range{})
	require.ErrorIs(t, err, ErrTxDone)
	_, _, err = view.Last(Range{})
	require.ErrorIs(t, err, ErrTxDone)
}

func TestAReadViewOutlivesItsStore(t *testing.T) {
	db, err := Open(storeDir, memOptions(vfs.NewMem()))
	require.NoError(t, err)
	put(t, db, "k", "v")
	view, err := db.ReadView()
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Equal(t, []string{"k=v"}, lines(view.Scan(Range{})))
	require.NoError(t, view.Close())
}

func TestOpenViewsAreCounted(t *testing.T) {
	db, _ := openMem(t)
	now := int64(1000)
	setNow(db, func() int64 { return now })
	requireOpen := func(count int, oldest time.Duration) {
		t.Helper()
		gotCount, gotOldest := db.views.open(db.now())
		require.Equal(t, count, gotCount)
		require.Equal(t, oldest, gotOldest)
	}
	hold := func() *ReadView {
		view, err := db.ReadView()
		require.NoError(t, err)
		now += 10
		return view
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

// TestTheListOfViewsIsWhatAMapWouldBe closes in any order.
func TestTheListOfViewsIsWhatAMapWouldBe(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 9))
		var list viewList
		open := map[*viewEntry]int64{}
		for now := range int64(100) {
			if random.IntN(2) == 0 && len(open) > 0 {
				for e := range open {
					list.remove(e)
					delete(open, e)
					break
				}
			} else {
				e := &viewEntry{}
				list.add(e, now)
				open[e] = now
			}
			oldest := now
			for i, e := range list.list {
				require.Equal(t, i, e.place)
				require.Equal(t, open[e], e.since, "seed %d, step %d", seed, now)
				oldest = min(oldest, e.since)
			}
			count, age := list.open(now)
			require.Equal(t, len(open), count)
			require.EqualValues(t, now-oldest, age)
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

func BenchmarkReadView(b *testing.B) {
	db, _ := openMem(b)
	put(b, db, "k", "v")
	b.ReportAllocs()
	for b.Loop() {
		view, err := db.ReadView()
		if err != nil {
			b.Fatal(err)
		}
		_ = view.Close()
	}
}
