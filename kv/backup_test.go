package kv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TestBackupBesideAWriterHasNothingThatAPowerCutTakes opens a store for reading while its writer has not synced. If a backup had
// what a power cut then takes, an increment could go on from it with other commits of the same offsets.
func TestBackupBesideAWriterHasNothingThatAPowerCutTakes(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.Sync = SyncNever
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "a", "1")
	require.NoError(t, db.Sync())
	put(t, db, "unsynced", "1")
	reading := opts
	reading.ReadOnly = true
	reader, err := Open(storeDir, reading)
	require.NoError(t, err)
	var backup, increment bytes.Buffer
	offset, err := reader.Backup(t.Context(), &backup)
	require.NoError(t, err)
	require.NoError(t, reader.Close())

	crashed := mem.Crash(1, vfs.KeepNone)
	opts.fs = crashed
	after, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, after, "x", "2")
	put(t, after, "y", "2")
	_, err = after.BackupSince(t.Context(), &increment, offset)
	require.NoError(t, err)
	_, err = Restore(t.Context(), &backup, "copy", RestoreOptions{fs: crashed, Increments: []io.Reader{&increment}})
	require.NoError(t, err)
	copied, err := Open("copy", manual(crashed))
	require.NoError(t, err)
	require.Equal(t, lines(after.Scan(Range{})), lines(copied.Scan(Range{})))
	require.NoError(t, errors.Join(copied.Close(), after.Close(), db.Close()))
}

func TestBackupFailsWhereItsWriterDoes(t *testing.T) {
	db, _ := openMem(t)
	for range 100 {
		put(t, db, "k", "v")
	}
	for size := range 80 {
		_, err := db.Backup(t.Context(), &shortWriter{left: size})
		require.ErrorIs(t, err, io.ErrShortWrite, "%d bytes", size)
		_, err = db.BackupSince(t.Context(), &shortWriter{left: size}, 50)
		require.ErrorIs(t, err, io.ErrShortWrite, "%d bytes", size)
	}
	require.EqualValues(t, 101, put(t, db, "k", "the store goes on"))
}

// shortWriter takes a number of bytes.
type shortWriter struct{ left int }

func (w *shortWriter) Write(data []byte) (int, error) {
	n := min(len(data), w.left)
	if w.left -= n; n < len(data) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestBackupsThatDontGoTogetherAreRefused(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	other, err := Open("/data/other", manual(mem))
	require.NoError(t, err)
	backup := func(db *DB) []byte { return backupOf(t, db) }
	since := func(db *DB, from uint64) []byte { return incrementOf(t, db, from) }
	for range 10 {
		put(t, db, "k", "v")
		put(t, other, "k", "v")
	}
	ten := backup(db)
	for range 10 {
		put(t, db, "k", "w")
		put(t, other, "k", "w")
	}
	cases := []struct {
		sentence   string
		backup     []byte
		increments [][]byte
		to         uint64
		err        error
	}{
		{"an increment that begins at the backup's end", ten, [][]byte{since(db, 10)}, 0, nil},
		{"an increment that begins before it", ten, [][]byte{since(db, 3)}, 0, nil},
		{"an increment twice", ten, [][]byte{since(db, 10), since(db, 10)}, 0, nil},
		{"a target within the increment", ten, [][]byte{since(db, 10)}, 15, nil},
		{"the backup's own end as the target", ten, nil, 10, nil},
		{"an increment that begins after the backup's end", ten, [][]byte{since(db, 12)}, 0, ErrMismatch},
		{"an increment of another store", ten, [][]byte{since(other, 10)}, 0, ErrMismatch},
		{"a backup in an increment's place", ten, [][]byte{backup(db)}, 0, ErrMismatch},
		{"an increment in a backup's place", since(db, 10), nil, 0, ErrMismatch},
		{"a target before the backup", ten, nil, 9, ErrTruncated},
		{"a target after the backup", ten, nil, 11, ErrOutOfRange},
		{"a target after the increment", ten, [][]byte{since(db, 10)}, 21, ErrOutOfRange},
		{"an increment that was cut", ten, [][]byte{since(db, 10)[:100]}, 0, ErrCorrupt},
		{"no backup at all", nil, nil, 0, ErrCorrupt},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			fresh := vfs.NewMem()
			opts := RestoreOptions{fs: fresh, ToOffset: c.to}
			for _, increment := range c.increments {
				opts.Increments = append(opts.Increments, bytes.NewReader(increment))
			}
			_, err := Restore(t.Context(), bytes.NewReader(c.backup), "/data/restored", opts)
			require.ErrorIs(t, err, c.err)
			if c.err != nil {
				_, err := fresh.List("/data/restored")
				require.Error(t, err, "something is left")
				return
			}
			requireSound(t, "/data/restored", manual(fresh))
		})
	}
	_, err = Restore(t.Context(), bytes.NewReader(ten), storeDir, RestoreOptions{fs: mem})
	require.ErrorIs(t, err, ErrNotEmpty)
	require.NoError(t, errors.Join(db.Close(), other.Close()))
}

// TestCloseDoesNotWaitForABackup has a peer that hangs: a backup of the state goes on without the store, an increment can't.
func TestCloseDoesNotWaitForABackup(t *testing.T) {
	db, err := Open(storeDir, manual(vfs.NewMem()))
	require.NoError(t, err)
	for i := range 300 {
		put(t, db, fmt.Sprint(i), string(make([]byte, 1000)))
	}
	peers := []*hangingWriter{newHangingWriter(), newHangingWriter()}
	errs := []chan error{make(chan error, 1), make(chan error, 1)}
	go func() {
		_, err := db.Backup(t.Context(), peers[0])
		errs[0] <- err
	}()
	go func() {
		_, err := db.BackupSince(t.Context(), peers[1], 0)
		errs[1] <- err
	}()
	<-peers[0].began
	<-peers[1].began
	require.NoError(t, db.Close())
	close(peers[0].release)
	close(peers[1].release)
	require.NoError(t, <-errs[0])
	require.ErrorIs(t, <-errs[1], ErrClosed)
	restored, err := Restore(t.Context(), &peers[0].Buffer, "/data/restored", RestoreOptions{fs: vfs.NewMem()})
	require.NoError(t, err)
	require.EqualValues(t, 300, restored)
}

// hangingWriter takes bytes once it is released.
type hangingWriter struct {
	bytes.Buffer
	began, release chan struct{}
	once           sync.Once
}

func newHangingWriter() *hangingWriter {
	return &hangingWriter{began: make(chan struct{}), release: make(chan struct{})}
}

func (w *hangingWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.began) })
	<-w.release
	return w.Buffer.Write(p)
}

// TestABackupDoesNotRestForTheTimeThatItsPeerTakes compares the time that a backup takes beside commits with its peer's.
func TestABackupDoesNotRestForTheTimeThatItsPeerTakes(t *testing.T) {
	opts := manual(vfs.NewMem())
	opts.SnapshotCompression, opts.SegmentSize = CompressionNone, 64<<20
	db := openStore(t, storeDir, opts)
	for i := range 30 {
		put(t, db, fmt.Sprint(i), string(make([]byte, 128<<10)))
	}
	for try := 1; ; try++ {
		peer := &slowWriter{each: func() { put(t, db, "k", "v") }}
		started := time.Now()
		_, err := db.Backup(t.Context(), peer)
		require.NoError(t, err)
		took := time.Since(started)
		if took < peer.took*3/2 {
			return
		}
		require.Less(t, try, 3, "%v, of which the peer took %v; on a busy machine once may be chance", took, peer.took)
	}
}

// slowWriter takes 20 ms for each write.
type slowWriter struct {
	each func()
	took time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	started := time.Now()
	w.each()
	time.Sleep(20 * time.Millisecond)
	w.took += time.Since(started)
	return len(p), nil
}
