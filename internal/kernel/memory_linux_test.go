//go:build !race

package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestALogMuchLargerThanMemoryIsRecovered lets a process open a store under a GOMEMLIMIT of what the store's pairs take and a slack, a
// tenth of the log, in a control group of twice as much memory, where one can be made. So a start must not hold the log, nor pile up
// what it reads ahead. No checkpoint was taken, so all of the log is replayed. The race detector takes many times the memory.
func TestALogMuchLargerThanMemoryIsRecovered(t *testing.T) {
	size, slack := int64(100<<20), int64(10<<20)
	if *long {
		size, slack = 1<<30, 256<<20
	} else if testing.Short() {
		size, slack = 50<<20, 10<<20
	}
	for _, c := range []struct {
		name string
		live int64 // Bytes of values that are never overwritten.
	}{
		{"nearly everything is overwritten", 4 << 20},
		{"a quarter is live", size / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			const value = 10_000
			w := writers{Count: 2, Kept: max(1, int(c.live/value/2)), Bytes: value}
			dir, j := t.TempDir(), newJudge(w)
			db, err := kv.Open(dir, kv.Options{Sync: kv.SyncNever, CheckpointFactor: -1})
			require.NoError(t, err)
			for _, err := range j.write(db, int(size/value/2), nil) {
				require.NoError(t, err)
			}
			require.NoError(t, db.Close())

			free := weighed(t, j.start(t, task{Dir: dir, Weigh: true}))
			limit := c.live + slack
			cgroup := newCgroup(t, 2*limit)
			bound := weighed(t, j.start(t, task{Dir: dir, Weigh: true, Cgroup: cgroup}, "GOMAXPROCS=2", fmt.Sprintf("GOMEMLIMIT=%d", limit)))
			t.Logf("log %d MiB, of which %d MiB are live; without a limit: peak %d MiB, %v; GOMEMLIMIT %d MiB, control group %s: peak %d MiB, %v",
				size>>20, c.live>>20, free.peak>>20, free.took, limit>>20, cgroup, bound.peak>>20, bound.took)
			require.Equal(t, free.offset, bound.offset)
			require.Equal(t, uint64(size/value/2*2), bound.offset)
			require.Less(t, free.heap, limit, "opening leaves more in memory than the pairs")
			require.Less(t, bound.peak-bound.before, 2*limit)
			j.require(t, dir, kv.Options{CheckpointFactor: -1})
		})
	}
}

// weight is what opening a store took.
type weight struct {
	heap   int64 // What is in use afterwards.
	before int64 // The memory of the process before, most of it the program itself.
	peak   int64 // The most that it had at one time, files that it has mapped included.
	took   time.Duration
	offset uint64
}

// weighed returns what a child says that opening took, once it has gone.
func weighed(t *testing.T, p *child) (w weight) {
	t.Helper()
	_, err := fmt.Sscan(p.until("weighs"), &w.heap, &w.before, &w.peak, &w.took, &w.offset)
	require.NoError(t, err)
	require.Empty(t, p.close())
	return w
}

// newCgroup makes a control group with a limit of memory in bytes and returns its directory, or "" where none can be made.
func newCgroup(t *testing.T, limit int64) (dir string) {
	t.Helper()
	for _, c := range []struct{ below, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(c.below, fmt.Sprintf("walnut-kernel-%d-%d", os.Getpid(), time.Now().UnixNano()))
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			t.Cleanup(func() { _ = os.Remove(dir) })
			err = os.WriteFile(filepath.Join(dir, c.file), fmt.Append(nil, limit), 0)
		}
		if err == nil {
			return dir
		}
		t.Logf("no control group: %v", err)
	}
	return ""
}
