package kv

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/crashtest"
	"github.com/walnutkv/walnut/internal/vfs"
)

// crashNow is the time at which tests of crashes begin whose clock stands still.
const crashNow = 1_000_000

func fixedClock(now int64) func() time.Time { return func() time.Time { return time.Unix(0, now) } }

// TestCrashUnderConcurrentWriters lets several writers share groups, and cuts the power under them. Each writer counts up
// in commits of two pairs, so a recovered store shows for each how far it came.
func TestCrashUnderConcurrentWriters(t *testing.T) {
	const writers, commits = 6, 40
	for seed := *crashtest.Seed; seed < *crashtest.Seed+4; seed++ {
		random := rand.New(rand.NewPCG(seed, 7))
		mem := vfs.NewMem()
		db, err := Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		var started, acknowledged [writers]atomic.Int64
		var seen atomic.Uint64 // By a watcher.
		var mu sync.Mutex
		var states []concurrentCrash
		mem.SetHook(func(c vfs.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if !c.Op.Changes() || random.IntN(2) != 0 || !db.mu.TryLock() {
				return nil // Where a commit is being submitted, its stores into the mapped index would race with the crash.
			}
			defer db.mu.Unlock()
			policy := vfs.Policies[random.IntN(len(vfs.Policies))]
			state := concurrentCrash{seen: seen.Load(), says: fmt.Sprintf("seed %d, %v, call %d", seed, policy, c.N)}
			for w := range writers {
				state.least = append(state.least, acknowledged[w].Load())
			}
			state.mem = mem.Crash(random.Uint64(), policy)
			for w := range writers {
				state.most = append(state.most, started[w].Load())
			}
			states = append(states, state)
			return nil
		})
		var done, watcher sync.WaitGroup
		watched := db.Watch(t.Context(), WatchOptions{})
		watcher.Go(func() {
			for c, err := range watched {
				if err != nil {
					assert.ErrorIs(t, err, ErrClosed)
					return
				}
				seen.Store(c.Offset)
			}
		})
		for w := range writers {
			done.Go(func() {
				for i := int64(1); i <= commits; i++ {
					started[w].Store(i)
					var b Batch
					b.Put(fmt.Appendf(nil, "%d/left", w), fmt.Append(nil, i))
					b.Put(fmt.Appendf(nil, "%d/right", w), fmt.Append(nil, i))
					if _, err := db.Apply(&b); err != nil {
						t.Error(err)
						return
					}
					acknowledged[w].Store(i)
				}
			})
		}
		done.Wait()
		mem.SetHook(nil)
		waitUntil(t, func() bool { return seen.Load() > 0 }) // On a busy machine the watcher may begin only now.
		require.NoError(t, db.Close())
		watcher.Wait()
		require.Greater(t, len(states), 20)
		for _, state := range states {
			state.requirePromised(t)
		}
	}
}

// concurrentCrash is a crashed store, and how far each writer had come for sure and at most.
type concurrentCrash struct {
	mem         *vfs.Mem
	least, most []int64
	seen        uint64 // The last commit that a watcher was given.
	says        string
}

// requirePromised requires that the store has, for each writer, both pairs of a commit between least and most.
func (c *concurrentCrash) requirePromised(t *testing.T) {
	t.Helper()
	says := c.says
	db, err := Open(storeDir, memOptions(c.mem))
	require.NoError(t, err, says)
	require.GreaterOrEqual(t, db.Offset(), c.seen, "%s: a watcher was given a commit that is gone", says)
	for w := range c.least {
		left, right := numberAt(db, fmt.Sprintf("%d/left", w)), numberAt(db, fmt.Sprintf("%d/right", w))
		require.Equal(t, left, right, "%s: writer %d has half a commit", says, w)
		require.GreaterOrEqual(t, left, c.least[w], "%s: writer %d lost an acknowledged commit", says, w)
		require.LessOrEqual(t, left, c.most[w], says)
	}
	require.NoError(t, db.Close(), says)
}

// numberAt returns the number that is the value of a key, 0 where it is absent.
func numberAt(db *DB, key string) (number int64) {
	if value, err := db.Get([]byte(key)); err == nil {
		_, _ = fmt.Sscan(string(value), &number)
	}
	return number
}
