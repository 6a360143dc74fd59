package kv

import (
	"context"
	"io"
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

// TestRelaxedWritersYieldToABackup has one processor. A writer that kept it until it is preempted would make thousands of puts after each
// piece of the backup.
func TestRelaxedWritersYieldToABackup(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	opts := manual(vfs.NewMem())
	opts.Sync, opts.SegmentSize = SyncNever, 64<<20
	db := openStore(t, storeDir, opts)
	const pieces = 100
	for i := range pieces {
		put(t, db, string(rune('a'+i)), string(make([]byte, restBytes)))
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	var puts atomic.Int64
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; puts.Add(1) {
			_, _ = db.Put([]byte("k"), []byte("v"))
		}
	}()
	for puts.Load() < turn {
		runtime.Gosched()
	}
	before := puts.Load()
	_, err := db.Backup(t.Context(), io.Discard)
	made := puts.Load() - before
	stop()
	<-done
	require.NoError(t, err)
	require.Positive(t, made)
	require.Less(t, made, int64(4*pieces*turn))
}
