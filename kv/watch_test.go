package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// watched returns the commits that a watcher gets up to one with an offset, as text, and its error.
func watched(commits iter.Seq2[Commit, error], last uint64) (seen []string, err error) {
	for c, err := range commits {
		if err != nil {
			return seen, err
		}
		if seen = append(seen, describe(c)); c.Offset >= last {
			break
		}
	}
	return seen, nil
}

// describe returns a commit in a line.
func describe(c Commit) string {
	text := []string{fmt.Sprint(c.Offset)}
	for _, m := range c.Mutations {
		text = append(text, strings.TrimSpace(fmt.Sprintf("%v %s %s%s", m.Kind, m.Key, m.End, m.Value)))
	}
	return strings.Join(text, " ")
}

func TestWatchYieldsWhatIsThereAndThenWhatComes(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		put(t, db, "a", "1")
		put(t, db, "b", "2")
		var now, later, all []string
		var watchers sync.WaitGroup
		for _, w := range []struct {
			from uint64
			seen *[]string
		}{{1, &all}, {0, &now}, {5, &later}} {
			commits := db.Watch(t.Context(), WatchOptions{From: w.from}) // From 0 is the one after this call.
			watchers.Go(func() {
				seen, err := watched(commits, 6)
				require.NoError(t, err)
				*w.seen = seen
			})
		}
		for i := range 4 {
			put(t, db, "c", fmt.Sprint(i))
		}
		watchers.Wait()
		require.Equal(t, []string{"1 put a 1", "2 put b 2", "3 put c 0", "4 put c 1", "5 put c 2", "6 put c 3"}, all)
		require.Equal(t, all[2:], now)
		require.Equal(t, all[4:], later)
	})
}

// TestWatchLeavesNothingOutAtTheSeam: watchers begin anywhere while commits are made, some are slow, and each gets every commit once.
func TestWatchLeavesNothingOutAtTheSeam(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		const commits, writers = 3000, 4
		var others sync.WaitGroup
		for w := range writers {
			others.Go(func() {
				for i := range commits / writers {
					put(t, db, fmt.Sprint(w), fmt.Sprint(i))
				}
			})
		}
		for n := range 12 {
			others.Go(func() {
				for db.Offset() < uint64(n*100) {
					runtime.Gosched()
				}
				next := max(1, uint64(n*100)*uint64(n%3)/2)
				for c, err := range db.Watch(t.Context(), WatchOptions{From: next}) {
					if err != nil || c.Offset != next || db.Offset() < c.Offset {
						t.Errorf("commit %d, want %d, visible are %d: %v", c.Offset, next, db.Offset(), err)
						return
					}
					if next++; n%4 == 0 && next%100 == 0 {
						time.Sleep(time.Millisecond)
					}
					if c.Offset == commits {
						return
					}
				}
			})
		}
		others.Wait()
		require.Zero(t, db.feed.count())
	})
}

// TestAWatcherSeesWhatItWasGiven: whatever comes from Watch, Get has it or something later.
func TestAWatcherSeesWhatItWasGiven(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		var writer sync.WaitGroup
		commits := db.Watch(t.Context(), WatchOptions{})
		writer.Go(func() {
			for i := range 2000 {
				put(t, db, "k", fmt.Sprintf("%09d", i))
			}
		})
		for c, err := range commits {
			require.NoError(t, err)
			value, err := db.Get([]byte("k"))
			require.NoError(t, err)
			require.GreaterOrEqual(t, string(value), string(c.Mutations[0].Value))
			if c.Offset == 2000 {
				break
			}
		}
		writer.Wait()
	})
}

func TestWatchWithAPrefixYieldsItsMutationsAlone(t *testing.T) {
	db, _ := openMem(t)
	var b Batch
	for _, key := range []string{"tenant/1", "tenant/2", "tenant0", "tenant", "u"} {
		b.Put([]byte(key), nil)
	}
	_, err := db.Apply(&b)
	require.NoError(t, err)
	put(t, db, "other", "")
	for _, bounds := range [][2]string{
		{"", ""},
		{"tenant", "tenant/"},    // Ends before.
		{"tenant/5", "tenant/6"}, // Within.
		{"tenant0", ""},          // Begins after.
		{"a", "tenant/1"},        // Reaches into it.
		{"tenant/1", "a"},        // Is empty.
		{"tenant/9", "z"},        // Begins in it.
	} {
		var b Batch
		b.DeleteRange([]byte(bounds[0]), []byte(bounds[1]))
		_, err := db.Apply(&b)
		require.NoError(t, err)
	}
	_, err = db.Delete([]byte("tenant/2"))
	require.NoError(t, err)
	seen, err := watched(db.Watch(t.Context(), WatchOptions{From: 1, Prefix: []byte("tenant/")}), db.Offset())
	require.NoError(t, err)
	require.Equal(t, []string{
		"1 put tenant/1 put tenant/2", "3 delete_range", "5 delete_range tenant/5 tenant/6", "7 delete_range a tenant/1",
		"9 delete_range tenant/9 z", "10 delete tenant/2",
	}, seen)
}

// TestAWatcherOfTruncatedCommitsGoesOnFromTheArchive, and without one is told which commit is the oldest.
func TestAWatcherOfTruncatedCommitsGoesOnFromTheArchive(t *testing.T) {
	for _, test := range []struct {
		sentence string
		archive  string
		kept     int64
		from     uint64 // The first commit that can be watched.
	}{
		{sentence: "nothing keeps what is truncated"},
		{"an archive has all of it", "/data/archive", 0, 1},
		{"so much of the log is kept", "", 1 << 30, 1},
		{"a part of the log is kept", "", 20 << 10, 0},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			opts := manual(mem)
			opts.ArchiveDir, opts.LogKept, opts.SnapshotsKept = test.archive, test.kept, 1
			db := openStore(t, storeDir, opts)
			for i := range 100 {
				put(t, db, "k", strings.Repeat(fmt.Sprint(i%10), 500))
			}
			_, err := db.Checkpoint(t.Context())
			require.NoError(t, err)
			put(t, db, "k", "last")
			first := db.log.First()
			if test.from == 0 {
				require.Greater(t, first, uint64(1))
				_, err := watched(db.Watch(t.Context(), WatchOptions{From: 1}), 1)
				require.ErrorIs(t, err, ErrTruncated)
				require.ErrorContains(t, err, fmt.Sprint(first))
				test.from = first
			}
			if test.archive == "" {
				size := int64(0)
				for _, s := range db.log.Segments() {
					size += s.Bytes
				}
				require.GreaterOrEqual(t, size, min(test.kept, 50_000))
				require.Less(t, size, test.kept+10_000+(4<<10))
			}
			seen, err := watched(db.Watch(t.Context(), WatchOptions{From: test.from}), 101)
			require.NoError(t, err)
			require.Len(t, seen, int(102-test.from))
			require.Equal(t, "101 put k last", seen[len(seen)-1])
		})
	}
}

// TestCommitsThatNoArchiveHasAreTruncated, also where the archive was set later and isn't there yet.
func TestCommitsThatNoArchiveHasAreTruncated(t *testing.T) {
	opts := manual(vfs.NewMem())
	opts.SnapshotsKept = 1
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for range 300 {
		require.NoError(t, countUp(db))
	}
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Close())
	opts.ArchiveDir = "/data/archive"
	db = openStore(t, storeDir, opts)
	first := db.log.First()
	require.Greater(t, first, uint64(1))
	_, err = watched(db.Watch(t.Context(), WatchOptions{From: 1}), 1)
	require.ErrorIs(t, err, ErrTruncated)
	require.ErrorContains(t, err, fmt.Sprint(first))
}

// TestASlowWatcherLosesNothing: commits that the store no longer has in memory, and one too large for that, are read from the log,
// also where the log is truncated meanwhile.
func TestASlowWatcherLosesNothing(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.Sync, opts.SegmentSize, opts.ArchiveDir, opts.SnapshotsKept = SyncNever, 64<<10, "/data/archive", 1
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "v")
	next := uint64(1)
	var stream *stream
	for c, err := range db.Watch(t.Context(), WatchOptions{From: 1}) {
		require.NoError(t, err)
		require.Equal(t, next, c.Offset)
		if next++; next == 3*streamKept {
			break
		}
		if next > 2 {
			continue
		}
		stream = db.feed.stream
		for range streamKept {
			put(t, db, "k", "v")
		}
		_, err := db.Put([]byte("large"), make([]byte, streamBytes+1))
		require.NoError(t, err)
		waitUntil(t, func() bool { return stream.shown.Load().next == db.Offset()+1 })
		require.Empty(t, stream.shown.Load().commits)
		for range 2 * streamKept {
			put(t, db, "k", "v")
		}
		_, err = db.Checkpoint(t.Context())
		require.NoError(t, err)
		require.Greater(t, db.log.First(), uint64(2))
	}
	require.LessOrEqual(t, len(stream.shown.Load().commits), streamKept)
	require.LessOrEqual(t, stream.shown.Load().bytes, streamBytes)
}

// TestAStreamThatACheckpointOvertakesGoesOnLater: its watchers then read what it has missed.
func TestAStreamThatACheckpointOvertakesGoesOnLater(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.ArchiveDir, opts.SnapshotsKept = "/data/archive", 1
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "v")
	db.feed.watchers, db.feed.stream = 1, newStream(2) // Whose goroutine doesn't run yet.
	watching := make(chan error, 1)
	commits := db.Watch(t.Context(), WatchOptions{From: 2})
	go func() {
		seen, err := watched(commits, 101)
		if err == nil && len(seen) != 100 {
			err = fmt.Errorf("%d commits: %q", len(seen), seen)
		}
		watching <- err
	}()
	for range 99 {
		put(t, db, "k", strings.Repeat("x", 500))
	}
	_, err := db.Checkpoint(t.Context())
	require.NoError(t, err)
	require.Greater(t, db.log.First(), uint64(2))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { db.feed.stream.run(ctx, db) })
	put(t, db, "k", "last")
	require.NoError(t, <-watching)
	stop()
	running.Wait()
	db.feed.watchers = 0
}

func TestWatchEndsWithWhatEndedIt(t *testing.T) {
	end := func(db *DB, ctx context.Context, from uint64, during func()) error {
		ended := make(chan error, 1)
		commits := db.Watch(ctx, WatchOptions{From: from})
		go func() {
			_, err := watched(commits, 1<<60)
			ended <- err
		}()
		waitUntil(t, func() bool { return db.feed.count() > 0 || len(ended) > 0 })
		during()
		return <-ended
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled, alreadyCancelled := context.WithCancel(t.Context())
	alreadyCancelled()
	mem := vfs.NewMem()
	db := openStore(t, storeDir, memOptions(mem))
	put(t, db, "k", "v")
	require.ErrorIs(t, end(db, cancelled, 1, func() {}), context.Canceled)
	require.ErrorIs(t, end(db, ctx, 1<<40, cancel), context.Canceled)
	require.ErrorIs(t, end(db, t.Context(), 0, func() { require.NoError(t, db.Close()) }), ErrClosed)
	require.ErrorIs(t, end(db, t.Context(), 1, func() {}), ErrClosed)

	opts := memOptions(mem)
	opts.ReadOnly = true
	reader := openStore(t, storeDir, opts)
	require.ErrorIs(t, end(reader, t.Context(), 1, func() {}), ErrReadOnly)

	again, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	require.ErrorIs(t, end(again, t.Context(), 0, func() {
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpSync {
				return errDisk
			}
			return nil
		})
		_, err := again.Put([]byte("k"), nil)
		require.ErrorIs(t, err, ErrFailed)
	}), ErrFailed)
	mem.SetHook(nil)
	require.Error(t, again.Close())
	path := filepath.Join(storeDir, walName, "00000000000000000001.store")
	data, err := mem.ReadFile(path)
	require.NoError(t, err)
	again, err = Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	data[110] ^= 1
	require.NoError(t, mem.WriteFile(path, data))
	require.ErrorIs(t, end(again, t.Context(), 1, func() {}), ErrCorrupt)
	require.NoError(t, again.Close())
	data[110] ^= 1
	require.NoError(t, mem.WriteFile(path, data))
}

// TestManyWatchersLeaveNoGoroutine, whether they stop by themselves or are stopped, and each gets every commit.
func TestManyWatchersLeaveNoGoroutine(t *testing.T) {
	db, _ := openMem(t)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	var got atomic.Int64
	for n := range 1000 {
		commits := db.Watch(ctx, WatchOptions{})
		watchers.Go(func() {
			for c, err := range commits {
				if err != nil {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				if got.Add(1); c.Offset == 50 && n%2 == 0 {
					return
				}
			}
		})
	}
	for range 100 {
		put(t, db, "k", "v")
	}
	waitUntil(t, func() bool { return got.Load() == 500*50+500*100 })
	require.Equal(t, 500, db.feed.count())
	cancel()
	watchers.Wait()
	waitUntil(t, func() bool { return runtime.NumGoroutine() <= before })
	require.Nil(t, db.feed.stream)
}

// failOneRead fails one read of the feed's stream.
func failOneRead(mem *vfs.Mem) (failed *atomic.Bool) {
	failed = new(atomic.Bool)
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && !failed.Load() {
			stack := string(debug.Stack())
			if strings.Contains(stack, "stream).follow") && strings.Contains(stack, "scanner).frame") && failed.CompareAndSwap(false, true) {
				return syscall.EIO
			}
		}
		return nil
	})
	return failed
}

func TestAWatcherOfAFollowerEndsWithAReadThatFails(t *testing.T) {
	mem := vfs.NewMem()
	writer := openStore(t, storeDir, memOptions(mem))
	put(t, writer, "k", "v")
	opts := memOptions(mem)
	opts.ReadOnly, opts.Follow = true, true
	follower := openStore(t, storeDir, opts)
	first, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for c, err := range follower.Watch(t.Context(), WatchOptions{From: 1}) {
			if err != nil {
				ended <- err
				return
			}
			if c.Offset == 1 {
				close(first)
			}
		}
	}()
	<-first
	failed := failOneRead(mem)
	put(t, writer, "k", "v")
	select {
	case err := <-ended:
		require.ErrorIs(t, err, syscall.EIO)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the watcher waits")
	}
	require.True(t, failed.Load())
	mem.SetHook(nil)
	waitUntil(t, func() bool { return follower.Offset() == 2 })
	seen, err := watched(follower.Watch(t.Context(), WatchOptions{From: 1}), 2)
	require.NoError(t, err)
	require.Len(t, seen, 2)
}

// TestAStreamThatEndedIsNotGivenToNewWatchers has a watcher that stays with it.
func TestAStreamThatEndedIsNotGivenToNewWatchers(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, memOptions(mem))
	put(t, db, "k", "v")
	inside, release := make(chan struct{}), make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for _, err := range db.Watch(t.Context(), WatchOptions{From: 1}) {
			if err != nil {
				if !errors.Is(err, syscall.EIO) {
					t.Error(err)
				}
				return
			}
			close(inside)
			<-release
			inside = make(chan struct{})
		}
	})
	<-inside
	stream := db.feed.stream
	failed := failOneRead(mem)
	put(t, db, "k", "v")
	waitUntil(t, func() bool { return stream.shown.Load().err != nil })
	require.True(t, failed.Load())
	mem.SetHook(nil)
	put(t, db, "k", "v")
	for range 3 {
		seen, err := watched(db.Watch(t.Context(), WatchOptions{From: 1}), 3)
		require.NoError(t, err)
		require.Len(t, seen, 3)
	}
	close(release)
	busy.Wait()
	require.Zero(t, db.feed.count())
	require.Nil(t, db.feed.stream)
}
