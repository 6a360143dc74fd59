package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// randomBatches returns some batches in one.
func randomBatches(random *rand.Rand, most int) *Batch {
	b := &Batch{}
	for range random.IntN(most + 1) {
		b.record = append(b.record[:max(len(b.record), 0)], randomBatch(random, crashNow).record[min(len(b.record), recordHeadRoom):]...)
	}
	for rest := b.mutations(); len(rest) > 0; b.count++ {
		var m Mutation
		if rest = m.next(rest); m.Kind == MutationDeleteRange {
			b.ranges++
		}
	}
	if random.IntN(8) == 0 {
		b.DeleteRange(nil, randomKey(random))
	}
	if random.IntN(8) == 0 {
		b.DeleteRange(randomKey(random), nil)
	}
	return b
}

func TestABatchDecidesTheKeysOfItsMutations(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 11))
		b := randomBatches(random, 8)
		decided := newDecided(b)
		mutations := mutationsOf(b)
		for range 50 {
			key := randomKey(random)
			want := slices.ContainsFunc(mutations, func(m Mutation) bool { return m.decides(key) })
			require.Equal(t, want, decided.has(key), "seed %d, key %q", seed, key)
		}
	}
}

// TestALargeCommitComesAfterWhatItMadeUpFor applies a batch in steps, and other commits between the steps: the state must be
// the one in which all of those came first.
func TestALargeCommitComesAfterWhatItMadeUpFor(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 12))
		want := newState()
		want.applyEncoded(1, randomBatches(random, 10).mutations())
		b := randomBatches(random, 6)
		work := &apart{state: want.clone(), decided: newDecided(b)}
		for rest := b.mutations(); len(rest) > 0 || random.IntN(3) > 0; {
			if other := randomBatches(random, 2).mutations(); random.IntN(2) == 0 {
				want.applyEncoded(2, other)
				work.makeUpFor(other)
			} else if len(rest) > 0 {
				var m Mutation
				rest = m.next(rest)
				work.state.mutate(&m)
			}
		}
		want.applyEncoded(3, b.mutations())
		require.Equal(t, treeLines(want.tree), treeLines(work.state.tree), "seed %d", seed)
		require.Equal(t, want.dataBytes, work.state.dataBytes, "seed %d", seed)
		require.Equal(t, want.deadlines.len(), work.state.deadlines.len(), "seed %d", seed)
	}
}

// TestLargeCommitsBesideOthersAreInTheOrderOfOffsets replays all commits in the order of their offsets.
func TestLargeCommitsBesideOthersAreInTheOrderOfOffsets(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		var commits sync.Map
		var stop atomic.Bool
		var small, large sync.WaitGroup
		apply := func(b *Batch) {
			offset, err := db.Apply(b)
			if err != nil {
				t.Error(err)
			}
			commits.Store(offset, b)
		}
		key := func(random *rand.Rand) []byte { return fmt.Appendf(nil, "%05d", random.IntN(20_000)) }
		for g := range uint64(4) {
			small.Go(func() {
				random := rand.New(rand.NewPCG(g, 13))
				for !stop.Load() {
					b := &Batch{}
					b.Put(key(random), key(random))
					b.Delete(key(random))
					if start := key(random); random.IntN(10) == 0 {
						b.DeleteRange(start, append(start, '5'))
					}
					apply(b)
				}
			})
		}
		for g := range uint64(2) {
			large.Go(func() {
				random := rand.New(rand.NewPCG(g, 14))
				for range 4 {
					b := &Batch{}
					b.DeleteRange([]byte("1"), []byte("11"))
					for range inPlaceMutations + 1 {
						b.Put(key(random), key(random))
						b.Delete(key(random))
					}
					require.True(t, db.wantsApart(b))
					apply(b)
				}
			})
		}
		large.Wait()
		stop.Store(true)
		small.Wait()
		want := newState()
		for offset := uint64(1); offset <= db.Offset(); offset++ {
			b, found := commits.Load(offset)
			require.True(t, found)
			want.applyEncoded(offset, b.(*Batch).mutations())
		}
		require.Equal(t, treeLines(want.tree), treeLines(db.visible.load().tree))
		require.Equal(t, want.dataBytes, db.visible.load().dataBytes)
		require.Nil(t, db.apart)
	})
}

// TestNoUpdateIsLostBesideLargeCommits counts with transactions, and has large commits set the count back now and then.
func TestNoUpdateIsLostBesideLargeCommits(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		var stop atomic.Bool
		var counters sync.WaitGroup
		var kept, all atomic.Int64
		count := func(key string) error {
			return db.Update(func(tx *Tx) error { return setNumber(tx, key, number(t, tx.Get, key)+1) })
		}
		for range 3 {
			counters.Go(func() {
				for !stop.Load() {
					if err := errors.Join(count("kept"), count("set back")); err != nil {
						t.Error(err)
					}
					kept.Add(1)
				}
			})
		}
		for i := range 5 {
			large := scattered(20_000)
			large.Put([]byte("set back"), []byte("0"))
			if i%2 == 0 {
				large.DeleteRange([]byte("0"), []byte("g"))
			}
			before := kept.Load()
			_, err := db.Apply(large)
			require.NoError(t, err)
			all.Add(kept.Load() - before)
		}
		stop.Store(true)
		counters.Wait()
		require.Positive(t, all.Load(), "transactions went on beside the large commits")
		require.EqualValues(t, kept.Load(), number(t, db.Get, "kept"))
		require.Less(t, int64(number(t, db.Get, "set back")), kept.Load())
	})
}

// TestOtherWritersDoNotWaitForALargeCommit: a range delete of a million keys stopped all of them for seconds.
func TestOtherWritersDoNotWaitForALargeCommit(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		_, err := db.Apply(scattered(100_000))
		require.NoError(t, err)
		var ranged Batch
		ranged.DeleteRange([]byte("0"), []byte("g"))
		for _, large := range []*Batch{scattered(100_000), &ranged} {
			under := func() bool {
				db.mu.Lock()
				defer db.mu.Unlock()
				return db.apart != nil
			}
			beside := 0
			var done sync.WaitGroup
			done.Go(func() {
				_, err := db.Apply(large)
				require.NoError(t, err)
			})
			waitUntil(t, under)
			for under() {
				put(t, db, "other", fmt.Sprint(beside))
				if under() {
					beside++
				}
			}
			done.Wait()
			require.Positive(t, beside, "a put is over while a large commit, of %d mutations, is still being applied", large.Len())
		}
		require.Equal(t, 1, db.visible.load().tree.len())
	})
}

// TestAVeryLargeCommitIsOnTheDiskBeforeItHasAnOffset: only then do others not wait for all of its bytes.
func TestAVeryLargeCommitIsOnTheDiskBeforeItHasAnOffset(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		mem := vfs.NewMem()
		opts := manual(mem)
		opts.Sync, opts.SegmentSize = mode, 1<<20
		db := openStore(t, storeDir, opts)
		put(t, db, "k", "v")
		var large Batch
		for i := 0; len(large.record) < preparedBytes; i++ {
			large.Put(scatteredKey(i), make([]byte, 60<<10))
		}
		begun, late := false, int64(0)
		mem.SetHook(func(c vfs.Call) error {
			switch {
			case c.Op == vfs.OpRename:
				begun = true
			case begun && c.Op == vfs.OpWrite:
				late += c.Len
			case c.Op == vfs.OpWrite && !db.mu.TryLock():
				late += c.Len
			case c.Op == vfs.OpWrite:
				db.mu.Unlock()
			}
			return nil
		})
		offset, err := db.Apply(&large)
		require.NoError(t, err)
		mem.SetHook(nil)
		require.EqualValues(t, 2, offset)
		require.True(t, begun)
		require.Less(t, late, int64(16<<10))
		for _, name := range mem.Names() {
			require.NotContains(t, name, vfs.TemporarySuffix)
		}
		put(t, db, "k", "w")
		opts.fs = mem.Exit()
		again := openStore(t, storeDir, opts)
		require.Equal(t, large.Len()+1, again.Stats().Keys)
		value, err := again.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "w", string(value))
	}
}

// TestAClosedStoreTouchesNoFile: Close comes while a very large commit is being written ahead, and waits until that is given up.
func TestAClosedStoreTouchesNoFile(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "k", "v")
	var large Batch
	for i := 0; len(large.record) < preparedBytes; i++ {
		large.Put(scatteredKey(i), make([]byte, 60<<10))
	}
	writing, closed := make(chan struct{}), make(chan struct{})
	var begun, over atomic.Bool
	mem.SetHook(func(c vfs.Call) error {
		if over.Load() {
			t.Errorf("%v %s after Close", c.Op, c.Name)
		}
		if c.Op == vfs.OpWrite && strings.Contains(c.Name, vfs.TemporarySuffix) && !begun.Swap(true) {
			close(writing)
			select {
			case <-closed:
			case <-time.After(100 * time.Millisecond):
			}
		}
		return nil
	})
	applied := make(chan error, 1)
	go func() {
		_, err := db.Apply(&large)
		applied <- err
	}()
	<-writing
	require.NoError(t, db.Close())
	over.Store(true)
	close(closed)
	require.ErrorIs(t, <-applied, ErrClosed)
	for _, name := range mem.Names() {
		require.NotContains(t, name, vfs.TemporarySuffix)
	}
}

func TestALargeCommitThatIsRefusedOrGivenUpChangesNothing(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.MaxCommitSize = 200_000
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "v")
	_, err := db.Apply(scattered(100_000))
	require.ErrorIs(t, err, ErrCommitTooLarge)
	large := scattered(10_000)
	mem.SetCapacity(1)
	_, err = db.Apply(large)
	require.ErrorIs(t, err, ErrNoSpace)
	mem.SetCapacity(0)
	inUpdate(t, db, func(*Tx) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := db.ApplyContext(ctx, large)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	requireHolds(t, db, "k=v")
	require.Nil(t, db.apart)
	require.Empty(t, db.apartTurn)
	_, err = db.Apply(large)
	require.NoError(t, err)
	require.Equal(t, 10_001, db.Stats().Keys)
}

// TestALargeTreeIsTightenedByTheNextCommit: no writer makes all items again while others wait.
func TestALargeTreeIsTightenedByTheNextCommit(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		var b Batch
		for _, name := range []string{"user", "a"} {
			for i := range commonInline + 1 {
				if b.Put(fmt.Appendf(nil, "%s%09d", name, i), nil); b.Len() == 1000 || i == commonInline {
					_, err := db.Apply(&b)
					require.NoError(t, err)
					b.Reset()
				}
			}
		}
		before := db.Stats().Keys
		put(t, db, "k", "v")
		put(t, db, "k", "v")
		shown := db.visible.load()
		require.Empty(t, shown.tree.common)
		require.False(t, shown.tree.loose)
		require.Equal(t, before+1, shown.tree.len())
	})
}

// TestReadersDoNotWaitForALongGroup: they did, for as long as the commits of 128 writers took to be applied.
func TestReadersDoNotWaitForALongGroup(t *testing.T) {
	var v visibleState
	v.start(newState())
	long := layerOf(1, func(b *Batch) { *b = *scattered(300_000) })
	var done sync.WaitGroup
	var over atomic.Bool
	v.mu.Lock()
	done.Go(func() {
		v.show(long)
		over.Store(true)
		v.mu.Unlock()
	})
	waitUntil(t, func() bool { return v.published.Load() != nil })
	require.Zero(t, v.load().offset)
	_, err := v.get([]byte("k"), func() int64 { return 0 })
	require.ErrorIs(t, err, ErrNotFound)
	require.False(t, over.Load(), "both were answered meanwhile")
	done.Wait()
	require.EqualValues(t, 1, v.load().offset)
	require.Equal(t, 300_000, v.load().tree.len())
}
