package kv

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TestABackupRestsBesideDurableCommitsAlone lets pieces of work take a time, by a clock that goes on only while everything sleeps.
func TestABackupRestsBesideDurableCommitsAlone(t *testing.T) {
	const pieces, piece, share = 1000, 50 * time.Microsecond, 2
	for _, c := range []struct {
		sentence string
		mode     SyncMode
		commits  bool
		rested   time.Duration
	}{
		{"durable commits", SyncAlways, true, pieces * piece * share},
		{"no commits", SyncAlways, false, 0},
		{"relaxed commits", SyncNever, true, 0},
		{"commits that are synced later", SyncInterval, true, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := manual(vfs.NewMem())
				opts.Sync = c.mode
				db := openStore(t, storeDir, opts)
				pace, started := db.throttle(share), time.Now()
				for range pieces {
					if c.commits {
						put(t, db, "k", "v")
					}
					time.Sleep(piece)
					pace.worked(restBytes)
				}
				require.Equal(t, c.rested, time.Since(started)-pieces*piece)
			})
		})
	}
}

// TestRelaxedWritersYieldToABackup has one processor. A writer that kept it until it is preempted, after 10 ms, would make thousands of puts
// before anything else runs.
func TestRelaxedWritersYieldToABackup(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	opts := manual(vfs.NewMem())
	opts.Sync = SyncNever
	db := openStore(t, storeDir, opts)
	var ran atomic.Bool
	db.waiting.Add(1)
	go ran.Store(true)
	puts := 0
	for ; !ran.Load(); puts++ {
		put(t, db, "k", "v")
	}
	db.waiting.Add(-1)
	require.LessOrEqual(t, puts, 4*turn) // The scheduler may choose the writer again once in a while.
}

func TestABackupThatHasGivenItsProcessorAwayIsSeenToWait(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	opts := manual(vfs.NewMem())
	opts.Sync = SyncNever
	db := openStore(t, storeDir, opts)
	pace := db.throttle(1)
	var seen atomic.Bool
	for range 1000 { // The other goroutine may also be given the processor elsewhere.
		go func() {
			if db.waiting.Load() == 1 {
				seen.Store(true)
			}
		}()
		pace.worked(restBytes)
	}
	require.True(t, seen.Load())
	require.Zero(t, db.waiting.Load())
}

// TestWritersDoNotOutrunACheckpoint has one processor and writers of values that are large beside what a checkpoint does in its turn. Without
// a brake nearly all puts come before the end of the first checkpoint, and the log has hundreds of times what made it due.
func TestWritersDoNotOutrunACheckpoint(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const floor, keys, size, writers, most = 256 << 10, 200, 64 << 10, 16, 60
	db, err := OpenMemory(Options{CheckpointFloor: floor})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	value := bytes.Repeat([]byte{'v'}, size)
	puts := 64
	if testing.Short() {
		puts = 32
	}
	var writing sync.WaitGroup
	var longest atomic.Int64
	for w := range writers {
		writing.Go(func() {
			for i := range puts {
				if _, err := db.Put(fmt.Append(nil, (w*puts+i)%keys), value); err != nil {
					t.Error(err)
				}
				if long := db.checkpoints.logBytes.Load(); long > longest.Load() {
					longest.Store(long) // One that is lost meanwhile is about as long.
				}
			}
		})
	}
	writing.Wait()
	require.Less(t, longest.Load(), int64(most*floor), "%d checkpoints", db.Stats().Checkpoints.Taken)
}

func TestAWriterRestsBesideACheckpointThatIsFarTooLateAlone(t *testing.T) {
	const due = 1 << 20
	for _, c := range []struct {
		sentence string
		times    float64 // How long the log is.
		idle     bool
		rest     time.Duration // After a MiB.
	}{
		{"a late checkpoint is not far too late", 7, false, 0},
		{"from eight times on there is a rest", 8, false, 0},
		{"at twice as much it is what makes 16 MiB a second", 16, false, time.Second / 16},
		{"it grows with the log", 24, false, time.Second / 8},
		{"four times that is the longest", 1000, false, time.Second / 4},
		{"it shortens nothing where no checkpoint runs", 1000, true, 0},
	} {
		checkpoints := checkpoints{turn: make(chan struct{}, 1)}
		checkpoints.due.Store(due)
		checkpoints.logBytes.Store(int64(c.times * due))
		if c.idle {
			checkpoints.turn <- struct{}{}
		}
		require.Equal(t, c.rest, checkpoints.rest(1<<20, 1), c.sentence)
		require.Equal(t, min(100*c.rest, brakeMost), checkpoints.rest(1<<20, 100), c.sentence)
	}
}

// TestAWriterThatRestsEndsWithItsContextAndTheStore lets a checkpoint seem to run that is far too late.
func TestAWriterThatRestsEndsWithItsContextAndTheStore(t *testing.T) {
	for _, c := range []struct {
		sentence      string
		patience      time.Duration // Of the writer's context.
		closed, rests time.Duration
	}{
		{"it rests by what it wrote", time.Hour, time.Hour, time.Second / 4},
		{"its context ends before that", 10 * time.Millisecond, time.Hour, 10 * time.Millisecond},
		{"the store is closed before that", time.Hour, 20 * time.Millisecond, 20 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			db := openStore(t, storeDir, memOptions(vfs.NewMem()))
			<-db.checkpoints.turn
			defer time.AfterFunc(c.closed, func() {
				db.checkpoints.turn <- struct{}{}
				_ = db.Close()
			}).Stop()
			db.checkpoints.logBytes.Store(1 << 40)
			ctx, cancel := context.WithTimeout(t.Context(), c.patience)
			defer cancel()
			var b Batch
			b.Put([]byte("k"), make([]byte, 1<<20))
			started := time.Now()
			_, err := db.ApplyContext(ctx, &b)
			require.NoError(t, err, c.sentence)
			require.Equal(t, c.rests, time.Since(started).Round(time.Millisecond), c.sentence)
			require.Zero(t, db.committing.Load(), c.sentence)
			if c.closed == time.Hour {
				started = time.Now()
				_, err = db.Apply(&Batch{})
				require.NoError(t, err)
				require.Zero(t, time.Since(started), "a commit that writes nothing")
			}
			db.checkpoints.logBytes.Store(0)
			if c.closed == time.Hour {
				db.checkpoints.turn <- struct{}{}
			}
		})
	}
}

// TestTheBrakeIsByBytesWhateverTheSizes writes beside a checkpoint that seems to run and is far too late. A writer that took its turn by
// the offset and the size of its own commit wrote up to 16 times as fast where sizes alternate.
func TestTheBrakeIsByBytesWhateverTheSizes(t *testing.T) {
	const rate = brakeRate / 4
	for _, c := range []struct {
		sentence string
		sizes    []int
		writers  int
		total    int64
	}{
		{"one writer", []int{4000}, 1, 8 << 20},
		{"sizes that alternate", []int{100, 16 << 10}, 1, 8 << 20},
		{"a large one after 63 small ones", append(slices.Repeat([]int{100}, 63), 128<<10), 1, 8 << 20},
		{"as many as two turns", []int{1000, 20 << 10}, 2, 8 << 20},
		{"small ones by more writers than may rest for their turn", []int{8000}, 500, 32 << 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			db := openStore(t, storeDir, memOptions(vfs.NewMem()))
			<-db.checkpoints.turn
			db.checkpoints.logBytes.Store(1 << 40)
			started, left := time.Now(), atomic.Int64{}
			left.Store(c.total)
			var writing sync.WaitGroup
			for range c.writers {
				writing.Go(func() {
					for i := 0; left.Load() > 0; i++ {
						size := c.sizes[i%len(c.sizes)]
						left.Add(int64(-size))
						if _, err := db.Put([]byte("k"), make([]byte, size)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			writing.Wait()
			took := time.Since(started).Seconds()
			db.checkpoints.logBytes.Store(0)
			db.checkpoints.turn <- struct{}{}
			require.InEpsilon(t, float64(c.total)/rate, took, 0.25, c.sentence)
		})
	}
}

// TestASmallCommitHardlyRestsForLargeOnes writes a byte now and then, beside others that write MiBs or did so a moment before. Where the
// writer that came next rested for the bytes of all, such a put took a second.
func TestASmallCommitHardlyRestsForLargeOnes(t *testing.T) {
	for _, after := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			db := openStore(t, storeDir, memOptions(vfs.NewMem()))
			<-db.checkpoints.turn
			db.checkpoints.logBytes.Store(1 << 40)
			var writing sync.WaitGroup
			for w := range 16 {
				writing.Go(func() {
					for range 4 {
						if _, err := db.Put([]byte{byte(w)}, make([]byte, 1<<20)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			if after {
				writing.Wait()
			}
			slow := 0
			for range 200 {
				time.Sleep(10 * time.Millisecond)
				started := time.Now()
				put(t, db, "small", "v")
				if time.Since(started) > 0 {
					slow++
				}
			}
			writing.Wait()
			db.checkpoints.logBytes.Store(0)
			db.checkpoints.turn <- struct{}{}
			require.LessOrEqual(t, slow, 2)
		})
	}
}

func TestTheLatencyOfCommitsHasTheRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openStore(t, storeDir, memOptions(vfs.NewMem()))
		<-db.checkpoints.turn
		db.checkpoints.logBytes.Store(1 << 40)
		for range 64 { // A sample of them is measured.
			_, err := db.Put([]byte("k"), make([]byte, 1<<20))
			require.NoError(t, err)
		}
		db.checkpoints.logBytes.Store(0)
		db.checkpoints.turn <- struct{}{}
		require.GreaterOrEqual(t, db.Stats().CommitLatency.Max, time.Second/4)
	})
}
