package kv

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var consumerRounds = flag.Int("consumer.rounds", 20, "how often a consumer of commits is stopped, or its process killed")

// consumed is a store with 8 writers, checkpoints that start by themselves, and an archive.
type consumed struct {
	*DB
	dir     string
	stopped atomic.Bool
	writers sync.WaitGroup
}

func openConsumed(t *testing.T, seed uint64) *consumed {
	c := &consumed{dir: t.TempDir()}
	db, err := Open(filepath.Join(c.dir, "store"), Options{
		Sync: SyncNever, SegmentSize: 32 << 10, CheckpointFactor: 0.1, CheckpointFloor: 64 << 10, ArchiveDir: filepath.Join(c.dir, "archive"),
	})
	require.NoError(t, err)
	c.DB = db
	for w := range uint64(8) {
		c.writers.Go(func() {
			random := rand.New(rand.NewPCG(seed, w))
			for !c.stopped.Load() {
				if _, err := db.Apply(randomBatch(random, time.Now().UnixNano())); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
			}
		})
	}
	return c
}

// stop ends the writers, once there are commits which only the archive has. It returns the last commit; after that there
// are only those that sweep away what has expired.
func (c *consumed) stop(t *testing.T) (last uint64) {
	waitUntil(t, func() bool { return c.log.First() > 1 })
	c.stopped.Store(true)
	c.writers.Wait()
	return c.Offset()
}

// TestAConsumerThatIsStoppedAnywhereMissesNothing stops a consumer at random instants, and lets it go on from the offset that it has
// stored. Its copy is then the store's.
func TestAConsumerThatIsStoppedAnywhereMissesNothing(t *testing.T) {
	db := openConsumed(t, 1)
	copied, seen := newState(), uint64(0)
	consume := func(ctx context.Context, last uint64) {
		for c, err := range db.Watch(ctx, WatchOptions{From: seen + 1}) {
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				return
			}
			require.Equal(t, seen+1, c.Offset)
			copied.apply(c.Offset, c.Mutations)
			if seen = c.Offset; seen >= last {
				return
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 99))
	for range *consumerRounds {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(20_000))*time.Microsecond)
		consume(ctx, 1<<60)
		cancel()
		time.Sleep(time.Duration(random.IntN(20_000)) * time.Microsecond) // Commits are made, and truncated, that nothing watches.
	}
	last := db.stop(t)
	consume(t.Context(), last)
	require.Equal(t, last, seen)
	require.Equal(t, lines(db.Scan(Range{})), lines(copied.scan(Range{}, db.now())))
	require.NoError(t, db.Close())
	t.Logf("%d commits", seen)
}

// consumerEnv tells the test binary that it is a consumer: its directory, and the commit at which it is done.
const consumerEnv = "WALNUT_TEST_CONSUMER"

// seenKey is where a consumer's copy has the offset of the last commit in it.
const seenKey = "the last commit seen"

// TestAConsumerWhoseProcessIsKilledMissesNothing kills the process of a consumer with SIGKILL at random instants. It follows the store of
// this process, and stores what it has seen with each commit.
func TestAConsumerWhoseProcessIsKilledMissesNothing(t *testing.T) {
	if _, err := exec.LookPath(os.Args[0]); err != nil {
		t.Skip("this system starts no processes")
	}
	db := openConsumed(t, 2)
	start := func(last uint64) *exec.Cmd {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), consumerEnv+"="+fmt.Sprint(db.dir, " ", last))
		child.Stderr = os.Stderr
		require.NoError(t, child.Start())
		return child
	}
	random := rand.New(rand.NewPCG(2, 99))
	for range *consumerRounds {
		child := start(1 << 60)
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		require.NoError(t, child.Process.Kill())
		require.ErrorContains(t, child.Wait(), "killed")
	}
	last := db.stop(t)
	require.NoError(t, start(last).Wait())
	copied, err := Open(filepath.Join(db.dir, "copy"), Options{})
	require.NoError(t, err)
	require.EqualValues(t, last, numberAt(copied, seenKey))
	_, err = copied.Delete([]byte(seenKey))
	require.NoError(t, err)
	require.Equal(t, lines(db.Scan(Range{})), lines(copied.Scan(Range{})))
	t.Logf("%d commits", last)
	require.NoError(t, errors.Join(copied.Close(), db.Close()))
}

// runConsumer is a consumer's process.
func runConsumer(spec string) {
	dir, number, _ := strings.Cut(spec, " ")
	var last uint64
	_, err := fmt.Sscan(number, &last)
	if err == nil {
		err = consume(dir, last)
	}
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

// consume copies commits until it has one with that offset.
func consume(dir string, last uint64) error {
	copied, err := Open(filepath.Join(dir, "copy"), Options{Sync: SyncNever})
	if err != nil {
		return err
	}
	source, err := Open(filepath.Join(dir, "store"), Options{ReadOnly: true, Follow: true, ArchiveDir: filepath.Join(dir, "archive")})
	if err != nil {
		return err
	}
	seen := uint64(numberAt(copied, seenKey))
	for c, err := range source.Watch(context.Background(), WatchOptions{From: seen + 1}) {
		if err != nil || c.Offset != seen+1 {
			return fmt.Errorf("commit %d after %d: %w", c.Offset, seen, err)
		}
		var b Batch
		for _, m := range c.Mutations {
			switch m.Kind {
			case MutationPut:
				b.PutDeadline(m.Key, m.Value, m.Deadline)
			case MutationDelete:
				b.Delete(m.Key)
			case MutationDeleteRange:
				b.DeleteRange(m.Key, m.End)
			}
		}
		b.Put([]byte(seenKey), fmt.Append(nil, c.Offset))
		if _, err := copied.Apply(&b); err != nil {
			return err
		}
		if seen = c.Offset; seen >= last {
			break
		}
	}
	return errors.Join(source.Close(), copied.Close())
}
