package kv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var followTime = flag.Duration("follow.time", 3*time.Second, "how long a follower is watched beside a writer at work")

// followDirEnv tells the test binary that it is the writer of a follower's test, and where its store is.
const followDirEnv = "WALNUT_TEST_FOLLOW_DIR"

// followedKeys is how many keys a followed writer has, besides the counter.
const followedKeys = 500

// followedOptions let a writer roll and take checkpoints many times a second.
func followedOptions() Options {
	return Options{SegmentSize: 64 << 10, CheckpointFloor: 100 << 10, CheckpointFactor: 0.1}
}

// countUp makes the commit with the next number, so that the state after each offset is known.
func countUp(db *DB) error {
	return db.Update(func(tx *Tx) error {
		n := 1
		if value, err := tx.Get([]byte("count")); err == nil {
			before, err := strconv.Atoi(string(value))
			if err != nil {
				return err
			}
			n = before + 1
		}
		number := fmt.Append(nil, n)
		return errors.Join(tx.Put([]byte("count"), number), tx.Put(fmt.Appendf(nil, "k%d", n%followedKeys), number))
	})
}

// requireCounted requires that a view shows the state after the commit of its offset, and nothing else.
func requireCounted(view *ReadView) error {
	n := int(view.Offset())
	want := map[string]int{}
	for i := max(1, n-followedKeys+1); i <= n; i++ {
		want[fmt.Sprintf("k%d", i%followedKeys)] = i
	}
	if n > 0 {
		want["count"] = n
	}
	for key, value := range view.Scan(Range{}) {
		if got, ok := want[string(key)]; !ok || fmt.Sprint(got) != string(value) {
			return fmt.Errorf("at %d, %s is %s, not %d", n, key, value, got)
		}
		delete(want, string(key))
	}
	if len(want) > 0 {
		return fmt.Errorf("at %d, %d pairs are missing", n, len(want))
	}
	return nil
}

// runFollowedChild commits at full speed until it is killed, or its standard input ends.
func runFollowedChild(dir string) {
	db, err := Open(dir, followedOptions())
	if err != nil {
		panic(err)
	}
	for range 4 {
		go func() {
			for {
				if err := countUp(db); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					panic(err)
				}
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := db.Close(); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// startFollowed starts a writer in another process. stop ends it, by SIGKILL or by a close.
func startFollowed(t *testing.T, dir string) (stop func(kill bool)) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), followDirEnv+"="+dir)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	return func(kill bool) {
		if kill {
			require.NoError(t, child.Process.Kill())
		}
		require.NoError(t, in.Close())
		if err := child.Wait(); !kill {
			require.NoError(t, err)
		}
	}
}

func following(opts Options) Options {
	opts.ReadOnly, opts.Follow = true, true
	return opts
}

// TestAFollowerShowsAPrefixBesideAWriterAtFullSpeed, which takes checkpoints, is killed, and comes back. Every state that the follower shows
// is that after some commit, and a watcher gets every commit once, soon.
func TestAFollowerShowsAPrefixBesideAWriterAtFullSpeed(t *testing.T) {
	t.Logf("go test ./kv -run %s -follow.time=2m", t.Name())
	dir := t.TempDir()
	db, err := Open(dir, followedOptions())
	require.NoError(t, err)
	require.NoError(t, countUp(db))
	require.NoError(t, db.Close())
	follower := openStore(t, dir, following(followedOptions()))
	ctx, cancel := context.WithTimeout(t.Context(), *followTime)
	defer cancel()
	var readers sync.WaitGroup
	var lags timer
	readers.Go(func() {
		next := uint64(2)
		for c, err := range follower.Watch(ctx, WatchOptions{From: next}) {
			if errors.Is(err, context.DeadlineExceeded) {
				return
			}
			if err != nil || c.Offset != next || follower.Offset() < next {
				t.Errorf("watched commit %d, want %d, visible is %d: %v", c.Offset, next, follower.Offset(), err)
				return
			}
			next++
			lags.spread.Record(int64(time.Since(c.Time)))
		}
	})
	states, seen := 0, uint64(0)
	readers.Go(func() {
		for ; ctx.Err() == nil && !t.Failed(); time.Sleep(time.Millisecond) {
			view, err := follower.ReadView()
			require.NoError(t, err)
			if err := requireCounted(view); err != nil || view.Offset() < seen {
				t.Errorf("offset %d after %d: %v", view.Offset(), seen, err)
			}
			states, seen = states+1, view.Offset()
			require.NoError(t, view.Close())
		}
	})
	for deaths := 0; ctx.Err() == nil; deaths++ {
		stop := startFollowed(t, dir)
		select {
		case <-ctx.Done():
		case <-time.After(min(10*time.Second, *followTime/4)):
		}
		stop(deaths%2 == 0 && ctx.Err() == nil)
	}
	readers.Wait()
	writer := openStore(t, dir, Options{})
	waitUntil(t, func() bool { return follower.Offset() == writer.Offset() })
	stats, lag := follower.Stats(), newLatency(lags.spread.Snapshot())
	require.NoError(t, stats.Failed)
	require.Zero(t, stats.FollowLag.Commits)
	if follower.Offset() > 20_000 {
		require.Greater(t, stats.First, uint64(1), "checkpoints have truncated the log")
	}
	t.Logf("%d commits, %d states, lag p50 %v, p99 %v, p99.9 %v, most %v", follower.Offset(), states, lag.P50, lag.P99, lag.P999, lag.Max)
	require.Less(t, lag.P99, 500*time.Millisecond, "50 ms on a machine with nothing else to do")
}

// TestAFollowerChangesNoByte compares what is on disk, and watches the calls.
func TestAFollowerChangesNoByte(t *testing.T) {
	mem := vfs.NewMem()
	writer := openStore(t, storeDir, memOptions(mem))
	for range 50 {
		require.NoError(t, countUp(writer))
	}
	died := mem.Exit()
	before := contents(t, died)
	var made []vfs.Call
	died.SetHook(changes(&made))
	follower := openStore(t, storeDir, following(memOptions(died)))
	require.EqualValues(t, 50, follower.Offset())
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, follower.Stats().Failed)
	require.Empty(t, made)
	require.Equal(t, before, contents(t, died))
}

// TestAFollowerLeavesFilesAndTimesAlone of a store whose writer was killed, on a real disk.
func TestAFollowerLeavesFilesAndTimesAlone(t *testing.T) {
	dir := t.TempDir()
	stop := startFollowed(t, dir)
	waitUntil(t, func() bool {
		names, err := filepath.Glob(filepath.Join(dir, walName, "*.store"))
		return err == nil && len(names) > 3
	})
	stop(true)
	files := func() map[string]string {
		found := map[string]string{}
		require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			var data []byte
			if !entry.IsDir() {
				data, err = os.ReadFile(path)
			}
			found[path] = fmt.Sprintf("%x %v %v", sha256.Sum256(data), info.ModTime(), info.Mode())
			return err
		}))
		return found
	}
	before := files()
	follower := openStore(t, dir, following(Options{}))
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, before, files())
	require.NoError(t, follower.Stats().Failed)
}

// TestAFollowerShowsEveryCommitOfItsWriter in each sync mode, with all kinds of mutations and large ones.
func TestAFollowerShowsEveryCommitOfItsWriter(t *testing.T) {
	eachMode(t, func(t *testing.T, writer *DB) {
		put(t, writer, "k", "v")
		follower := openStore(t, writer.dir, following(writer.opts))
		held, err := follower.ReadView()
		require.NoError(t, err)
		var many Batch
		for i := range 2 * inPlaceMutations {
			many.Put(fmt.Appendf(nil, "many/%05d", i), []byte("v"))
		}
		var ranges Batch
		ranges.DeleteRange([]byte("many/00100"), []byte("many/05000"))
		ranges.Delete([]byte("k"))
		for _, b := range []*Batch{&many, &ranges} {
			_, err := writer.Apply(b)
			require.NoError(t, err)
		}
		_, err = writer.Put([]byte("large"), make([]byte, 5<<20))
		require.NoError(t, err)
		_, err = writer.PutTTL([]byte("short"), nil, time.Nanosecond)
		require.NoError(t, err)
		waitUntil(t, func() bool { return follower.Offset() == writer.Offset() })
		require.Equal(t, lines(writer.Scan(Range{})), lines(follower.Scan(Range{})))
		require.Equal(t, []string{"k=v"}, lines(held.Scan(Range{})))
		require.NoError(t, held.Close())
		_, err = follower.Put([]byte("k"), nil)
		require.ErrorIs(t, err, ErrReadOnly)
		lag := follower.Stats().FollowLag
		require.Zero(t, lag.Commits)
		require.Less(t, lag.Age, 5*time.Second)
	})
}

// TestAFollowerThatCheckpointsOvertakeGoesOnFromASnapshot: its log is held up until what comes next is truncated.
func TestAFollowerThatCheckpointsOvertakeGoesOnFromASnapshot(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept = 1
	writer := openStore(t, storeDir, opts)
	require.NoError(t, countUp(writer))
	follower := openStore(t, storeDir, following(opts))
	follower.visible.mu.Lock() // So that nothing is applied.
	for range 4 {
		for range 100 {
			require.NoError(t, countUp(writer))
		}
		_, err := writer.Checkpoint(t.Context())
		require.NoError(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	require.Greater(t, writer.log.First(), uint64(300))
	watched := make(chan error, 1)
	go func() {
		for _, err := range follower.Watch(t.Context(), WatchOptions{From: 3}) {
			if err != nil {
				watched <- err
			}
		}
	}()
	follower.visible.mu.Unlock()
	require.NoError(t, countUp(writer))
	waitUntil(t, func() bool { return follower.Offset() == writer.Offset() })
	view, err := follower.ReadView()
	require.NoError(t, err)
	require.NoError(t, requireCounted(view))
	require.NoError(t, view.Close())
	require.ErrorIs(t, <-watched, ErrTruncated)
	require.NoError(t, follower.Stats().Failed)
}

// TestWhatEndsAFollowerIsKnownEverywhere: in Stats, in what watches, and in the logger, once. Reads go on.
func TestWhatEndsAFollowerIsKnownEverywhere(t *testing.T) {
	for _, test := range []struct {
		sentence string
		during   func(t *testing.T, dir string, writer *DB)
		want     error
	}{
		{"the directory vanishes", func(t *testing.T, dir string, writer *DB) {
			require.NoError(t, errors.Join(writer.Close(), os.RemoveAll(dir)))
		}, ErrNotStore},
		{"another store takes its place", func(t *testing.T, dir string, writer *DB) {
			require.NoError(t, errors.Join(writer.Close(), os.RemoveAll(dir)))
			other, err := Open(dir, Options{})
			require.NoError(t, err)
			put(t, other, "k", "other")
			require.NoError(t, other.Close())
		}, ErrDiverged},
		{"a newer writer takes over", func(t *testing.T, _ string, writer *DB) {
			_, err := writer.log.Append([]byte{0x12, 2, 8, 99})
			require.NoError(t, err)
			require.NoError(t, writer.Close())
		}, ErrVersion},
		{"a record is no commit", func(t *testing.T, _ string, writer *DB) {
			_, err := writer.log.Append([]byte("no commit"))
			require.NoError(t, err)
			require.NoError(t, writer.Close())
		}, ErrCorrupt},
		{"it is closed", nil, ErrClosed},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			writer, err := Open(dir, Options{})
			require.NoError(t, err)
			put(t, writer, "k", "v")
			opts := following(Options{})
			logger, text := logTo()
			opts.Logger = logger
			follower, err := Open(dir, opts)
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() {
				_, err := watched(follower.Watch(t.Context(), WatchOptions{From: 1}), math.MaxUint64)
				ended <- err
			}()
			if waitUntil(t, func() bool { return follower.feed.count() > 0 }); test.during == nil {
				require.NoError(t, errors.Join(writer.Close(), follower.Close()))
				require.ErrorIs(t, <-ended, ErrClosed)
				return
			}
			test.during(t, dir, writer)
			require.ErrorIs(t, <-ended, test.want)
			waitUntil(t, func() bool { return follower.Stats().Failed != nil && follower.log.Stats().Failed != nil })
			waitUntil(t, func() bool { return errors.Is(follower.Stats().Failed, test.want) })
			requireHolds(t, follower, "k=v")
			require.NoError(t, follower.Close())
			require.Equal(t, 1, strings.Count(text.String(), "level=ERROR"), text.String())
		})
	}
}

// TestAFollowerNoticesACopyInThePlaceOfItsStore: it shows what a writer of the copy commits, or that the copy lacks what was shown.
func TestAFollowerNoticesACopyInThePlaceOfItsStore(t *testing.T) {
	for _, isOlder := range []bool{false, true} {
		t.Run(fmt.Sprint("older ", isOlder), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			writer, err := Open(dir, Options{})
			require.NoError(t, err)
			put(t, writer, "k", "v")
			if isOlder {
				require.NoError(t, os.CopyFS(dir+".copy", os.DirFS(dir)))
				put(t, writer, "later", "v")
			}
			follower, err := Open(dir, following(Options{}))
			require.NoError(t, err)
			shown := lines(follower.Scan(Range{}))
			require.NoError(t, writer.Close())
			if !isOlder {
				require.NoError(t, os.CopyFS(dir+".copy", os.DirFS(dir)))
			}
			require.NoError(t, os.Rename(dir, dir+".old"))
			require.NoError(t, os.Rename(dir+".copy", dir))
			again, err := Open(dir, Options{})
			require.NoError(t, err)
			for i := range 10 {
				put(t, again, "new", fmt.Sprint(i))
			}
			if isOlder {
				waitUntil(t, func() bool { return errors.Is(follower.Stats().Failed, ErrDiverged) })
				requireHolds(t, follower, shown...)
			} else {
				waitUntil(t, func() bool { return follower.Offset() == again.Offset() })
				requireHolds(t, follower, "k=v", "new=9")
				put(t, again, "new", "last")
				waitUntil(t, func() bool { return follower.Offset() == again.Offset() })
				require.NoError(t, follower.Stats().Failed)
			}
			require.NoError(t, errors.Join(again.Close(), follower.Close()))
		})
	}
}

func TestFollowNeedsReadOnly(t *testing.T) {
	_, err := Open(t.TempDir(), Options{Follow: true})
	require.ErrorContains(t, err, "option Follow")
	_, err = Open(filepath.Join(t.TempDir(), "none"), following(Options{}))
	require.ErrorIs(t, err, ErrNotStore)
}

// TestAFollowerShowsNothingThatAPowerCutTakes cuts the power at a writer's calls: what the follower shows by then is there afterwards.
func TestAFollowerShowsNothingThatAPowerCutTakes(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		opts.Sync = mode
		writer := openStore(t, storeDir, opts)
		require.NoError(t, countUp(writer))
		follower := openStore(t, storeDir, following(opts))
		for i := range uint64(60) {
			for range 5 {
				require.NoError(t, countUp(writer))
			}
			if i%10 == 0 {
				_, err := writer.Checkpoint(t.Context())
				require.NoError(t, err)
			}
			time.Sleep(time.Duration(i%4) * time.Millisecond)
			shown := follower.Offset()
			for _, policy := range []vfs.Policy{vfs.KeepNone, vfs.TornTail, vfs.OneLost, vfs.Mixed} {
				again, err := Open(storeDir, memOptions(mem.Crash(i, policy)))
				require.NoError(t, err)
				require.GreaterOrEqual(t, again.Offset(), shown, "mode %v, seed %d, %v", mode, i, policy)
				require.NoError(t, again.Close())
			}
		}
		require.NoError(t, follower.Stats().Failed)
	}
}

// openBeforeItsSnapshot opens a store for reading whose writer takes a checkpoint between the look at the log and that at the snapshots.
func openBeforeItsSnapshot(t *testing.T, opts Options, mem *vfs.Mem, writer *DB) *DB {
	lists := 0
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpList && strings.HasSuffix(c.Name, snapshotName) {
			if lists++; lists == 3 { // After one to compare with, and one that the log is checked against.
				mem.SetHook(nil)
				for range 50 {
					require.NoError(t, countUp(writer))
				}
				_, err := writer.Checkpoint(t.Context())
				require.NoError(t, err)
			}
		}
		return nil
	})
	return openStore(t, storeDir, opts)
}

// TestALogThatEndsBeforeASnapshotHidesNoCommit: a store that is open for reading may show a snapshot that is newer than what its log has
// come to. A watcher and an increment then have every commit, where the log follows, and end with an error where it doesn't.
func TestALogThatEndsBeforeASnapshotHidesNoCommit(t *testing.T) {
	for _, follows := range []bool{true, false} {
		mem := vfs.NewMem()
		opts := manual(mem)
		opts.SegmentSize = 1 << 20
		writer := openStore(t, storeDir, opts)
		for range 10 {
			require.NoError(t, countUp(writer))
		}
		var backup, increment bytes.Buffer
		from, err := writer.Backup(t.Context(), &backup)
		require.NoError(t, err)
		reading := opts
		reading.ReadOnly, reading.Follow = true, follows
		reader := openBeforeItsSnapshot(t, reading, mem, writer)
		require.EqualValues(t, 60, reader.Offset())

		seen, err := watched(reader.Watch(t.Context(), WatchOptions{From: 1}), 60)
		to, backupErr := reader.BackupSince(t.Context(), &increment, from)
		if !follows {
			require.EqualValues(t, 10, reader.log.Last())
			require.ErrorIs(t, err, ErrReadOnly)
			require.ErrorIs(t, backupErr, ErrReadOnly)
			continue
		}
		require.NoError(t, errors.Join(err, backupErr))
		require.Len(t, seen, 60)
		require.EqualValues(t, 60, to)
		restored, err := Restore(t.Context(), &backup, "copy", RestoreOptions{fs: mem, Increments: []io.Reader{&increment}})
		require.NoError(t, err)
		require.Equal(t, to, restored)
	}
}

// TestAPairThatCantBeIndexedEndsFollowing: a writer without the index has committed it. The follower and its indexes stay as they were.
func TestAPairThatCantBeIndexedEndsFollowing(t *testing.T) {
	for sentence, fail := range map[string]func(){"a panic": func() { panic("bad") }, "the end of the goroutine": runtime.Goexit} {
		t.Run(sentence, func(t *testing.T) {
			opts := memOptions(vfs.NewMem())
			writer := openStore(t, storeDir, opts)
			put(t, writer, "a", "good")
			opts.Indexes = []Index{{"value", func(_, value []byte) iter.Seq[[]byte] {
				if string(value) == "bad" {
					fail()
				}
				return slices.Values([][]byte{value})
			}}}
			follower := openStore(t, storeDir, following(opts))
			put(t, writer, "b", "bad")
			_, err := watched(follower.Watch(t.Context(), WatchOptions{}), math.MaxUint64)
			require.ErrorIs(t, err, ErrIndex)
			require.ErrorIs(t, follower.Stats().Failed, ErrIndex)
			requireHolds(t, follower, "a=good")
			require.Equal(t, []string{"a=good"}, lines(follower.ScanIndex("value", Range{})))
		})
	}
}

// TestAFollowerCountsItsWritersSnapshots: they were those of its start for good.
func TestAFollowerCountsItsWritersSnapshots(t *testing.T) {
	opts := manual(vfs.NewMem())
	writer := openStore(t, storeDir, opts)
	follower := openStore(t, storeDir, following(opts))
	require.Zero(t, follower.Stats().Checkpoints.Snapshots)
	require.NoError(t, countUp(writer))
	offset, err := writer.Checkpoint(t.Context())
	require.NoError(t, err)
	seen, made := follower.Stats().Checkpoints, writer.Stats().Checkpoints
	require.Equal(t, offset, seen.Offset)
	require.Equal(t, made.Snapshots, seen.Snapshots)
	require.Equal(t, made.SnapshotBytes, seen.SnapshotBytes)
}

// TestAFollowerLooksAgainAtASnapshotThatWasReplaced: what it once found damaged stayed damaged to it.
func TestAFollowerLooksAgainAtASnapshotThatWasReplaced(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	writer := openStore(t, storeDir, opts)
	require.NoError(t, countUp(writer))
	follower := openStore(t, storeDir, following(opts))
	_, err := writer.Checkpoint(t.Context())
	require.NoError(t, err)
	places, err := follower.snapshots.list()
	require.NoError(t, err)
	require.Error(t, follower.snapshots.judge(places[0], &CorruptError{Err: errLogEnds})) // As if it had been damaged then.
	require.NoError(t, follower.follow.reload(t.Context()))
	damage, known := follower.snapshots.verdict(places[0])
	require.True(t, known)
	require.NoError(t, damage)
}

// TestAWatcherOfAFollowerGetsNoCommitBeforeItIsVisible, however long it takes to apply that.
func TestAWatcherOfAFollowerGetsNoCommitBeforeItIsVisible(t *testing.T) {
	opts := manual(vfs.NewMem())
	writer := openStore(t, storeDir, opts)
	require.NoError(t, countUp(writer))
	follower := openStore(t, storeDir, following(opts))
	got := make(chan uint64, 10)
	go func() {
		for c, err := range follower.Watch(t.Context(), WatchOptions{From: 1}) {
			if err == nil {
				got <- c.Offset
			}
		}
	}()
	require.EqualValues(t, 1, <-got)
	follower.visible.mu.Lock() // So that nothing is applied.
	require.NoError(t, countUp(writer))
	waitUntil(t, func() bool { return follower.log.Last() == 2 })
	early := false
	select {
	case <-got:
		early = true
	case <-time.After(50 * time.Millisecond):
	}
	follower.visible.mu.Unlock()
	require.False(t, early, "the watcher got the commit")
	require.EqualValues(t, 2, <-got)
	require.EqualValues(t, 2, follower.Offset())
}
