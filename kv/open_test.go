package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestOpeningIsGivenUpWithItsContext(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for i := range 1000 {
		put(t, db, fmt.Sprint(i), "v")
		if i == 500 {
			_, err := db.Checkpoint(t.Context())
			require.NoError(t, err)
		}
	}
	require.NoError(t, db.Close())
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = OpenContext(done, storeDir, opts)
	require.ErrorIs(t, err, context.Canceled)
	for call := 1; ; call++ { // It ends at each call of the file system, and leaves neither a lock nor a change.
		ctx, cancel := context.WithCancel(t.Context())
		count := 0
		mem.SetHook(func(vfs.Call) error {
			if count++; count == call {
				cancel()
			}
			return nil
		})
		db, err := OpenContext(ctx, storeDir, opts)
		mem.SetHook(nil)
		cancel()
		if err == nil {
			require.Equal(t, 1000, counted(t, db, Range{}))
			require.NoError(t, db.Close())
			if call > count {
				break
			}
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestAContextThatEndsLaterLeavesTheStoreOpen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db, err := OpenContext(ctx, t.TempDir(), Options{})
	require.NoError(t, err)
	cancel()
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
}

func TestADirectoryThatIsNoStoreIsRefusedAndLeftAlone(t *testing.T) {
	for _, c := range []struct {
		sentence string
		make     []string // Files, and directories that end with a slash.
	}{
		{"a file is no store", []string{"letter.txt"}},
		{"a snapshot without a log is none", []string{"snapshot/"}},
		{"another program's directory of that name makes none", []string{"wal/", "member.db"}},
		{"nor does one with files in it", []string{"wal/0000000000000000-0000000000000000.wal", "snap/"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range c.make {
				path := filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				if name[len(name)-1] == '/' {
					require.NoError(t, os.MkdirAll(path, 0o700))
					continue
				}
				require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
			}
			_, err := Open(dir, Options{})
			require.ErrorIs(t, err, ErrNotStore)
			require.NoFileExists(t, filepath.Join(dir, "wal", "00000000000000000001.log"))
		})
	}
}

func TestAnEmptyNameIsNotTheCurrentDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Open("", Options{})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = Open("", Options{ReadOnly: true})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = Check(t.Context(), "", Options{})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = OpenLog("", Options{})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = PruneSnapshots(t.Context(), "", 1, Options{})
	require.ErrorIs(t, err, ErrNotStore)
	var backup bytes.Buffer
	_, err = openMemory(t, Options{}).Backup(t.Context(), &backup)
	require.NoError(t, err)
	_, err = Restore(t.Context(), &backup, "", RestoreOptions{})
	require.ErrorIs(t, err, ErrNotStore)
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTheClockOfTheOptionsDecidesWhatHasExpired(t *testing.T) {
	begin, passed := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), &atomic.Int64{}
	db := openMemory(t, Options{Clock: func() time.Time { return begin.Add(time.Duration(passed.Load())) }})
	_, err := db.PutTTL([]byte("session"), nil, time.Hour)
	require.NoError(t, err)
	passed.Add(int64(time.Hour - 1))
	has, err := db.Has([]byte("session"))
	require.NoError(t, err)
	require.True(t, has)
	passed.Add(1)
	has, err = db.Has([]byte("session"))
	require.NoError(t, err)
	require.False(t, has)
	passed.Add(int64(-time.Hour))
	has, err = db.Has([]byte("session"))
	require.NoError(t, err)
	require.False(t, has, "time never goes back")
}

// TestNoOtherWriterOpensAStoreThatIsBeingClosed lets another writer try to open a store at every call by which Close changes something:
// it is kept out until the log is closed, so that the two never have the log at the same time.
func TestNoOtherWriterOpensAStoreThatIsBeingClosed(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		opts.Sync, opts.CheckpointOnClose = mode, true
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		put(t, db, "k", "v")
		tries, trying := 0, sync.Mutex{}
		mem.SetHook(func(c vfs.Call) error {
			if !c.Op.Changes() || !trying.TryLock() {
				return nil // It is a call of the other writer, or beside it.
			}
			defer trying.Unlock()
			other, err := Open(storeDir, opts)
			if err == nil {
				err = errors.Join(errors.New("it has the store"), other.Close())
			}
			if !errors.Is(err, ErrLocked) {
				t.Errorf("another writer at %v %s: %v", c.Op, c.Name, err)
			}
			tries++
			return nil
		})
		require.NoError(t, db.Close())
		mem.SetHook(nil)
		require.Greater(t, tries, 5)
		openStore(t, storeDir, opts)
	}
}
