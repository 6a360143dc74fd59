package kv

import (
	"runtime"
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
