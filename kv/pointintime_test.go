package kv

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var pointInTimeSeed = flag.Uint64("pointintime.seed", 1, "the seed of the point-in-time test")

// past is what a store was at an offset.
type past struct {
	offset uint64
	time   time.Time
	model  model
}

// TestEveryMomentOfAHistoryComesBack writes a long history with checkpoints, an archive and a backup now and then, and brings
// states of it back: by At where they are held, and by Restore to an offset or a time where not.
func TestEveryMomentOfAHistoryComesBack(t *testing.T) {
	commits, samples, restores := 100_000, 1000, 60
	if testing.Short() {
		commits, samples, restores = 5000, 100, 10
	}
	random := rand.New(rand.NewPCG(*pointInTimeSeed, 11))
	replay := fmt.Sprintf("replay: go test ./kv -run %s -pointintime.seed=%d", t.Name(), *pointInTimeSeed)
	h := writeLongHistory(t, random, commits, samples)
	db, err := Open(h.dir, h.opts)
	require.NoError(t, err)
	read, truncated := 0, 0
	for i, p := range h.pasts {
		want := p.model.lines(Range{}, crashNow)
		if i%(samples/restores) == 0 {
			require.Equal(t, want, h.restored(t, random, i), "%s: restored to %d", replay, p.offset)
			continue
		}
		state, err := db.At(t.Context(), p.offset)
		if errors.Is(err, ErrTruncated) {
			truncated++
			require.Equal(t, want, h.restored(t, random, i), "%s: restored to %d", replay, p.offset)
			continue
		}
		require.NoError(t, err, replay)
		require.Equal(t, want, lines(state.Scan(Range{})), "%s: state at %d", replay, p.offset)
		require.NoError(t, state.Close())
		read++
	}
	require.NoError(t, db.Close())
	t.Logf("%d of %d moments read with At, %d held no longer and restored", read, len(h.pasts), truncated)
	require.Positive(t, read)
	require.Positive(t, truncated)
}

// longHistory is a store on disk, what it was at some offsets, and the means to bring that back.
type longHistory struct {
	dir     string
	opts    Options
	pasts   []past
	backups []backup
}

type backup struct {
	offset uint64
	time   time.Time
	bytes  []byte
}

func writeLongHistory(t *testing.T, random *rand.Rand, commits, samples int) *longHistory {
	dir := t.TempDir()
	h := &longHistory{dir: filepath.Join(dir, "store"), opts: Options{
		Sync: SyncNever, SegmentSize: max(int64(commits)*2, 4<<10), CheckpointFactor: -1, SnapshotsKept: 46, ArchiveDir: filepath.Join(dir, "archive"),
	}}
	db, err := Open(h.dir, h.opts)
	require.NoError(t, err)
	clock := int64(crashNow)
	db.now = func() int64 { clock++; return clock }
	sampled := map[int]bool{}
	for len(sampled) < samples {
		sampled[1+random.IntN(commits)] = true
	}
	m := model{}
	for i := 1; i <= commits; i++ {
		b := Batch{}
		for range 1 + random.IntN(3) {
			key := fmt.Appendf(nil, "%02x", random.IntN(64))
			switch random.IntN(12) {
			case 0:
				b.Delete(key)
			case 1:
				b.DeleteRange(key, fmt.Appendf(nil, "%02x", random.IntN(64)))
			default:
				b.Put(key, fmt.Append(nil, random.IntN(1e6)))
			}
		}
		offset, err := db.Apply(&b)
		require.NoError(t, err)
		m.apply(mutationsOf(&b))
		if sampled[i] {
			h.pasts = append(h.pasts, past{offset, time.Unix(0, clock), maps.Clone(m)})
		}
		if i%(commits/50) == 0 {
			checkpoint(t, db)
		}
		if i == 1 || i%(commits/8) == 0 {
			var out bytes.Buffer
			offset, err := db.Backup(t.Context(), &out)
			require.NoError(t, err)
			h.backups = append(h.backups, backup{offset, time.Unix(0, clock), out.Bytes()})
		}
	}
	require.Greater(t, db.Stats().First, uint64(1), "nothing was archived")
	require.NoError(t, db.Close())
	return h
}

// restored brings a past back from the last backup before it, by its offset or by its time.
func (h *longHistory) restored(t *testing.T, random *rand.Rand, i int) []string {
	p := h.pasts[i]
	from := h.backups[0]
	for _, b := range h.backups {
		if b.offset <= p.offset && !b.time.After(p.time) {
			from = b
		}
	}
	dir := filepath.Join(t.TempDir(), "restored")
	opts := RestoreOptions{Archive: []string{h.opts.ArchiveDir, filepath.Join(h.dir, walName)}, ToOffset: p.offset}
	if random.IntN(2) == 0 {
		opts.ToOffset, opts.ToTime = 0, p.time
	}
	offset, err := Restore(t.Context(), bytes.NewReader(from.bytes), dir, opts)
	require.NoError(t, err)
	require.Equal(t, p.offset, offset)
	db, err := Open(dir, Options{ReadOnly: true})
	require.NoError(t, err)
	defer db.Close()
	require.Equal(t, offset, db.Offset())
	return lines(db.Scan(Range{}))
}

// smallBackup returns a backup of a few pairs, an increment to it, and the pairs before and after that.
func smallBackup(t testing.TB) (backup, increment []byte, before, after []string) {
	t.Helper()
	db, err := Open(storeDir, manual(vfs.NewMem()))
	require.NoError(t, err)
	for i := range 30 {
		put(t, db, fmt.Sprint(i), string(make([]byte, 300)))
	}
	var whole, rest bytes.Buffer
	offset, err := db.Backup(t.Context(), &whole)
	require.NoError(t, err)
	before = lines(db.Scan(Range{}))
	put(t, db, "one", "more")
	_, err = db.BackupSince(t.Context(), &rest, offset)
	require.NoError(t, err)
	after = lines(db.Scan(Range{}))
	require.NoError(t, db.Close())
	return whole.Bytes(), rest.Bytes(), before, after
}

// TestARestoreThatDiesIsNoStore takes every state that a power cut could leave before each call of a restore, from a backup
// alone and with an increment: it is the whole store, or none that opens, and then another restore may use the directory.
func TestARestoreThatDiesIsNoStore(t *testing.T) {
	whole, increment, before, after := smallBackup(t)
	requireWholeOrNone(t, before, func() (io.Reader, []io.Reader) { return bytes.NewReader(whole), nil })
	requireWholeOrNone(t, after, func() (io.Reader, []io.Reader) {
		return bytes.NewReader(whole), []io.Reader{bytes.NewReader(increment)}
	})
}

func requireWholeOrNone(t *testing.T, want []string, from func() (backup io.Reader, increments []io.Reader)) {
	t.Helper()
	mem := vfs.NewMem()
	random := rand.New(rand.NewPCG(1, 12))
	var crashed []*vfs.Mem
	var says []string
	mem.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() {
			for _, policy := range vfs.Policies {
				crashed = append(crashed, mem.Crash(random.Uint64(), policy))
				says = append(says, fmt.Sprintf("%v before call %d, %v %s", policy, c.N, c.Op, c.Name))
			}
			crashed, says = append(crashed, mem.Exit()), append(says, fmt.Sprintf("death before call %d, %v %s", c.N, c.Op, c.Name))
		}
		return nil
	})
	restore := func(mem *vfs.Mem) error {
		backup, increments := from()
		_, err := Restore(t.Context(), backup, "/data/restored", RestoreOptions{fs: mem, Increments: increments})
		return err
	}
	require.NoError(t, restore(mem))
	mem.SetHook(nil)
	crashed, says = append(crashed, mem.Crash(1, vfs.Policies[0])), append(says, "after it returned")
	complete, none := 0, 0
	for i, state := range crashed {
		opts := manual(state)
		opts.ReadOnly = true
		db, err := Open("/data/restored", opts)
		if err == nil {
			complete++
			require.Equal(t, want, lines(db.Scan(Range{})), says[i])
			require.NoError(t, db.Close())
			continue
		}
		none++
		require.ErrorIs(t, err, ErrNotStore, says[i])
		require.NotEqual(t, "after it returned", says[i])
		require.NoError(t, restore(state), says[i])
		requireSound(t, "/data/restored", manual(state))
	}
	t.Logf("%d whole, %d none", complete, none)
	require.Positive(t, complete)
	require.Greater(t, none, 100)
}

// TestARestoreLeavesAloneWhatAnotherHasFinishedMeanwhile lets the other one run when the first has found the directory free.
func TestARestoreLeavesAloneWhatAnotherHasFinishedMeanwhile(t *testing.T) {
	whole, _, want, _ := smallBackup(t)
	mem := vfs.NewMem()
	restore := func() error {
		_, err := Restore(t.Context(), bytes.NewReader(whole), "/data/restored", RestoreOptions{fs: mem})
		return err
	}
	other := false
	mem.SetHook(func(c vfs.Call) error {
		if !other && c.Op == vfs.OpLock && strings.HasPrefix(c.Name, "/data/restored") {
			other = true
			return restore()
		}
		return nil
	})
	require.ErrorIs(t, restore(), ErrNotEmpty)
	require.True(t, other)
	mem.SetHook(nil)
	db, err := Open("/data/restored", manual(mem))
	require.NoError(t, err)
	require.Equal(t, want, lines(db.Scan(Range{})))
	require.NoError(t, db.Close())
}

func TestAFailedRestoreLeavesNothing(t *testing.T) {
	whole, _, _, _ := smallBackup(t)
	for n := 1; ; n++ {
		mem := vfs.NewMem()
		seen := 0
		mem.SetHook(func(c vfs.Call) error {
			if c.Op.Changes() {
				if seen++; seen == n {
					return errDisk
				}
			}
			return nil
		})
		_, err := Restore(t.Context(), bytes.NewReader(whole), "/data/restored", RestoreOptions{fs: mem})
		mem.SetHook(nil)
		if seen < n {
			require.NoError(t, err)
			require.Greater(t, n, 20)
			return
		}
		if err == nil { // What failed was of no consequence, such as the log's index.
			requireSound(t, "/data/restored", manual(mem))
			continue
		}
		require.ErrorIs(t, err, errDisk, "call %d", n)
		_, err = Open("/data/restored", Options{fs: mem, ReadOnly: true})
		require.ErrorIs(t, err, ErrNotStore, "call %d", n)
		_, err = Restore(t.Context(), bytes.NewReader(whole), "/data/restored", RestoreOptions{fs: mem})
		require.NoError(t, err, "call %d", n)
	}
}

// TestARestoreThatCannotRemoveWhatItMadeCanBeRepeated lets all calls fail from one on, those that would remove things too. What is left is
// no store, or, where the fault began with the last call, the whole one.
func TestARestoreThatCannotRemoveWhatItMadeCanBeRepeated(t *testing.T) {
	whole, _, want, _ := smallBackup(t)
	refused := 0
	for _, fault := range []error{errDisk, syscall.EMFILE} {
		for n := 1; ; n++ {
			mem := vfs.NewMem()
			seen := 0
			mem.SetHook(func(c vfs.Call) error {
				if seen++; seen < n || fault != errDisk && c.Op != vfs.OpList && c.Op != vfs.OpOpen && c.Op != vfs.OpCreate {
					return nil
				}
				return fault
			})
			_, err := Restore(t.Context(), bytes.NewReader(whole), "/data/restored", RestoreOptions{fs: mem})
			mem.SetHook(nil)
			if seen < n {
				require.NoError(t, err)
				break
			}
			opts := manual(mem)
			opts.ReadOnly = true
			db, opened := Open("/data/restored", opts)
			if opened == nil {
				require.Equal(t, want, lines(db.Scan(Range{})), "call %d", n)
				require.NoError(t, db.Close())
				continue
			}
			refused++
			require.ErrorIs(t, opened, ErrNotStore, "call %d", n)
			_, err = Restore(t.Context(), bytes.NewReader(whole), "/data/restored", RestoreOptions{fs: mem})
			require.NoError(t, err, "call %d", n)
		}
	}
	require.Greater(t, refused, 50)
}

// TestARestoreThatIsRefusedLeavesADirectoryAsItWas has one that is empty, one that is there, and several that are missing.
func TestARestoreThatIsRefusedLeavesADirectoryAsItWas(t *testing.T) {
	whole, _, _, _ := smallBackup(t)
	for _, made := range []string{"/data", "/data/some", "/data/some/new/place"} {
		mem := vfs.NewMem()
		require.NoError(t, mem.MkdirAll(made))
		_, err := Restore(t.Context(), bytes.NewReader(whole), "/data/some/new/place", RestoreOptions{fs: mem, ToOffset: 99})
		require.ErrorIs(t, err, ErrOutOfRange)
		entries, err := mem.List(made)
		require.NoError(t, err)
		require.Empty(t, entries, made)
	}
}

// TestARestoreFollowsNoLink has links in what an unfinished restore has left, to directories with files in them.
func TestARestoreFollowsNoLink(t *testing.T) {
	whole, _, want, _ := smallBackup(t)
	dir, linked := t.TempDir(), t.TempDir()
	kept := filepath.Join(linked, "kept")
	for _, name := range []string{filepath.Join(dir, restoringName), kept} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, snapshotName), 0o700))
	for _, name := range []string{walName, quarantineName, filepath.Join(snapshotName, "inner")} {
		require.NoError(t, os.Symlink(linked, filepath.Join(dir, name)))
	}
	_, err := Restore(t.Context(), bytes.NewReader(whole), dir, RestoreOptions{})
	require.NoError(t, err)
	require.FileExists(t, kept)
	db := openStore(t, dir, Options{})
	require.Equal(t, want, lines(db.Scan(Range{})))
}

// TestDamagedBackupsRestoreNothing flips every bit of a small backup, and cuts it at every byte.
func TestDamagedBackupsRestoreNothing(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	for i := range 3 {
		put(t, db, fmt.Sprint(i), "value")
	}
	var out bytes.Buffer
	_, err = db.Backup(t.Context(), &out)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	refused := func(what string, damaged []byte) {
		mem := vfs.NewMem()
		_, err := Restore(t.Context(), bytes.NewReader(damaged), "/data/restored", RestoreOptions{fs: mem})
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			require.NoError(t, fmt.Errorf("%s: %w", what, err))
			t.Fatalf("%s: restored without an error", what)
		}
		_, err = mem.List("/data/restored")
		require.Error(t, err, "%s: the directory is left", what)
	}
	whole := out.Bytes()
	for bit := range 8 * len(whole) {
		damaged := slices.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d flipped", bit), damaged)
	}
	for size := range whole {
		refused(fmt.Sprintf("cut to %d bytes", size), whole[:size])
	}
}

// TestASnapshotThatWasCutIsFallenBackFrom cuts the newest of two snapshots at every byte: the store opens with the right pairs all
// the same, and says so.
func TestASnapshotThatWasCutIsFallenBackFrom(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	put(t, db, "a", "1")
	checkpoint(t, db)
	put(t, db, "b", "2")
	newest := snapshotPath(checkpoint(t, db))
	put(t, db, "c", "3")
	want := lines(db.Scan(Range{}))
	require.NoError(t, db.Close())
	file, err := mem.OpenRead(newest)
	require.NoError(t, err)
	size, err := file.Size()
	require.NoError(t, errors.Join(err, file.Close()))
	for cut := range size {
		damaged := mem.Clone()
		file, err := damaged.Open(newest)
		require.NoError(t, err)
		require.NoError(t, errors.Join(file.Truncate(cut), file.Close()))
		opts := manual(damaged)
		opts.ReadOnly = true
		db, err := Open(storeDir, opts)
		require.NoError(t, err, "cut to %d bytes", cut)
		require.Equal(t, want, lines(db.Scan(Range{})), "cut to %d bytes", cut)
		require.Len(t, db.Recovery().Skipped, 1, "cut to %d bytes", cut)
		require.NoError(t, db.Close())
	}
}

func snapshotPath(offset uint64) string {
	return filepath.Join(storeDir, snapshotName, fmt.Sprintf("%020d.snap", offset))
}

// TestACommitOutlivesARestoreThatDiedAtItsEnd: a restore removes its marker, and dies before that is durable. A process opens the
// store, and a commit is acknowledged or shown. The marker, which would let another restore have the directory, must not come back.
func TestACommitOutlivesARestoreThatDiedAtItsEnd(t *testing.T) {
	whole, _, want, _ := smallBackup(t)
	mem := vfs.NewMem()
	var died *vfs.Mem
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpSyncDir && c.Name == "/data/restored" {
			died = mem.Exit() // The last one stays.
		}
		return nil
	})
	_, err := Restore(t.Context(), bytes.NewReader(whole), "/data/restored", RestoreOptions{fs: mem})
	require.NoError(t, err)
	for _, readOnly := range []bool{true, false} {
		disk := died.Clone()
		opts := manual(disk)
		opts.ReadOnly = readOnly
		db, err := Open("/data/restored", opts)
		require.NoError(t, err)
		requireHolds(t, db, want...)
		opts.fs = disk.Crash(1, vfs.KeepNone)
		require.NoError(t, db.Close())
		db, err = Open("/data/restored", opts)
		require.NoError(t, err, "opened for reading: %v", readOnly)
		requireHolds(t, db, want...)
		require.NoError(t, db.Close())
	}
	disk := died.Clone()
	view, err := OpenDiskView(t.Context(), "/data/restored", manual(disk))
	require.NoError(t, err)
	require.NoError(t, view.Close())
	_, err = OpenDiskView(t.Context(), "/data/restored", manual(disk.Crash(1, vfs.KeepNone)))
	require.NoError(t, err)
}
