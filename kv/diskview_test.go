package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// randomStore makes a store with random commits, checkpoints and reopenings, and returns the options to read it with.
func randomStore(t *testing.T, random *rand.Rand) (*vfs.Mem, Options) {
	t.Helper()
	mem, now := vfs.NewMem(), &atomic.Int64{} // The sweeper asks for the time, too.
	now.Store(100)
	opts := memOptions(mem)
	opts.CheckpointFactor, opts.SnapshotsKept, opts.sweepByHand = -1, 1+random.IntN(3), random.IntN(2) == 0
	opts.Clock = func() time.Time { return time.Unix(0, now.Load()) }
	if random.IntN(3) == 0 {
		opts.ArchiveDir = "/data/archive"
	}
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for range random.IntN(120) {
		switch random.IntN(20) {
		case 0:
			_, err = db.Checkpoint(context.Background())
		case 1:
			require.NoError(t, db.Close())
			db, err = Open(storeDir, opts)
		case 2:
			now.Add(random.Int64N(5))
		default:
			_, err = db.Apply(randomCommit(random, now.Load()))
		}
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	now.Add(random.Int64N(9) - 6) // It may have been set back.
	opts.ReadOnly = true
	return mem, opts
}

// viewSeeds returns how many random stores a test makes.
func viewSeeds(many uint64) uint64 {
	if testing.Short() || raceDetected() {
		return many / 3
	}
	return many
}

// randomCommit returns a batch whose deadlines lie around an instant, at times with a value that takes a good part of a block.
func randomCommit(random *rand.Rand, now int64) *Batch {
	batch := randomBatch(random, now)
	if random.IntN(5) == 0 {
		batch.Put(randomKey(random), make([]byte, random.IntN(100<<10)))
	}
	if random.IntN(20) == 0 {
		batch.PutDeadline(randomKey(random), nil, time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	return batch
}

// openView opens a view that is closed when the test ends, whose overlays may take little.
func openView(t *testing.T, opts Options, most int64) *DiskView {
	t.Helper()
	v, err := OpenDiskView(context.Background(), storeDir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	v.most = most
	return v
}

// viewed returns a view's pairs, deadlines and all, and the error that ends them.
func viewed(pairs iter.Seq2[Pair, error]) (lines []string, _ error) {
	for p, err := range pairs {
		if err != nil {
			return lines, err
		}
		lines = append(lines, fmt.Sprintf("%q=%q until %v", p.Key, p.Value, p.Deadline))
	}
	return lines, nil
}

// loaded returns what viewed does, of a store that was loaded.
func loaded(t *testing.T, db *DB, r Range) (lines []string) {
	t.Helper()
	require.NoError(t, db.View(func(tx *Tx) error {
		for key, value := range tx.Scan(r) {
			deadline, err := tx.Deadline(key)
			require.NoError(t, err)
			lines = append(lines, fmt.Sprintf("%q=%q until %v", key, value, deadline))
		}
		return nil
	}))
	return lines
}

func TestADiskViewShowsWhatALoadedStoreShows(t *testing.T) {
	ctx := context.Background()
	for seed := range viewSeeds(150) {
		random := rand.New(rand.NewPCG(seed, 0))
		_, opts := randomStore(t, random)
		db := openStore(t, storeDir, opts)
		v := openView(t, opts, []int64{overlayFirst, 4000, 1}[seed%3])
		require.Equal(t, db.Offset(), v.Offset(), "seed %d", seed)
		for range 20 {
			r := randomRange(random)
			if r.Limit <= 0 && v.most < overlayFirst {
				r.Limit = 1 << 30 // So that there is more than one overlay.
			}
			got, err := viewed(v.Scan(ctx, r))
			require.NoError(t, err)
			require.Equal(t, loaded(t, db, r), got, "seed %d, range %+v", seed, r)
		}
		for range 20 {
			key := randomKey(random)
			want, wantErr := db.Get(key)
			deadline, _ := db.Deadline(key)
			got, err := v.Get(ctx, key)
			require.Equal(t, wantErr, err, "seed %d, key %q", seed, key)
			require.Equal(t, string(want), string(got.Value), "seed %d, key %q", seed, key)
			require.Equal(t, deadline, got.Deadline, "seed %d, key %q", seed, key)
		}
		stats, err := v.Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, withoutTimes(db.Stats()), withoutTimes(stats), "seed %d", seed)
	}
}

// withoutTimes returns a store's numbers without those that two openings don't share.
func withoutTimes(s Stats) Stats {
	s.Recovery.Elapsed, s.Recovery.Log.Elapsed = 0, 0
	s.OldestView, s.OpenViews = 0, 0
	return s
}

// TestADiskViewOfADamagedStoreIsRightOrRefused flips a bit in some file of a store. Where loading still works a view shows the same;
// where it doesn't, a view gives the same kind of error, or the right pairs where they don't need the damaged block.
func TestADiskViewOfADamagedStoreIsRightOrRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine does all of it, in many seconds under the race detector")
	}
	ctx, outcomes := context.Background(), map[string]int{}
	for seed := range viewSeeds(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		mem, opts := randomStore(t, random)
		r, all := randomRange(random), Range{Limit: 1 << 30}
		sound := openView(t, opts, overlayFirst)
		want, err := viewed(sound.Scan(ctx, r))
		require.NoError(t, err)
		name := damageSomeFile(t, random, mem)
		db, loadErr := Open(storeDir, opts)
		require.True(t, loadErr == nil || errors.Is(loadErr, ErrCorrupt) || errors.Is(loadErr, ErrVersion), "%v", loadErr)
		v, err := OpenDiskView(ctx, storeDir, opts)
		if err == nil {
			v.most = []int64{overlayFirst, 1}[seed%2]
			wholeErr := error(nil)
			if _, wholeErr = viewed(v.Scan(ctx, all)); wholeErr == nil {
				require.NoError(t, loadErr, "seed %d, %s: a scan of all reads as much as loading does", seed, name)
			}
			require.NoError(t, v.Close())
			v, err = OpenDiskView(ctx, storeDir, opts)
			require.NoError(t, err)
		}
		var got []string
		if err == nil {
			got, err = viewed(v.Scan(ctx, r))
			require.NoError(t, v.Close())
		}
		switch {
		case err == nil:
			require.Equal(t, want, got, "seed %d, %s, range %+v", seed, name, r)
			if outcomes["right"]++; loadErr != nil {
				require.Contains(t, name, "/snapshot/", "seed %d: what the log has is always read", seed)
				outcomes["right where loading refuses"]++
			}
		default:
			require.Error(t, loadErr, "seed %d, %s: %v", seed, name, err)
			require.Equal(t, errors.Is(loadErr, ErrCorrupt), errors.Is(err, ErrCorrupt), "seed %d, %s: %v but %v", seed, name, loadErr, err)
			require.Equal(t, damagePlace(loadErr), damagePlace(err), "seed %d, %s: %v but %v", seed, name, loadErr, err)
			outcomes["refused"]++
		}
		if loadErr == nil {
			if len(db.Recovery().Skipped) > 0 {
				outcomes["fell back"]++
			}
			require.NoError(t, db.Close())
		}
	}
	t.Log(outcomes)
	for _, outcome := range []string{"right", "refused", "fell back", "right where loading refuses"} {
		require.Positive(t, outcomes[outcome], outcome)
	}
}

func damagePlace(err error) string {
	var damage *CorruptError
	if !errors.As(err, &damage) {
		return ""
	}
	return fmt.Sprint(damage.Path, damage.Position, damage.Offset)
}

// damageSomeFile flips a bit of some file of the log or of a snapshot.
func damageSomeFile(t *testing.T, random *rand.Rand, mem *vfs.Mem) (name string) {
	t.Helper()
	kinds := map[string][]string{}
	for _, name := range mem.Names() {
		if strings.HasPrefix(name, storeDir) {
			kinds[path.Ext(name)] = append(kinds[path.Ext(name)], name)
		}
	}
	names := kinds[".store"]
	if snapshots := kinds[".snap"]; len(snapshots) > 0 && random.IntN(4) > 0 {
		names = snapshots
	}
	name = names[random.IntN(len(names))]
	content, err := mem.ReadFile(name)
	require.NoError(t, err)
	flipBit(t, mem, name, random.Int64N(int64(8*len(content))))
	return name
}

// blockStore makes a store of 40 pairs in at least ten blocks, with two snapshots of them, and returns the newest one's path.
func blockStore(t *testing.T) (mem *vfs.Mem, opts Options, newest string) {
	t.Helper()
	mem = vfs.NewMem()
	opts = memOptions(mem)
	opts.SegmentSize, opts.SnapshotCompression, opts.CheckpointFactor = 1<<20, CompressionNone, -1
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for i := range 40 {
		put(t, db, fmt.Sprintf("%02d", i), strings.Repeat(fmt.Sprint(i), 20<<10))
		if i >= 38 {
			_, err := db.Checkpoint(context.Background())
			require.NoError(t, err)
		}
	}
	put(t, db, "05", "after both")
	require.NoError(t, db.Close())
	files, err := Snapshots(storeDir, opts)
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Greater(t, files[0].Blocks, 9)
	return mem, opts, files[0].Path
}

// damageBlock flips a bit of a block, a negative one counted from the last.
func damageBlock(t *testing.T, mem *vfs.Mem, opts Options, path string, number int) (first []byte) {
	t.Helper()
	blocks, err := SnapshotBlocks(path, opts)
	require.NoError(t, err)
	block := blocks[(number+len(blocks))%len(blocks)]
	flipBit(t, mem, path, 8*(block.Position+block.StoredBytes-1))
	return block.FirstKey
}

func TestAScanGoesOnWithAnOlderSnapshotWhereItComesToADamagedBlock(t *testing.T) {
	for _, r := range []Range{{}, {Reverse: true}, {Start: []byte("03"), End: []byte("37")}} {
		mem, opts, newest := blockStore(t)
		db := openStore(t, storeDir, Options{fs: mem, ReadOnly: true})
		want := loaded(t, db, r)
		damageBlock(t, mem, opts, newest, 5)
		logger, text := logTo()
		opts.Logger = logger
		v := openView(t, opts, overlayFirst)
		got, err := viewed(v.Scan(context.Background(), r))
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Contains(t, text.String(), "snapshot can't be read; starting from an older one")
		stats, err := v.Stats(context.Background())
		require.NoError(t, err)
		require.Len(t, stats.Recovery.Skipped, 1)
	}
}

func TestAGetNoticesOnlyDamageToTheBlockThatItNeeds(t *testing.T) {
	mem, opts, newest := blockStore(t)
	damaged := damageBlock(t, mem, opts, newest, -1)
	require.NoError(t, snapshot.Remove(mem, path.Dir(newest), 39))
	opts.ReadOnly = true
	_, err := Open(storeDir, opts)
	require.ErrorIs(t, err, ErrCorrupt)
	v := openView(t, opts, overlayFirst)
	got, err := v.Get(context.Background(), []byte("05"))
	require.NoError(t, err)
	require.Equal(t, "after both", string(got.Value))
	_, err = v.Get(context.Background(), []byte("20"))
	require.NoError(t, err)
	for range 2 { // The second one mustn't take the log alone for the store.
		_, err = v.Get(context.Background(), damaged)
		require.ErrorIs(t, err, ErrCorrupt)
	}
	_, err = v.Get(context.Background(), []byte("05"))
	require.ErrorIs(t, err, ErrCorrupt, "nothing is left to read from")
}

// TestADiskViewWorksBesideCheckpoints takes a checkpoint, which prunes the snapshot before it and truncates the log, at every call that
// opening a view and reading through it make.
func TestADiskViewWorksBesideCheckpoints(t *testing.T) {
	for nth, reading := 1, true; reading; nth++ {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		opts.SnapshotsKept, opts.CheckpointFactor = 1, -1
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		advance := func() {
			put(t, db, fmt.Sprintf("%02d", db.Offset()), "a value of some length that makes the log roll")
			_, err := db.Checkpoint(context.Background())
			require.NoError(t, err)
		}
		for range 12 {
			advance()
		}
		put(t, db, "12", "after the newest snapshot")
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
		v, err := OpenDiskView(context.Background(), storeDir, opts)
		require.NoError(t, err, "checkpoint before call %d", nth)
		got, err := viewed(v.Scan(context.Background(), Range{}))
		require.NoError(t, err, "checkpoint before call %d", nth)
		reading = calls >= nth
		mem.SetHook(nil)
		require.GreaterOrEqual(t, v.Offset(), uint64(13))
		require.Len(t, got, int(v.Offset()))
		require.NoError(t, v.Close())
		require.NoError(t, db.Close())
	}
}

func TestADiskViewReportsHowFarItHasReadTheLog(t *testing.T) {
	db, mem := openMem(t)
	for i := range 1000 {
		put(t, db, fmt.Sprint(i), "")
	}
	opts, seen := memOptions(mem), []Progress(nil)
	opts.Progress = func(p Progress) { seen = append(seen, p) }
	v := openView(t, opts, overlayFirst)
	require.Empty(t, seen)
	_, err := v.Get(context.Background(), []byte("7"))
	require.NoError(t, err)
	require.Equal(t, Progress{Offset: 1000, Last: 1000}, seen[len(seen)-1])
}

func TestADiskViewStaysAsItWasOpened(t *testing.T) {
	db, mem := openMem(t)
	for i := range 50 {
		put(t, db, fmt.Sprint(i%20), strings.Repeat("x", 1000))
	}
	_, err := db.Checkpoint(context.Background())
	require.NoError(t, err)
	put(t, db, "0", "last")
	v := openView(t, memOptions(mem), 1)
	want := loaded(t, db, Range{})
	for i := range 50 {
		put(t, db, fmt.Sprint(i), "later")
		_, err := db.Checkpoint(context.Background())
		require.NoError(t, err)
	}
	got, err := viewed(v.Scan(context.Background(), Range{}))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestADiskViewEndsWithItsContextAndWithClose(t *testing.T) {
	_, opts, _ := blockStore(t)
	v := openView(t, opts, overlayFirst)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pairs := 0
	for _, err := range v.Scan(ctx, Range{}) {
		if pairs++; pairs == 20 {
			cancel()
		}
		if pairs > 20 {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	require.Equal(t, 21, pairs)
	_, err := v.Get(ctx, []byte("01"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = OpenDiskView(ctx, storeDir, opts)
	require.ErrorIs(t, err, context.Canceled)
	for range 2 { // The first scan meets its end within, the second one at once.
		_, err = viewed(func(yield func(Pair, error) bool) {
			for p, err := range v.Scan(context.Background(), Range{}) {
				require.NoError(t, v.Close())
				if !yield(p, err) {
					return
				}
			}
		})
		require.ErrorIs(t, err, ErrClosed)
	}
	_, err = v.Get(context.Background(), []byte("01"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = v.Get(context.Background(), nil)
	require.ErrorIs(t, err, ErrEmptyKey)
}

func TestAMutationOutsideARangeAllocatesNothing(t *testing.T) {
	var batch Batch
	for i := range 10 {
		batch.Put(fmt.Append(nil, "a", i), []byte("value"))
		batch.Delete(fmt.Append(nil, "c", i))
		batch.DeleteRange([]byte("c"), []byte("d"))
	}
	record := appendRecord(nil, 1, mutationsOf(&batch))
	o := newOverlay(span{[]byte("b"), []byte("c")}, false, false, overlayFirst)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, err := visitRecord(record, o.take)
		require.NoError(t, err)
	}))
	require.Empty(t, o.later)
	require.Empty(t, o.removed)
}
