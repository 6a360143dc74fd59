package kv

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// contents returns every file of a file system.
func contents(t *testing.T, mem *vfs.Mem) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range mem.Names() {
		content, err := mem.ReadFile(name)
		require.NoError(t, err)
		files[name] = string(content)
	}
	return files
}

// changes returns a hook that collects the calls that change a byte or a name. A sync does neither.
func changes(into *[]vfs.Call) func(vfs.Call) error {
	return func(c vfs.Call) error {
		if c.Op.Changes() && c.Op != vfs.OpSync && c.Op != vfs.OpSyncDir {
			*into = append(*into, c)
		}
		return nil
	}
}

func TestReadOnlyRefusesWrites(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())

	opts := memOptions(mem)
	opts.ReadOnly = true
	db = openStore(t, storeDir, opts)
	_, err = db.Put([]byte("k"), nil)
	require.ErrorIs(t, err, ErrReadOnly)
	_, err = db.PutTTL([]byte("k"), nil, 1)
	require.ErrorIs(t, err, ErrReadOnly)
	_, err = db.Delete([]byte("k"))
	require.ErrorIs(t, err, ErrReadOnly)
	_, err = db.Apply(&Batch{})
	require.ErrorIs(t, err, ErrReadOnly)
	require.ErrorIs(t, db.Sync(), ErrReadOnly)
	requireHolds(t, db, "k=v")
	require.EqualValues(t, 1, db.Offset())
	require.Equal(t, 1, db.Stats().Keys)
}

// TestReadingChangesNoByte opens what a process left when it died, with a tail that a writable open would mend.
func TestReadingChangesNoByte(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	for i := range 60 {
		put(t, db, fmt.Sprintf("%02d", i), "a value of some length that makes the log roll")
	}
	want := lines(db.Scan(Range{}))
	for _, died := range []*vfs.Mem{mem.Exit(), mem.Crash(1, vfs.TornTail), mem.Crash(2, vfs.KeepAll)} {
		before := contents(t, died)
		var made []vfs.Call
		died.SetHook(changes(&made))
		opts := memOptions(died)
		opts.ReadOnly = true
		reader, err := Open(storeDir, opts)
		require.NoError(t, err)
		require.Equal(t, want, lines(reader.Scan(Range{})))
		require.NoError(t, reader.Close())
		view, err := OpenDiskView(context.Background(), storeDir, opts)
		require.NoError(t, err)
		pairs, err := viewed(view.Scan(context.Background(), Range{}))
		require.NoError(t, err)
		require.Len(t, pairs, len(want))
		require.NoError(t, view.Close())
		log, err := OpenLog(storeDir, opts)
		require.NoError(t, err)
		for _, err := range log.Commits(0) {
			require.NoError(t, err)
		}
		require.NoError(t, log.Close())
		_, err = Check(context.Background(), storeDir, opts)
		require.NoError(t, err)
		require.Empty(t, made)
		require.Equal(t, before, contents(t, died))
	}
	require.NoError(t, db.Close())
}

func TestReadingWorksWhereNothingCanBeSynced(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpSync {
			return syscall.EINVAL
		}
		return nil
	})
	opts := memOptions(mem)
	opts.ReadOnly = true
	requireHolds(t, openStore(t, storeDir, opts), "k=v")
}

// TestReadingWorksWhereTheFileSystemHasBecomeReadOnly is about what Linux does after an error of the disk: nothing can be synced.
func TestReadingWorksWhereTheFileSystemHasBecomeReadOnly(t *testing.T) {
	for _, follow := range []bool{false, true} {
		db, mem := openMem(t)
		put(t, db, "k", "v")
		disk := mem.Exit()
		disk.SetHook(func(c vfs.Call) error {
			if c.Op.Changes() {
				return syscall.EROFS
			}
			return nil
		})
		logger, text := logTo()
		opts := memOptions(disk)
		opts.ReadOnly, opts.Follow, opts.Logger = true, follow, logger
		reader, err := Open(storeDir, opts)
		require.NoError(t, err)
		requireHolds(t, reader, "k=v")
		require.NoError(t, reader.Close())
		require.Contains(t, text.String(), "a power cut may take the last records")
		opts.Follow = false
		view, err := OpenDiskView(t.Context(), storeDir, opts)
		require.NoError(t, err)
		require.NoError(t, view.Close())
	}
}

// TestReadingWorksBesideAWriter opens the store again and again while it is being written to, at every changing call of
// the writer: what is seen is a state of the writer's history, and never an older one than what was acknowledged.
func TestReadingWorksBesideAWriter(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	history := [][]string{nil}
	acknowledged, opened := 0, 0
	var mu sync.Mutex       // The log's background makes calls too.
	var reading atomic.Bool // A reader syncs what the writer has not.
	opts := memOptions(mem)
	opts.ReadOnly = true
	mem.SetHook(func(c vfs.Call) error {
		if !c.Op.Changes() || reading.Load() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		reading.Store(true)
		defer reading.Store(false)
		opened++
		reader, err := Open(storeDir, opts)
		require.NoError(t, err, "call %d, %v %s", c.N, c.Op, c.Name)
		offset := int(reader.Offset())
		require.GreaterOrEqual(t, offset, acknowledged)
		require.Less(t, offset, len(history))
		require.Equal(t, history[offset], lines(reader.Scan(Range{})))
		require.NoError(t, reader.Close())
		return nil
	})
	pairs := map[string]string{}
	for i := range 80 {
		key, value := fmt.Sprint(i%7), fmt.Sprintf("%0200d", i)
		pairs[key] = value
		var state []string
		for _, key := range slices.Sorted(maps.Keys(pairs)) {
			state = append(state, key+"="+pairs[key])
		}
		mu.Lock()
		history = append(history, state)
		mu.Unlock()
		offset := put(t, db, key, value)
		mu.Lock()
		acknowledged = int(offset)
		mu.Unlock()
	}
	require.NoError(t, db.Close())
	require.Greater(t, opened, 200)
}

// TestReadingWorksBesideCheckpoints takes a checkpoint, which prunes the snapshot before it, at every call that opening the
// store for reading makes.
func TestReadingWorksBesideCheckpoints(t *testing.T) {
	for nth, opening := 1, true; opening; nth++ {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		opts.SnapshotsKept, opts.CheckpointFactor = 1, -1
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		advance := func() {
			put(t, db, fmt.Sprint(db.Offset()), "a value of some length that makes the log roll")
			_, err := db.Checkpoint(context.Background())
			require.NoError(t, err)
		}
		for range 12 {
			advance()
		}
		calls := 0
		mem.SetHook(func(c vfs.Call) error {
			if c.Op != vfs.OpList && c.Op != vfs.OpOpen && c.Op != vfs.OpRead {
				return nil // The writer's background, which must not be kept from its work.
			}
			if calls++; calls == nth {
				mem.SetHook(nil)
				advance()
			}
			return nil
		})
		reading := opts
		reading.ReadOnly = true
		reader, err := Open(storeDir, reading)
		require.NoError(t, err, "checkpoint before call %d", nth)
		opening = calls >= nth
		mem.SetHook(nil)
		require.GreaterOrEqual(t, reader.Offset(), uint64(12))
		require.Len(t, lines(reader.Scan(Range{})), int(reader.Offset()))
		require.NoError(t, reader.Close())
		require.NoError(t, db.Close())
	}
}
