package kv

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// storeDir is where tests in memory have their store.
const storeDir = "/data/store"

// memOptions returns options for a store in memory with segments so small that every test of some length rolls.
func memOptions(mem *vfs.Mem) Options { return Options{fs: mem, SegmentSize: 4 << 10} }

// openStore opens a store that is closed, and checked as a whole, when the test ends.
func openStore(t testing.TB, dir string, opts Options) *DB {
	t.Helper()
	db, err := Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		requireSummed(t, db)
		require.NoError(t, db.Close())
		if !opts.ReadOnly {
			requireSound(t, dir, opts)
		}
	})
	return db
}

// openMem opens a store in a new file system in memory.
func openMem(t testing.TB) (*DB, *vfs.Mem) {
	t.Helper()
	mem := vfs.NewMem()
	return openStore(t, storeDir, memOptions(mem)), mem
}

// requireSound requires that Check finds no damage in a store.
func requireSound(t testing.TB, dir string, opts Options) {
	t.Helper()
	violations, err := Check(context.Background(), dir, opts)
	require.NoError(t, err)
	for _, violation := range violations {
		require.False(t, violation.Damage, "%+v", violation)
	}
}

// counted is Count for a test that needs it to work.
func counted(t testing.TB, in interface{ Count(Range) (int, error) }, r Range) int {
	t.Helper()
	pairs, err := in.Count(r)
	require.NoError(t, err)
	return pairs
}

// put is Put for a test that needs it to work.
func put(t testing.TB, db *DB, key, value string) uint64 {
	t.Helper()
	offset, err := db.Put([]byte(key), []byte(value))
	require.NoError(t, err)
	return offset
}

// requireHolds requires that the store's visible pairs are these, as key=value.
func requireHolds(t testing.TB, db *DB, want ...string) {
	t.Helper()
	require.Equal(t, want, lines(db.Scan(Range{})))
}

// setNow replaces a store's clock. Then it doesn't sweep by itself: a test calls sweep.
func setNow(db *DB, now func() int64) {
	db.visible.mu.Lock()
	defer db.visible.mu.Unlock()
	db.now, db.sweeper.byHand = now, true
}

// logTo returns a logger and the text that it writes.
func logTo() (*slog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return slog.New(slog.NewTextHandler(&text, nil)), &text
}

// waitUntil waits for something that another goroutine is about to do.
func waitUntil(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Error("waited in vain")
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// holdSync holds up the next sync of records until release is closed. It then fails with err, unless that is nil.
func holdSync(mem *vfs.Mem, err error) (held *atomic.Bool, release chan struct{}) {
	held, release = new(atomic.Bool), make(chan struct{})
	mem.SetHook(func(c vfs.Call) error {
		if isStoreSync(c) && held.CompareAndSwap(false, true) {
			<-release
			return err
		}
		return nil
	})
	return held, release
}

// headOf returns the state after every commit that has an offset.
func headOf(db *DB) *state {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.head()
}

// mutationsOf returns a batch's mutations, in memory of their own.
func mutationsOf(b *Batch) (mutations []Mutation) {
	for rest := b.mutations(); len(rest) > 0; {
		var m Mutation
		rest = m.next(rest)
		mutations = append(mutations, m.own())
	}
	return mutations
}

// appendRecord appends the encoding of a commit to record.
func appendRecord(record []byte, timeUnixNano int64, mutations []Mutation) []byte {
	record = appendVarintField(record, fieldCommitTime, uint64(timeUnixNano))
	for i := range mutations {
		record = appendMutationField(record, &mutations[i])
	}
	return record
}

// layerOf returns a layer of one commit.
func layerOf(offset uint64, fill func(b *Batch)) *layer {
	var b Batch
	fill(&b)
	l := &layer{}
	l.add(offset, &b, nil)
	return l
}

// flipBit changes one bit of a file.
func flipBit(t *testing.T, mem *vfs.Mem, path string, bit int64) {
	t.Helper()
	file, err := mem.Open(path)
	require.NoError(t, err)
	var b [1]byte
	_, err = file.ReadAt(b[:], bit/8)
	require.NoError(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = file.WriteAt(b[:], bit/8)
	require.NoError(t, err)
	require.NoError(t, errors.Join(file.Sync(), file.Close()))
}
