package kernel

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestKilledProcessesLeaveLogAndArchiveWithoutAGap kills processes while their writers go on, checkpoints come one after the other,
// each moves segments into the archive, and sessions are swept. Log and archive together have every commit since the first, and
// what these come to is what the store shows.
func TestKilledProcessesLeaveLogAndArchiveWithoutAGap(t *testing.T) {
	dir := t.TempDir()
	store, archive := filepath.Join(dir, "store"), filepath.Join(dir, "archive")
	j := newJudge(writers{Count: 4, Kept: 16, Bytes: 200})
	for range rounds(10, 50) {
		p := j.start(t, task{Dir: store, Archive: archive, SegmentSize: 16 << 10, Checkpoint: 32 << 10, Sessions: true})
		p.until("open")
		p.steps(200)
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		p.kill()
		require.NotContains(t, strings.Join(p.everything(), "\n"), "session", "a session was refused")
		db, err := kv.Open(store, kv.Options{ArchiveDir: archive, CheckpointFactor: -1})
		require.NoError(t, err)
		j.requireIn(t, db)
		requireHistory(t, db, j)
		require.NoError(t, db.Close())
		requireSound(t, store)
	}
	archived, err := os.ReadDir(archive)
	require.NoError(t, err)
	require.Greater(t, len(archived), 10)
}

// requireHistory requires that every commit since the first can be watched, and that together they come to what was acknowledged.
func requireHistory(t *testing.T, db *kv.DB, j *judge) {
	t.Helper()
	copied, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, copied.Close()) }()
	last, next := db.Offset(), uint64(1)
	for commit, err := range db.Watch(context.Background(), kv.WatchOptions{From: 1}) {
		require.NoError(t, err)
		require.Equal(t, next, commit.Offset)
		_, err = copied.Apply(batchOf(commit))
		require.NoError(t, err)
		if next++; commit.Offset >= last {
			break
		}
	}
	_, err = j.find(copied)
	require.NoError(t, err)
}

// batchOf returns a commit's mutations without their deadlines.
func batchOf(commit kv.Commit) *kv.Batch {
	var b kv.Batch
	for _, m := range commit.Mutations {
		switch m.Kind {
		case kv.MutationPut:
			b.Put(m.Key, m.Value)
		case kv.MutationDelete:
			b.Delete(m.Key)
		case kv.MutationDeleteRange:
			b.DeleteRange(m.Key, m.End)
		}
	}
	return &b
}
