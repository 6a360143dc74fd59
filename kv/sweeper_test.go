package kv

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// openByHand opens a store in memory whose clock is the test's, which therefore sweeps only where the test says.
func openByHand(t *testing.T, opts Options) (*DB, *atomic.Int64) {
	t.Helper()
	now := new(atomic.Int64)
	now.Store(int64(time.Hour))
	opts.Clock, opts.sweepByHand = func() time.Time { return time.Unix(0, now.Load()) }, true
	if opts.fs == nil {
		opts.fs = vfs.NewMem()
	}
	return openStore(t, storeDir, opts), now
}

// putTTL is PutTTL for a test that needs it to work.
func putTTL(t testing.TB, db *DB, key string, ttl time.Duration) uint64 {
	t.Helper()
	offset, err := db.PutTTL([]byte(key), []byte("v"), ttl)
	require.NoError(t, err)
	return offset
}

// sweepOnce makes a step of a sweep that must work.
func sweepOnce(t testing.TB, db *DB) (offset uint64, more bool) {
	t.Helper()
	offset, more, err := db.sweep(sweepMost, false)
	require.NoError(t, err)
	return offset, more
}

func TestTheStoreDeletesWhatHasExpiredByItself(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		put(t, db, "stays", "v")
		for i := range 3*sweepMost + 7 {
			putTTL(t, db, fmt.Sprint("gone", i), time.Millisecond)
		}
		putTTL(t, db, "later", time.Hour)
		put(t, db, "gone0", "again, without a deadline")
		waitUntil(t, func() bool { return pairsHeld(db) == 3 })
		requireHolds(t, db, "gone0=again, without a deadline", "later=v", "stays=v")
		require.GreaterOrEqual(t, db.Stats().Swept, uint64(3*sweepMost+6))
	})
}

func TestAStepOfASweepIsOneSmallCommit(t *testing.T) {
	db, now := openByHand(t, Options{})
	for i := range sweepMost + 2 {
		putTTL(t, db, fmt.Sprintf("%03d", i), time.Minute)
	}
	last := putTTL(t, db, "later", time.Hour)
	now.Add(int64(time.Minute) - 1)
	offset, more := sweepOnce(t, db)
	require.Equal(t, last, offset, "nothing has expired, so there is no commit")
	require.False(t, more)
	now.Add(int64(time.Second))
	offset, more = sweepOnce(t, db)
	require.Equal(t, last+1, offset)
	require.True(t, more)
	require.Equal(t, 3, pairsHeld(db))
	require.Equal(t, 2, db.Stats().Expired)
	offset, more = sweepOnce(t, db)
	require.Equal(t, last+2, offset)
	require.False(t, more)
	requireHolds(t, db, "later=v")
	require.Equal(t, 1, pairsHeld(db))

	for commit, err := range db.Watch(t.Context(), WatchOptions{From: last + 1}) {
		require.NoError(t, err)
		for _, m := range commit.Mutations {
			require.Equal(t, MutationDelete, m.Kind)
		}
		if commit.Offset == last+2 {
			require.Len(t, commit.Mutations, 2, "a watcher sees a sweep as any other commit")
			break
		}
	}
	past, err := db.At(t.Context(), last)
	require.NoError(t, err)
	pairs, err := past.Count(Range{})
	require.NoError(t, err)
	require.Equal(t, sweepMost+3, pairs, "a past state has the pairs that had not expired then")
	require.NoError(t, past.Close())
}

func TestAPairThatWasPutAgainIsNotSwept(t *testing.T) {
	for _, c := range []struct {
		sentence string
		again    func(b *Batch)
		want     []string
	}{
		{"without a deadline", func(b *Batch) { b.Put([]byte("k"), []byte("new")) }, []string{"k=new"}},
		{"with a later deadline", func(b *Batch) { b.PutDeadline([]byte("k"), []byte("new"), time.Unix(1<<32, 0)) }, []string{"k=new"}},
		{"with one in the past, which is swept", func(b *Batch) { b.PutDeadline([]byte("k"), nil, time.Unix(1, 0)) }, nil},
		{"and was deleted", func(b *Batch) { b.DeleteRange([]byte("a"), []byte("z")) }, nil},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			db, now := openByHand(t, memOptions(mem))
			putTTL(t, db, "k", time.Minute)
			now.Add(int64(time.Hour))
			held, release := holdSync(mem, nil)
			var b Batch
			c.again(&b)
			applied, swept := make(chan error), make(chan error)
			go func() {
				_, err := db.Apply(&b)
				applied <- err
			}()
			waitUntil(t, held.Load) // The commit has an offset and isn't visible yet.
			go func() {
				_, _, err := db.sweep(sweepMost, false)
				swept <- err
			}()
			waitUntil(t, func() bool { return db.committing.Load() == 2 })
			time.Sleep(5 * time.Millisecond) // The step takes its keys while the other commit waits for the disk.
			close(release)
			require.NoError(t, <-applied)
			require.NoError(t, <-swept)
			sweepOnce(t, db) // The first step left what the other commit had decided.
			require.Equal(t, c.want, lines(db.Scan(Range{})))
			require.Equal(t, len(c.want), pairsHeld(db))
		})
	}
}

// TestATransactionSeesAllOfWhatExpiredOrNone begins an Update, which waits for its turn, before the deadline of a commit's pairs,
// and lets a sweep delete some of them meanwhile.
func TestATransactionSeesAllOfWhatExpiredOrNone(t *testing.T) {
	db, now := openByHand(t, Options{})
	var b Batch
	for i := range sweepMost + 1 {
		b.PutDeadline(fmt.Appendf(nil, "%03d", i), nil, time.Unix(0, now.Load()).Add(time.Minute))
	}
	_, err := db.Apply(&b)
	require.NoError(t, err)
	db.mu.Lock()
	seen := make(chan int, 1)
	go func() {
		require.NoError(t, db.Update(func(tx *Tx) error {
			pairs, err := tx.Count(Range{})
			seen <- pairs
			return err
		}))
	}()
	waitUntil(t, func() bool { return db.committing.Load() == 1 })
	now.Add(int64(time.Hour))
	var step Batch
	require.True(t, step.deleteExpired(db.head(), now.Load(), DefaultMaxCommitSize, sweepMost, nil))
	deleted, err := db.give(&step, nil, nil)
	require.NoError(t, err)
	db.mu.Unlock()
	require.NoError(t, db.await(t.Context(), deleted))
	require.Zero(t, <-seen)
}

func TestSweepsOfAStoreThatTakesNone(t *testing.T) {
	t.Run("a full disk changes nothing, and room ends the pause", func(t *testing.T) {
		mem := vfs.NewMem()
		db := openStore(t, storeDir, memOptions(mem))
		for i := range 20 {
			putTTL(t, db, fmt.Sprint(i), 300*time.Millisecond)
		}
		mem.SetCapacity(1)
		for size := 2000; size > 0; {
			if _, err := db.Put([]byte("fills"), make([]byte, size)); err != nil {
				require.ErrorIs(t, err, ErrNoSpace)
				size /= 2
			}
		}
		waitUntil(t, func() bool { return db.Stats().Expired == 20 })
		time.Sleep(2 * sweepEvery)
		require.Equal(t, 20, db.Stats().Expired)
		mem.SetCapacity(0)
		waitUntil(t, func() bool { return db.Stats().Swept == 20 })
	})
	t.Run("too many open files, for a moment", func(t *testing.T) {
		mem := vfs.NewMem()
		db := openStore(t, storeDir, memOptions(mem))
		for i := range sweepMost {
			putTTL(t, db, fmt.Sprintf("%0100d", i), time.Millisecond)
		}
		var refused atomic.Bool
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpCreate && strings.Contains(c.Name, ".store") && !refused.Swap(true) {
				return syscall.EMFILE
			}
			return nil
		})
		waitUntil(t, func() bool { return db.Stats().Swept == sweepMost })
		require.True(t, refused.Load(), "the first step needs another segment")
	})
	t.Run("a failed log ends it", func(t *testing.T) {
		mem := vfs.NewMem()
		db, err := Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		putTTL(t, db, "k", time.Millisecond)
		_, release := holdSync(mem, errMind)
		close(release)
		waitUntil(t, func() bool { return db.Stats().Failed != nil })
		ended := make(chan struct{})
		go func() {
			db.sweeper.done.Wait()
			close(ended)
		}()
		<-ended
		require.ErrorIs(t, db.Close(), ErrFailed)
	})
	t.Run("a closed store", func(t *testing.T) {
		db, _ := openByHand(t, Options{})
		require.NoError(t, db.Close())
		_, _, err := db.sweep(sweepMost, false)
		require.ErrorIs(t, err, ErrClosed)
	})
	t.Run("a read-only store", func(t *testing.T) {
		opts := memOptions(vfs.NewMem())
		opts.fs = vfs.NewMem()
		writer, now := openByHand(t, opts)
		putTTL(t, writer, "k", time.Minute)
		now.Add(int64(time.Hour))
		opts.ReadOnly = true
		db := openStore(t, storeDir, opts)
		require.Nil(t, db.visible.sweep)
		_, _, err := db.sweep(sweepMost, false)
		require.ErrorIs(t, err, ErrReadOnly)
		requireEmptyButHeld(t, db)
	})
}

// requireEmptyButHeld requires that a store shows nothing and holds one pair.
func requireEmptyButHeld(t *testing.T, db *DB) {
	t.Helper()
	require.Empty(t, lines(db.Scan(Range{})))
	require.Equal(t, 1, pairsHeld(db))
}

func TestCloseDoesNotWaitForASweep(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		var b Batch
		for i := range 200 * sweepMost {
			b.PutDeadline(fmt.Append(nil, i), nil, time.Unix(1, 0))
		}
		_, err := db.Apply(&b)
		require.NoError(t, err)
		waitUntil(t, func() bool { return db.Stats().Swept > 0 })
		require.NoError(t, db.Close())
		_, err = db.Put([]byte("k"), nil)
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestAStartSweepsWhatExpiredMeanwhile(t *testing.T) {
	mem := vfs.NewMem()
	for _, checkpointed := range []bool{false, true} {
		db, err := Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		put(t, db, "stays", "v")
		var b Batch
		b.PutDeadline([]byte("past"), nil, time.Unix(-5, 0))
		b.PutTTL([]byte("soon"), nil, time.Millisecond)
		_, err = db.Apply(&b)
		require.NoError(t, err)
		if checkpointed {
			checkpoint(t, db)
		}
		require.NoError(t, db.Close())
		db, err = Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		require.Equal(t, 3, pairsHeld(db))
		waitUntil(t, func() bool { return pairsHeld(db) == 1 })
		waitUntil(t, func() bool { // Nothing has a deadline any more.
			db.visible.mu.Lock()
			defer db.visible.mu.Unlock()
			return !db.sweeper.running
		})
		putTTL(t, db, "again", time.Millisecond)
		waitUntil(t, func() bool { return db.Stats().Swept == 3 })
		require.NoError(t, db.Close())
	}
}

func TestSweepsFollowTheClock(t *testing.T) {
	db, now := openByHand(t, Options{})
	putTTL(t, db, "k", time.Hour)
	now.Add(int64(-30 * time.Minute))
	sweepOnce(t, db)
	requireHolds(t, db, "k=v")
	now.Add(int64(90*time.Minute) - 1)
	sweepOnce(t, db)
	requireHolds(t, db, "k=v")
	require.Zero(t, db.Stats().Swept, "the clock was set back, and what the store has seen of it counts")
	now.Add(int64(time.Second))
	sweepOnce(t, db)
	require.EqualValues(t, 1, db.Stats().Swept, "it was set forward: what expires by it expires at once")
	now.Add(int64(-24 * time.Hour))
	putTTL(t, db, "k", time.Minute)
	deadline, err := db.Deadline([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, int64(2*time.Hour+time.Second+time.Minute-1), deadline.UnixNano())
}

// TestAKeyOverTheLimitOfCommitsIsPassedOver opens a store with a lower limit than it was written with.
func TestAKeyOverTheLimitOfCommitsIsPassedOver(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	setNow(db, func() int64 { return 1 })
	long := make([]byte, 200)
	for i, key := range [][]byte{long, []byte("short"), append(long, 1), []byte("other")} {
		var b Batch
		b.PutDeadline(key, nil, time.Unix(int64(i+1), 0))
		_, err = db.Apply(&b)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	opts.MaxCommitSize = 100
	db, now := openByHand(t, opts)
	now.Store(int64(time.Hour))
	_, more := sweepOnce(t, db)
	for more {
		_, more = sweepOnce(t, db)
	}
	require.Equal(t, 2, pairsHeld(db))
	require.EqualValues(t, 2, db.Stats().Swept)
}

func TestSweepsBesideWritersReadersAndCheckpoints(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		done := make(chan struct{})
		var all []chan struct{}
		for w := range 4 {
			ended := make(chan struct{})
			all = append(all, ended)
			go func() {
				defer close(ended)
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					key := []byte(fmt.Sprint(w, "/", i%50))
					if _, err := db.PutTTL(key, nil, time.Duration(1+i%3)*time.Millisecond); err != nil {
						t.Error(err)
						return
					}
					if i%10 == 0 {
						for range db.Scan(Range{Limit: 20}) {
							_, _ = db.Deadline(key)
						}
					}
				}
			}()
		}
		time.Sleep(2 * sweepEvery)
		checkpoint(t, db)
		waitUntil(t, func() bool { return db.Stats().Swept > 0 })
		close(done)
		for _, ended := range all {
			<-ended
		}
		waitUntil(t, func() bool { return pairsHeld(db) == 0 })
		requireDeadlines(t, headOf(db), "in the end")
	})
}

// pairsHeld returns how many pairs a store holds, expired ones included.
func pairsHeld(db *DB) int {
	stats := db.Stats()
	return stats.Keys + stats.Expired
}

// TestAStepBesideWritersIsSyncedByThem has a step wait while a put comes, which syncs both.
func TestAStepBesideWritersIsSyncedByThem(t *testing.T) {
	mem := vfs.NewMem()
	db, now := openByHand(t, memOptions(mem))
	for _, c := range []struct {
		sentence string
		patience time.Duration
		puts     int
	}{
		{"a put comes", time.Hour, 1},
		{"none comes, so the step is synced alone", time.Millisecond, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			last := putTTL(t, db, "gone", 1)
			now.Add(int64(time.Second))
			db.sweeper.patience = c.patience
			before := db.Stats().Syncs
			swept := make(chan error)
			go func() {
				_, _, err := db.sweep(sweepMost, true)
				swept <- err
			}()
			waitUntil(t, func() bool {
				db.mu.Lock()
				defer db.mu.Unlock()
				return db.last == last+1
			})
			for range c.puts {
				require.Equal(t, last+2, put(t, db, "stays", "v"))
			}
			require.NoError(t, <-swept)
			require.Equal(t, before+1, db.Stats().Syncs)
			_, err := db.Deadline([]byte("gone"))
			require.ErrorIs(t, err, ErrNotFound)
		})
	}
	require.EqualValues(t, 2, db.Stats().Swept)
}

// TestAStepThatWaitsForOthersEndsWithTheStore has the log fail, and the store be closed, while a step waits for another commit.
func TestAStepThatWaitsForOthersEndsWithTheStore(t *testing.T) {
	for _, fails := range []bool{false, true} {
		mem, now := vfs.NewMem(), int64(time.Hour)
		opts := memOptions(mem)
		opts.Clock, opts.sweepByHand = func() time.Time { return time.Unix(0, now) }, true
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		last := putTTL(t, db, "gone", time.Minute)
		now += int64(time.Hour)
		db.sweeper.patience = 50 * time.Millisecond
		if fails {
			_, release := holdSync(mem, errMind)
			close(release)
		}
		swept := make(chan error, 1)
		go func() {
			_, _, err := db.sweep(sweepMost, true)
			swept <- err
		}()
		waitUntil(t, func() bool {
			db.mu.Lock()
			defer db.mu.Unlock()
			return db.last == last+1
		})
		if fails {
			_, err = db.Put([]byte("k"), nil)
			require.ErrorIs(t, err, ErrFailed)
			require.ErrorIs(t, <-swept, ErrFailed)
			require.ErrorIs(t, db.Close(), ErrFailed)
			continue
		}
		require.NoError(t, db.Close(), "Close waits for the step")
		require.NoError(t, <-swept)
	}
}
