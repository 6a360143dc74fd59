package kv

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// errDisk is what a failing disk says in these tests.
var errDisk = errors.New("the disk says no")

// isStoreSync reports whether a call syncs records, perhaps of a store that was opened when its name was a temporary one.
func isStoreSync(c vfs.Call) bool { return c.Op == vfs.OpSync && strings.Contains(c.Name, ".store") }

// TestNothingIsVisibleBeforeItIsDurable is promise P2: while a commit's sync has not returned, readers see the state
// before it.
func TestNothingIsVisibleBeforeItIsDurable(t *testing.T) {
	db, mem := openMem(t)
	put(t, db, "k", "old")
	looked := 0
	mem.SetHook(func(c vfs.Call) error {
		if isStoreSync(c) {
			looked++
			value, err := db.Get([]byte("k"))
			require.NoError(t, err)
			require.Equal(t, "old", string(value))
			require.EqualValues(t, 1, db.Offset())
			requireHolds(t, db, "k=old")
		}
		return nil
	})
	put(t, db, "k", "new")
	mem.SetHook(nil)
	require.Positive(t, looked)
	requireHolds(t, db, "k=new")
}

// TestAcknowledgedIsVisible is the other half: a caller that got an offset reads what it wrote.
func TestAcknowledgedIsVisible(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			opts := memOptions(vfs.NewMem())
			opts.Sync = mode
			db := openStore(t, storeDir, opts)
			var writers sync.WaitGroup
			for w := range 8 {
				writers.Go(func() {
					for i := range 50 {
						key, value := fmt.Appendf(nil, "w%d/%d", w, i), fmt.Append(nil, i)
						offset, err := db.Put(key, value)
						if err != nil || db.Offset() < offset {
							t.Errorf("put %s: offset %d, visible %d, error %v", key, offset, db.Offset(), err)
						}
						if got, err := db.Get(key); err != nil || string(got) != string(value) {
							t.Errorf("get %s: %q, %v", key, got, err)
						}
					}
				})
			}
			writers.Wait()
			require.EqualValues(t, 400, db.Offset())
		})
	}
}

// TestCommitsShareASync holds the first sync up until many commits have arrived after it.
func TestCommitsShareASync(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, Options{fs: mem}) // With room for all of them, so that none waits for more.
	const writers = 100
	held, release := holdSync(mem, nil)
	var done sync.WaitGroup
	done.Go(func() { put(t, db, "first", "v") })
	waitUntil(t, held.Load)
	before := db.Stats().Syncs
	for w := range writers {
		done.Go(func() { put(t, db, fmt.Sprint(w), "v") })
	}
	waitUntil(t, func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.last == writers+1
	})
	close(release)
	done.Wait()
	require.EqualValues(t, writers+1, db.Offset())
	require.Less(t, db.Stats().Syncs-before, uint64(10), "a hundred commits take the few syncs of their group and of new segments")
}

func TestFailedSyncFailsEveryWaiterAndReadsGoOn(t *testing.T) {
	mem := vfs.NewMem()
	opts := Options{fs: mem}
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "k", "visible")

	// One commit is the group that fails, the others are the group after it.
	const writers = 20
	var held atomic.Bool
	mem.SetHook(func(c vfs.Call) error {
		if isStoreSync(c) {
			held.Store(true)
			waitUntil(t, func() bool {
				db.mu.Lock()
				defer db.mu.Unlock()
				return db.last == writers+1
			})
			return errDisk
		}
		return nil
	})
	var done sync.WaitGroup
	var failed atomic.Int64
	for w := range writers {
		done.Go(func() {
			_, err := db.Put([]byte("k"), fmt.Append(nil, w))
			if errors.Is(err, ErrFailed) && errors.Is(err, errDisk) && errors.Is(err, ErrUndecided) {
				failed.Add(1)
			}
		})
		waitUntil(t, held.Load)
	}
	done.Wait()
	mem.SetHook(nil)
	require.EqualValues(t, writers, failed.Load())
	require.Error(t, db.Stats().Failed)
	requireHolds(t, db, "k=visible")
	require.ErrorIs(t, db.Update(func(*Tx) error { panic("it would see commits that failed") }), ErrFailed)

	calls := 0
	mem.SetHook(func(c vfs.Call) error {
		calls++
		return nil
	})
	_, err = db.Put([]byte("x"), nil)
	require.ErrorIs(t, err, ErrFailed)
	require.NotErrorIs(t, err, ErrUndecided)
	require.ErrorContains(t, err, "refused")
	require.ErrorIs(t, db.Sync(), ErrFailed)
	require.Zero(t, calls, "a failed store never touches the disk again")
	requireHolds(t, db, "k=visible")
	mem.SetHook(nil)
	require.ErrorIs(t, db.Close(), ErrFailed)

	db = openStore(t, storeDir, opts)
	require.GreaterOrEqual(t, db.Offset(), uint64(1))
	put(t, db, "k", "after")
	requireHolds(t, db, "k=after")
}

func TestFullDiskRefusesAndHeals(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "v")
	mem.SetCapacity(64 << 10)
	m := model{"k": {value: "v"}}
	var err error
	refused := 0
	for i := 0; i < 10_000 && refused < 20; i++ {
		var b Batch
		b.Put(fmt.Appendf(nil, "%05d", i), make([]byte, 100))
		if _, err = db.Apply(&b); err != nil {
			require.ErrorIs(t, err, ErrNoSpace)
			require.ErrorIs(t, err, syscall.ENOSPC)
			refused++
			continue
		}
		m.apply(mutationsOf(&b))
	}
	require.Equal(t, 20, refused)
	require.Greater(t, len(m), 100, "most of the room was used")
	require.NoError(t, db.Stats().Failed)
	require.Equal(t, m.lines(Range{}, 0), lines(db.Scan(Range{})))

	mem.SetCapacity(0)
	offset := put(t, db, "k", "there is room")
	require.EqualValues(t, len(m)+1, offset, "a refused commit uses no offset")
	m["k"] = modelPair{value: "there is room"}
	require.NoError(t, db.Close())
	db = openStore(t, storeDir, opts)
	require.Equal(t, m.lines(Range{}, 0), lines(db.Scan(Range{})))
}

func TestEmptyBatchIsNoCommit(t *testing.T) {
	db, _ := openMem(t)
	offset, err := db.Apply(&Batch{})
	require.NoError(t, err)
	require.Zero(t, offset)
	put(t, db, "k", "v")
	writes := db.Stats().Writes
	offset, err = db.Apply(&Batch{})
	require.NoError(t, err)
	require.EqualValues(t, 1, offset)
	require.Equal(t, writes, db.Stats().Writes)
}

func TestBatchMayBeAppliedAgain(t *testing.T) {
	db, _ := openMem(t)
	var b Batch
	b.Put([]byte("k"), []byte("batch"))
	for want := uint64(1); want <= 5; want += 2 {
		offset, err := db.Apply(&b)
		require.NoError(t, err)
		require.Equal(t, want, offset)
		requireHolds(t, db, "k=batch")
		put(t, db, "k", "between")
	}
}

// TestReadersSeeWholeCommits runs scans beside writers of pairs that belong together.
func TestReadersSeeWholeCommits(t *testing.T) {
	db, _ := openMem(t)
	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				for _, reverse := range []bool{false, true} {
					if seen := lines(db.Scan(Range{Reverse: reverse})); !wholeCommits(seen) {
						t.Errorf("a scan saw a part of a commit: %v", seen)
						return
					}
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				var b Batch
				for part := range 3 {
					b.Put(fmt.Appendf(nil, "%d/%d", w, part), fmt.Append(nil, i))
				}
				if _, err := db.Apply(&b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}

// wholeCommits reports whether all parts of each writer's commit, "writer/part=commit", are of one commit.
func wholeCommits(seen []string) bool {
	commits, parts := map[string]string{}, map[string]int{}
	for _, line := range seen {
		writer, rest, _ := strings.Cut(line, "/")
		_, commit, _ := strings.Cut(rest, "=")
		if parts[writer]++; parts[writer] > 1 && commits[writer] != commit {
			return false
		}
		commits[writer] = commit
	}
	for _, count := range parts {
		if count != 3 {
			return false
		}
	}
	return true
}

func TestCloseWaitsForCommits(t *testing.T) {
	mem := vfs.NewMem()
	for range 20 {
		db, err := Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		var done sync.WaitGroup
		var last atomic.Uint64
		start := db.Offset()
		last.Store(start)
		for range 8 {
			done.Go(func() {
				for {
					offset, err := db.Put([]byte("k"), []byte("v"))
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("a commit beside Close: %v", err)
						return
					}
					last.Store(max(last.Load(), offset))
				}
			})
		}
		waitUntil(t, func() bool { return last.Load() > start+20 })
		require.NoError(t, db.Close())
		done.Wait()
		db, err = Open(storeDir, memOptions(mem))
		require.NoError(t, err)
		require.GreaterOrEqual(t, db.Offset(), last.Load())
		require.NoError(t, db.Close())
	}
}

func TestSyncMakesRelaxedCommitsDurable(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.Sync = SyncNever
	db := openStore(t, storeDir, opts)
	offset := put(t, db, "k", "v")
	require.NoError(t, db.Sync())
	require.Equal(t, offset, db.Stats().Durable)
}

func BenchmarkPutDurableInMemory(b *testing.B) {
	db := openStore(b, storeDir, Options{fs: vfs.NewMem()})
	value := make([]byte, 100)
	b.ReportAllocs()
	var i int
	for b.Loop() {
		i++
		if _, err := db.Put(fmt.Appendf(nil, "%016d", i%100_000), value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, writers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%v/writers=%d", mode, writers), func(b *testing.B) {
				db := openStore(b, b.TempDir(), Options{Sync: mode})
				var next atomic.Int64
				var done sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range writers {
					done.Go(func() {
						value := make([]byte, 100)
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if _, err := db.Put(fmt.Appendf(nil, "%016d", i%100_000), value); err != nil {
								b.Error(err)
							}
						}
					})
				}
				done.Wait()
				b.StopTimer()
				stats := db.Stats()
				b.ReportMetric(float64(stats.Commits)/float64(max(stats.Syncs, 1)), "commits/sync")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	db := openStore(b, storeDir, Options{fs: vfs.NewMem()})
	var batch Batch
	for i := range 100_000 {
		batch.Put(fmt.Appendf(nil, "%016d", i), make([]byte, 100))
	}
	if _, err := db.Apply(&batch); err != nil {
		b.Fatal(err)
	}
	key := []byte("0000000000050000")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Get(key); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNoCommitIsUnderWayOnceItIsOver: a function that panicked was counted for good once.
func TestNoCommitIsUnderWayOnceItIsOver(t *testing.T) {
	db, _ := openMem(t)
	commit := func() error {
		_, err := db.Put([]byte("key"), nil)
		return err
	}
	for sentence, call := range map[string]func() error{
		"a put":                  commit,
		"a put that is refused":  func() error { return db.Update(func(tx *Tx) error { return tx.Put(nil, nil) }) },
		"a function that fails":  func() error { return db.Update(func(*Tx) error { return errMind }) },
		"a function that panics": func() error { return db.Update(func(*Tx) error { panic("oops") }) },
		"an empty batch": func() error {
			_, err := db.Apply(new(Batch))
			return err
		},
	} {
		_ = outcome(call)
		require.Zero(t, db.committing.Load(), sentence)
	}
}

// TestARelaxedCommitWhoseWriteFailsIsNotSaidToBeRefused: the disk may have it.
func TestARelaxedCommitWhoseWriteFailsIsNotSaidToBeRefused(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.Sync, opts.SegmentSize = SyncNever, 1<<20
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "k", "v")
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite && strings.Contains(c.Name, ".store") {
			return errDisk
		}
		return nil
	})
	_, err = db.Put([]byte("large"), make([]byte, 100<<10))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "not known")
	_, err = db.Put([]byte("next"), nil)
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "refused")
	mem.SetHook(nil)
	requireHolds(t, db, "k=v")
	require.ErrorIs(t, db.Close(), ErrFailed)
}

// TestAFailedLogRefusesWhatItDidNotTake: a commit is undecided only if it was on its way to the disk when the log failed.
func TestAFailedLogRefusesWhatItDidNotTake(t *testing.T) {
	failing := func(op vfs.Op, part string) func(vfs.Call) error {
		return func(c vfs.Call) error {
			if c.Op == op && strings.Contains(c.Name, part) {
				return errDisk
			}
			return nil
		}
	}
	for _, c := range []struct {
		name  string
		mode  SyncMode
		fails func(vfs.Call) error
		first func(db *DB) error // What meets the failure before the commit does, if anything.
	}{
		{"a sync has failed before", SyncNever, failing(vfs.OpSync, ".store"), (*DB).Sync},
		{"a checkpoint has failed before", SyncAlways, failing(vfs.OpSync, ".store"), func(db *DB) error {
			_, err := db.Checkpoint(t.Context())
			return err
		}},
		{"the segment for it gets no name", SyncAlways, failing(vfs.OpRename, ".store"), nil},
		{"the segment for it gets no durable name", SyncAlways, failing(vfs.OpSyncDir, walName), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewMem()
			opts := manual(mem)
			opts.Sync, opts.SnapshotsKept = c.mode, 1
			db, err := Open(storeDir, opts)
			require.NoError(t, err)
			for range 2 {
				put(t, db, "k", strings.Repeat("v", 3000))
			}
			mem.SetHook(c.fails)
			if c.first != nil {
				require.ErrorIs(t, c.first(db), ErrFailed)
			}
			_, err = db.Put([]byte("next"), make([]byte, 3000))
			require.ErrorIs(t, err, ErrFailed)
			require.NotErrorIs(t, err, ErrUndecided)
			mem.SetHook(nil)
			require.ErrorIs(t, db.Close(), ErrFailed)
			db = openStore(t, storeDir, opts)
			require.EqualValues(t, 2, db.Offset())
		})
	}
}
