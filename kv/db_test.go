package kv

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

func TestStoreHoldsWhatAMapWouldHoldAcrossReopens(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 4))
		mem, m, now := vfs.NewMem(), model{}, int64(1000)
		offset := uint64(0)
		for range 6 {
			db, err := Open(storeDir, memOptions(mem))
			require.NoError(t, err)
			setNow(db, func() int64 { return now })
			require.Equal(t, offset, db.Offset())
			for range random.IntN(40) {
				b := randomBatch(random, now)
				offset++
				got, err := db.Apply(b)
				require.NoError(t, err)
				require.Equal(t, offset, got)
				m.apply(mutationsOf(b))
				now += int64(random.IntN(3))
				r := randomRange(random)
				require.Equal(t, m.lines(r, now), lines(db.Scan(r)), "seed %d, offset %d, range %+v", seed, offset, r)
			}
			require.Equal(t, m.dataBytes(), db.Stats().DataBytes)
			require.NoError(t, db.Close())
		}
		requireSound(t, storeDir, memOptions(mem))
	}
}

func TestPutGetDelete(t *testing.T) {
	db, _ := openMem(t)
	require.EqualValues(t, 1, put(t, db, "k", "v"))
	value, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, "v", string(value))
	require.Equal(t, len(value), cap(value), "an append to the value must not write into the store")

	offset, err := db.Delete([]byte("k"))
	require.NoError(t, err)
	require.EqualValues(t, 2, offset)
	_, err = db.Get([]byte("k"))
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, "v", string(value), "a value stays valid when its key is gone")

	offset, err = db.Delete([]byte("never there"))
	require.NoError(t, err)
	require.EqualValues(t, 3, offset, "a delete of an absent key is a commit")
}

func TestNilValueIsAnEmptyOne(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	_, err = db.Put([]byte("k"), nil)
	require.NoError(t, err)
	for range 2 {
		value, err := db.Get([]byte("k"))
		require.NoError(t, err)
		require.NotNil(t, value)
		require.Empty(t, value)
		require.NoError(t, db.Close())
		db = openStore(t, storeDir, memOptions(mem))
	}
}

func TestExpiredPairsAreInvisibleFromTheirDeadlineOn(t *testing.T) {
	mem := vfs.NewMem()
	now := int64(1_000_000)
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	setNow(db, func() int64 { return now })
	_, err = db.PutTTL([]byte("short"), []byte("v"), 10)
	require.NoError(t, err)
	_, err = db.PutTTL([]byte("long"), []byte("v"), 1<<63-1)
	require.NoError(t, err)
	for range 2 {
		now = 1_000_009
		requireHolds(t, db, "long=v", "short=v")
		now = 1_000_010
		requireHolds(t, db, "long=v")
		_, err = db.Get([]byte("short"))
		require.ErrorIs(t, err, ErrNotFound)
		now = 1 << 62
		requireHolds(t, db, "long=v")

		require.NoError(t, db.Close())
		db = openStore(t, storeDir, memOptions(mem))
		setNow(db, func() int64 { return now })
	}
	_, err = db.PutTTL([]byte("short"), []byte("again"), 0)
	require.ErrorIs(t, err, ErrInvalidTTL)
	put(t, db, "short", "for good")
	requireHolds(t, db, "long=v", "short=for good")
}

func TestScanSeesOneInstant(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "a", "1")
	put(t, db, "b", "1")
	scan := db.Scan(Range{})
	put(t, db, "c", "1")
	var seen []string
	for key, value := range scan {
		seen = append(seen, string(key)+"="+string(value))
		put(t, db, "b", "2")
		put(t, db, "d", "2")
	}
	require.Equal(t, []string{"a=1", "b=1", "c=1"}, seen, "the view is taken when the iteration starts")
	require.Equal(t, []string{"a=1", "b=2", "c=1", "d=2"}, lines(scan), "and each iteration takes its own")
}

func TestGetAllocatesNothing(t *testing.T) {
	db, _ := openMem(t)
	var b Batch
	for i := range 10_000 {
		b.Put(fmt.Appendf(nil, "key%06d", i), []byte("value"))
	}
	b.PutDeadline([]byte("key with a deadline"), nil, time.Now().Add(time.Hour))
	_, err := db.Apply(&b)
	require.NoError(t, err)
	for _, key := range []string{"key000000", "key005000", "key009999", "key with a deadline", "absent"} {
		key := []byte(key)
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = db.Get(key) }), "%s", key)
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.MaxCommitSize = 1 << 20
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "v")
	large := make([]byte, MaxValueSize+1)
	oversize := func() error {
		var b Batch
		b.Put([]byte("x"), []byte("small"))
		b.Put([]byte("y"), large[:1<<20])
		_, err := db.Apply(&b)
		return err
	}
	cases := []struct {
		sentence string
		call     func() error
		want     error
	}{
		{"a put without a key", func() error { _, err := db.Put(nil, nil); return err }, ErrEmptyKey},
		{"a put of a key over the limit", func() error { _, err := db.Put(large[:MaxKeySize+1], nil); return err }, ErrKeyTooLarge},
		{"a put of a value over the limit", func() error { _, err := db.Put([]byte("x"), large); return err }, ErrValueTooLarge},
		{"a commit over the limit", oversize, ErrCommitTooLarge},
		{"a delete without a key", func() error { _, err := db.Delete(nil); return err }, ErrEmptyKey},
		{"a time to live in the past", func() error { _, err := db.PutTTL([]byte("x"), nil, -1); return err }, ErrInvalidTTL},
		{"a get without a key", func() error { _, err := db.Get(nil); return err }, ErrEmptyKey},
		{"a get of a key over the limit", func() error { _, err := db.Get(large[:MaxKeySize+1]); return err }, ErrKeyTooLarge},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			require.ErrorIs(t, c.call(), c.want)
			require.EqualValues(t, 1, db.Offset())
			require.EqualValues(t, 1, db.Stats().Commits)
			requireHolds(t, db, "k=v")
		})
	}
	require.EqualValues(t, 2, put(t, db, "k", "the store goes on"))
}

func TestCommitAtTheLimitIsTaken(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine does all of it, in many seconds under the race detector")
	}
	mem := vfs.NewMem()
	opts := memOptions(mem)
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	now := time.Now().UnixNano()
	setNow(db, func() int64 { return now })
	var b Batch
	b.Put([]byte("a"), make([]byte, MaxValueSize))
	b.Put([]byte("b"), nil)
	room := DefaultMaxCommitSize - len(b.recordAt(now))
	fill := func(room int) {
		b.Reset()
		b.Put([]byte("a"), make([]byte, MaxValueSize))
		b.Put([]byte("b"), make([]byte, room))
	}
	for fill(room); len(b.recordAt(now)) > DefaultMaxCommitSize; fill(room) {
		room-- // Longer lengths take more.
	}
	require.Len(t, b.recordAt(now), DefaultMaxCommitSize)
	_, err = db.Apply(&b)
	require.NoError(t, err)
	fill(room + 1)
	_, err = db.Apply(&b)
	require.ErrorIs(t, err, ErrCommitTooLarge)
	require.NoError(t, db.Close())

	opts.MaxCommitSize = 1000
	db = openStore(t, storeDir, opts)
	require.Equal(t, 2, db.Stats().Keys, "a smaller limit still reads what a larger one wrote")
}

func TestOpenRefusesBadOptions(t *testing.T) {
	for _, opts := range []Options{{MaxCommitSize: -1}, {MaxCommitSize: DefaultMaxCommitSize + 1}, {SegmentSize: 1}, {Sync: 9}} {
		mem := vfs.NewMem()
		opts.fs = mem
		_, err := Open(storeDir, opts)
		require.ErrorContains(t, err, "option")
	}
}

func TestClosedStoreRefusesEverything(t *testing.T) {
	db, err := Open(storeDir, memOptions(vfs.NewMem()))
	require.NoError(t, err)
	put(t, db, "k", "v")
	held, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, db.Close(), "a second Close says what the first said")

	_, err = db.Get([]byte("k"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.Put([]byte("k"), nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.Apply(&Batch{})
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, db.Sync(), ErrClosed)
	require.PanicsWithError(t, ErrClosed.Error(), func() { lines(db.Scan(Range{})) })
	_, err = db.Has([]byte("k"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.Count(Range{})
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = db.First(Range{})
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = db.Last(Range{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = db.DeleteRange(nil, nil)
	require.ErrorIs(t, err, ErrClosed)
	for _, err := range db.Commits(0) {
		require.ErrorIs(t, err, ErrClosed)
	}
	require.Zero(t, db.Offset())
	require.Zero(t, db.Stats().Keys)
	require.Equal(t, "v", string(held), "a value stays valid when its store is closed")
}

func TestWhichDirectoriesAreStores(t *testing.T) {
	type want struct{ write, read error }
	cases := []struct {
		sentence string
		make     func(t *testing.T, dir string)
		want     want
	}{
		{"a missing directory becomes one", func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir)) }, want{nil, ErrNotStore}},
		{"an empty directory becomes one", func(*testing.T, string) {}, want{nil, ErrNotStore}},
		{"a directory whose writer died when it had the lock becomes one", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "LOCK"), []byte("1"), 0o600))
		}, want{nil, ErrNotStore}},
		{"a directory whose writer died when it was making the log becomes one", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "wal"), 0o700))
		}, want{nil, ErrNotStore}},
		{"a directory with something else in it", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600))
		}, want{ErrNotStore, ErrNotStore}},
		{"a directory with a file named as the log's directory", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "wal"), nil, 0o600))
		}, want{ErrNotStore, ErrNotStore}},
	}
	for _, c := range cases {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read-only %v", c.sentence, readOnly), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "store")
				require.NoError(t, os.Mkdir(dir, 0o700))
				c.make(t, dir)
				before, _ := filepath.Glob(dir + "/*")
				db, err := Open(dir, Options{ReadOnly: readOnly})
				wanted := c.want.write
				if readOnly {
					wanted = c.want.read
				}
				if wanted == nil {
					require.NoError(t, err)
					put(t, db, "k", "v")
					require.NoError(t, db.Close())
					return
				}
				require.ErrorIs(t, err, wanted)
				require.ErrorContains(t, err, dir)
				after, _ := filepath.Glob(dir + "/*")
				require.Equal(t, before, after, "a refusal changes nothing")
			})
		}
	}
}

func TestDirectoryThatIsAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	for _, readOnly := range []bool{false, true} {
		_, err := Open(name, Options{ReadOnly: readOnly})
		require.ErrorContains(t, err, name)
	}
}

func TestDirectoryWithoutPermission(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpMkdir {
			return fs.ErrPermission
		}
		return nil
	})
	_, err := Open(storeDir, memOptions(mem))
	require.ErrorIs(t, err, fs.ErrPermission)
}

func TestSecondWriterIsToldWhoHoldsTheStore(t *testing.T) {
	dir := t.TempDir()
	db := openStore(t, dir, Options{})
	put(t, db, "k", "v")
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, os.Getpid(), locked.PID)
	require.ErrorContains(t, err, fmt.Sprint(os.Getpid()))
	put(t, db, "k", "the holder goes on")
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	foreign := []string{filepath.Join(dir, "letter.txt"), filepath.Join(dir, "wal", "photo.jpg")}
	for _, name := range foreign {
		require.NoError(t, os.WriteFile(name, []byte("mine"), 0o600))
	}
	db = openStore(t, dir, Options{})
	put(t, db, "k", "v")
	for _, name := range foreign {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, "mine", string(content))
	}
}

func TestOpeningTellsTheOperatorOnce(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	var text *bytes.Buffer
	opts.Logger, text = logTo()
	db := openStore(t, storeDir, opts)
	require.Equal(t, 1, bytes.Count(text.Bytes(), []byte(`msg="store opened"`)))
	require.Equal(t, db.Recovery(), db.Stats().Recovery)
}

// TestRefusalsReachTheLogger is promise P10 for an open that is refused, and for commits that a full disk refuses.
func TestRefusalsReachTheLogger(t *testing.T) {
	opts := manual(vfs.NewMem())
	var text *bytes.Buffer
	opts.Logger, text = logTo()
	opts.LowSpace = -1
	mem := opts.fs.(*vfs.Mem)
	db := openStore(t, storeDir, opts)
	_, err := Open(storeDir, opts)
	require.ErrorIs(t, err, ErrLocked)
	require.Equal(t, 1, strings.Count(text.String(), "level=ERROR"), text)
	require.Contains(t, text.String(), "store not opened")

	for range 2 {
		put(t, db, "there is", "room")
		text.Reset()
		mem.SetCapacity(1)
		for range 10 {
			_, err = db.Put([]byte("k"), make([]byte, 100<<10))
			require.ErrorIs(t, err, ErrNoSpace)
		}
		require.Equal(t, 1, strings.Count(text.String(), "commits are refused"), "once until there is room: %v", text)
		mem.SetCapacity(0)
	}
}

func TestScanOfAClosedStorePanicsAndAViewSaysWhy(t *testing.T) {
	db, err := Open(storeDir, manual(vfs.NewMem()))
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	require.PanicsWithError(t, ErrClosed.Error(), func() { lines(db.Scan(Range{})) })
	require.ErrorIs(t, db.View(func(*Tx) error { return nil }), ErrClosed)
}

// TestCutTailIsToldAsAWarning is promise P10 for what a recovery takes away.
func TestCutTailIsToldAsAWarning(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, Options{fs: mem, Sync: SyncNever, SegmentSize: 16 << 20})
	require.NoError(t, err)
	for i := range 50 {
		put(t, db, fmt.Sprint(i), "value")
	}
	for seed := range uint64(200) {
		opts := Options{fs: mem.Crash(seed, vfs.TornTail), SegmentSize: 16 << 20}
		var text *bytes.Buffer
		opts.Logger, text = logTo()
		crashed, err := Open(storeDir, opts)
		require.NoError(t, err)
		recovery := crashed.Stats().Recovery
		require.NoError(t, crashed.Close())
		if recovery.Log.Outcome != wal.Torn {
			continue
		}
		require.Positive(t, recovery.Log.CutBytes)
		require.Contains(t, text.String(), "level=WARN")
		require.Contains(t, text.String(), recovery.Log.QuarantinePath)
		require.Equal(t, filepath.Join(storeDir, "quarantine"), filepath.Dir(recovery.Log.QuarantinePath))
		require.NoError(t, db.Close())
		return
	}
	t.Fatal("no seed tore the tail")
}

func TestProgressEndsAtTheLastCommit(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	for i := range 50 {
		put(t, db, fmt.Sprint(i%7), "v")
	}
	require.NoError(t, db.Close())
	var told []Progress
	opts := memOptions(mem)
	opts.Progress = func(p Progress) { told = append(told, p) }
	db = openStore(t, storeDir, opts)
	require.Equal(t, Progress{Offset: 50, Last: 50}, told[len(told)-1])
	require.EqualValues(t, 50, db.Recovery().Replayed)
	require.Equal(t, 7, db.Recovery().Keys)
}

func TestStatsCount(t *testing.T) {
	db, _ := openMem(t)
	for i := range 100 {
		put(t, db, fmt.Sprintf("key%d", i%10), "value")
	}
	stats := db.Stats()
	require.Equal(t, 10, stats.Keys)
	require.EqualValues(t, 10*len("key0value"), stats.DataBytes)
	require.EqualValues(t, 1, stats.First)
	require.EqualValues(t, 100, stats.Visible)
	require.EqualValues(t, 100, stats.Durable)
	require.EqualValues(t, 100, stats.Commits)
	require.Greater(t, stats.CommitBytes, uint64(100*len("key0value")))
	require.GreaterOrEqual(t, stats.Syncs, uint64(100))
	require.Greater(t, stats.Segments, 1)
	require.EqualValues(t, stats.Segments-1, stats.Rolls)
	require.Positive(t, stats.DiskBytes)
	require.NoError(t, stats.Failed)
}
