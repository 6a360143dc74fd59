package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/doctable"
	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// checksumOf returns the checksum of a state's pairs, counted again.
func checksumOf(s *state) (sum uint64) {
	s.tree.ascend(nil, nil, func(it item) bool {
		sum += pairSum(it.key(), it.value(), it.deadline())
		return true
	})
	return sum
}

// requireSummed requires that a store's checksum is that of its pairs.
func requireSummed(t testing.TB, db *DB) {
	t.Helper()
	if s := db.visible.load(); s != nil {
		require.Equal(t, checksumOf(s), s.sum)
	}
}

// checksumAt opens a store as opts say and returns its checksum.
func checksumAt(t *testing.T, dir string, opts Options) Checksum {
	t.Helper()
	db, err := Open(dir, opts)
	require.NoError(t, err)
	requireSummed(t, db)
	sum := db.Stats().Checksum
	require.NoError(t, db.Close())
	return sum
}

func TestEveryCopyOfAStoreHasItsChecksum(t *testing.T) {
	ctx := context.Background()
	for seed := range viewSeeds(60) {
		random := rand.New(rand.NewPCG(seed, 61))
		mem, reading := randomStore(t, random)
		opts := reading
		opts.ReadOnly = false
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		requireSummed(t, db)
		var backup, increment bytes.Buffer
		_, err = db.Backup(ctx, &backup)
		require.NoError(t, err)
		from := db.Offset()
		for range random.IntN(10) {
			_, err := db.Apply(randomCommit(random, opts.Clock().UnixNano()))
			require.NoError(t, err)
		}
		_, err = db.BackupSince(ctx, &increment, from)
		require.NoError(t, err)
		want, offset := db.Stats().Checksum, db.Offset()
		past, err := db.At(ctx, offset)
		require.NoError(t, err)
		require.EqualValues(t, want, past.state.Load().sum, "seed %d: At", seed)
		past.Close()
		require.NoError(t, db.Close())

		require.Equal(t, want, checksumAt(t, storeDir, reading), "seed %d: a replay", seed)
		view := openView(t, reading, overlayFirst)
		stats, err := view.Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, want, stats.Checksum, "seed %d: a view of the files", seed)
		restored := memOptions(mem)
		_, err = Restore(ctx, &backup, "/data/restored", RestoreOptions{Increments: []io.Reader{&increment}, fs: mem})
		require.NoError(t, err)
		require.Equal(t, want, checksumAt(t, "/data/restored", restored), "seed %d: a restore", seed)
		opts.CheckpointOnClose, opts.sweepByHand = true, true
		require.Equal(t, want, checksumAt(t, storeDir, opts), "seed %d: a replay again", seed)
		require.Equal(t, want, checksumAt(t, storeDir, reading), "seed %d: a snapshot", seed)
		if files, err := Snapshots(storeDir, opts); offset > 0 {
			require.NoError(t, err)
			require.Equal(t, want, files[0].Sum, "seed %d: what the snapshot says", seed)
		}
	}
}

// TestAChecksumSaysWhichPairsThereAre changes one thing about a pair, and undoes it in another way.
func TestAChecksumSaysWhichPairsThereAre(t *testing.T) {
	db, _ := openMem(t)
	require.Equal(t, Checksum(0), db.Stats().Checksum)
	put(t, db, "a", "1")
	put(t, db, "b", "2")
	later := time.Now().Add(time.Hour)
	before := db.Stats().Checksum
	for name, change := range map[string]func(b *Batch){
		"another value":             func(b *Batch) { b.Put([]byte("a"), []byte("2")) },
		"a deadline":                func(b *Batch) { b.PutDeadline([]byte("a"), []byte("1"), later) },
		"another pair":              func(b *Batch) { b.Put([]byte("c"), nil) },
		"a pair less":               func(b *Batch) { b.Delete([]byte("b")) },
		"none at all":               func(b *Batch) { b.DeleteRange(nil, nil) },
		"the values exchanged":      func(b *Batch) { b.Put([]byte("a"), []byte("2")); b.Put([]byte("b"), []byte("1")) },
		"a byte moved to the value": func(b *Batch) { b.Delete([]byte("a")); b.Put([]byte("ab"), nil) },
	} {
		var there, back Batch
		change(&there)
		_, err := db.Apply(&there)
		require.NoError(t, err)
		require.NotEqual(t, before, db.Stats().Checksum, name)
		back.DeleteRange([]byte("a"), []byte("d"))
		back.Put([]byte("b"), []byte("2"))
		back.Put([]byte("a"), []byte("1"))
		_, err = db.Apply(&back)
		require.NoError(t, err)
		require.Equal(t, before, db.Stats().Checksum, name)
	}
}

// TestASnapshotWithOtherPairsThanItSaysIsSkipped gives a snapshot another checksum of its pairs, with all others right.
func TestASnapshotWithOtherPairsThanItSaysIsSkipped(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for i := range 2 {
		put(t, db, fmt.Sprint(i), "value")
		_, err := db.Checkpoint(t.Context())
		require.NoError(t, err)
	}
	want := db.Stats().Checksum
	require.NoError(t, db.Close())
	path := snapshot.Path(filepath.Join(storeDir, snapshotName), 2)
	data, err := mem.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, mem.WriteFile(path, withOtherSum(data)))

	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	skipped := db.Recovery().Skipped
	require.Len(t, skipped, 1)
	require.ErrorIs(t, skipped[0].Err, ErrCorrupt)
	require.ErrorContains(t, skipped[0].Err, fmt.Sprintf("the pairs' checksum is %v, it should be %v", want, want+1))
	require.Equal(t, want, db.Stats().Checksum)
	require.NoError(t, db.Close())
	require.ErrorIs(t, VerifySnapshot(t.Context(), path, opts), ErrCorrupt)
	violations, err := Check(t.Context(), storeDir, opts)
	require.NoError(t, err)
	require.Len(t, violations, 1)
}

// withOtherSum adds one to a snapshot's checksum of its entries, and makes the others right. docs/snapshot.md has the positions.
func withOtherSum(data []byte) []byte {
	data = bytes.Clone(data)
	number, table := binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli)
	footer := len(data) - 20
	head := data[number.Uint64(data[footer:]):footer]
	payload := head[24:]
	number.PutUint64(payload[28:], number.Uint64(payload[28:])+1)
	number.PutUint32(head[20:], crc32.Checksum(payload, table))
	sum := crc32.Update(number.Uint32(data[56:]), table, data[footer:footer+8])
	number.PutUint32(head, crc32.Update(sum, table, head[4:24]))
	return data
}

// TestAStateThatIsNotWhatItsChecksumSaysIsNotKept stands for a bit that has flipped in memory: the checkpoint fails when what it wrote
// is read back, and a backup is refused by the restore.
func TestAStateThatIsNotWhatItsChecksumSaysIsNotKept(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "a", "1")
	db.visible.load().sum++
	_, err = db.Checkpoint(t.Context())
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "reads back wrong")
	files, err := Snapshots(storeDir, opts)
	require.NoError(t, err)
	require.Empty(t, files)
	var backup bytes.Buffer
	_, err = db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	require.NoError(t, mem.WriteFile("/copy.walnut", backup.Bytes()))
	require.ErrorIs(t, VerifySnapshot(t.Context(), "/copy.walnut", opts), ErrCorrupt)
	for _, to := range []RestoreOptions{{}, {Increments: []io.Reader{bytes.NewReader(nil)}}} {
		to.fs = mem
		_, err = Restore(t.Context(), bytes.NewReader(backup.Bytes()), "/data/restored", to)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "the pairs' checksum is")
	}
	require.NoError(t, db.Close())
	requireSound(t, storeDir, opts)
	require.NotZero(t, checksumAt(t, storeDir, opts))
}

// TestABitThatFlipsInMemoryIsNoticedByTheNextCheckpoint flips one in a value. The log has the right one.
func TestABitThatFlipsInMemoryIsNoticedByTheNextCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	put(t, db, "a", "1")
	held, _ := db.visible.load().tree.get([]byte("a"))
	held.value()[0] ^= 2
	requireHolds(t, db, "a=3")
	_, err = db.Checkpoint(t.Context())
	require.ErrorContains(t, err, "the pairs' checksum is")
	require.NoError(t, db.Close())
	requireHolds(t, openStore(t, storeDir, memOptions(mem)), "a=1")
}

// TestABackupOfFormat1IsRestored restores what a version wrote whose snapshots had no checksum of their pairs.
func TestABackupOfFormat1IsRestored(t *testing.T) {
	backup, err := os.Open("testdata/format1.walnut")
	require.NoError(t, err)
	defer backup.Close()
	dir := filepath.Join(t.TempDir(), "store")
	_, err = Restore(t.Context(), backup, dir, RestoreOptions{})
	require.NoError(t, err)
	db := openStore(t, dir, Options{})
	requireHolds(t, db, "hello=world", "session=Ada", "walnut=tree")
	deadline, err := db.Deadline([]byte("session"))
	require.NoError(t, err)
	require.Equal(t, 2226, deadline.Year())
}

// TestTheDocumentedHashesAreTheCodes reads the table of docs/format.md.
func TestTheDocumentedHashesAreTheCodes(t *testing.T) {
	section := doctable.Section(t, "../docs/format.md", "What kv puts into a snapshot")
	for _, row := range []struct {
		key, value, says string
		deadline         int64
	}{
		{"hello", "world", "`world`", 0},
		{"walnut", "tree", "`tree`", 0},
		{"session", strings.Repeat("x", 100), "100 bytes of `x`", 1767225600000000000},
	} {
		sum := Checksum(pairSum([]byte(row.key), []byte(row.value), row.deadline))
		require.Contains(t, section, fmt.Sprintf("| `%s` | %s | %d | `%v` |", row.key, row.says, row.deadline, sum))
	}
}

// TestTheHashOfAPairDependsOnEachOfItsBits flips each bit of pairs of all sizes up to 70 bytes, and counts how many bits of the hash change:
// about half of them, as chance would have it, and never fewer than ten.
func TestTheHashOfAPairDependsOnEachOfItsBits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 62))
	var changed, flips int
	for size := range 71 {
		key, value, deadline := randomBytes(random, 1+size/3, 1+size/3), randomBytes(random, size, size), random.Int64()
		before := pairSum(key, value, deadline)
		compare := func(what string, at int) {
			bits := bits.OnesCount64(before ^ pairSum(key, value, deadline))
			require.GreaterOrEqual(t, bits, 10, "%s of %d bytes, bit %d", what, size, at)
			changed, flips = changed+bits, flips+1
		}
		for at := range 8 * len(key) {
			key[at/8] ^= 1 << (at % 8)
			compare("key", at)
			key[at/8] ^= 1 << (at % 8)
		}
		for at := range 8 * size {
			value[at/8] ^= 1 << (at % 8)
			compare("value", at)
			value[at/8] ^= 1 << (at % 8)
		}
		for at := range 64 {
			deadline ^= 1 << at
			compare("deadline", at)
			deadline ^= 1 << at
		}
	}
	require.InDelta(t, 32, float64(changed)/float64(flips), 0.1, "of %d flips", flips)
}

// TestPairsThatAreAlikeHaveDifferentHashes looks at pairs of few distinct bytes, where a weak hash has the same number twice.
func TestPairsThatAreAlikeHaveDifferentHashes(t *testing.T) {
	seen := map[uint64]string{}
	for k := range 40 {
		for v := range 80 {
			for _, b := range []byte{0, 1, 0xff} {
				key, value := bytes.Repeat([]byte{b}, k+1), bytes.Repeat([]byte{b}, v)
				sum, name := pairSum(key, value, 0), fmt.Sprintf("%d and %d times %d", k+1, v, b)
				require.Empty(t, seen[sum], name)
				seen[sum] = name
			}
		}
	}
}
