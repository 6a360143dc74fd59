package kv

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// backupOf returns a backup of a store.
func backupOf(t testing.TB, db *DB) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := db.Backup(t.Context(), &out)
	require.NoError(t, err)
	return out.Bytes()
}

// incrementOf returns an increment with the commits after an offset.
func incrementOf(t testing.TB, db *DB, from uint64) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := db.BackupSince(t.Context(), &out, from)
	require.NoError(t, err)
	return out.Bytes()
}

// tryRestore restores into /data/restored, which must not be there.
func tryRestore(t testing.TB, mem *vfs.Mem, opts RestoreOptions, backup []byte, increments ...[]byte) (uint64, error) {
	t.Helper()
	opts.fs = mem
	for _, increment := range increments {
		opts.Increments = append(opts.Increments, bytes.NewReader(increment))
	}
	return Restore(t.Context(), bytes.NewReader(backup), "/data/restored", opts)
}

// setClock makes a store's clock return what the result points to.
func setClock(db *DB) (now *int64) {
	now = new(int64)
	setNow(db, func() int64 { return max(*now, 1) })
	return now
}

// backupChain returns a backup as of commit 10 and increments up to 20, 30 and 40. Commit n is made at n*1000 and puts n.
func backupChain(t *testing.T) (backup []byte, increments [][]byte) {
	t.Helper()
	db, err := Open(storeDir, manual(vfs.NewMem()))
	require.NoError(t, err)
	now := setClock(db)
	for n := uint64(1); n <= 40; n++ {
		*now = int64(n) * 1000
		require.Equal(t, n, put(t, db, "k", fmt.Sprint(n)))
		if n == 10 {
			backup = backupOf(t, db)
		} else if n%10 == 0 {
			increments = append(increments, incrementOf(t, db, n-10))
		}
	}
	require.NoError(t, db.Close())
	return backup, increments
}

func TestRestoreGoesToEveryCommitOfAChainOfIncrements(t *testing.T) {
	backup, increments := backupChain(t)
	for n := uint64(9); n <= 41; n++ {
		for _, to := range []RestoreOptions{{ToOffset: n}, {ToTime: time.Unix(0, int64(n)*1000)}, {ToTime: time.Unix(0, int64(n)*1000+500)}} {
			mem := vfs.NewMem()
			offset, err := tryRestore(t, mem, to, backup, increments...)
			if n < 10 {
				require.ErrorIs(t, err, ErrTruncated)
				continue
			}
			if n > 40 || n == 40 && !to.ToTime.IsZero() && to.ToTime.UnixNano() > 40_000 {
				require.ErrorIs(t, err, ErrOutOfRange)
				continue
			}
			require.NoError(t, err, "%+v", to)
			require.Equal(t, n, offset)
			db := openStore(t, "/data/restored", manual(mem))
			requireHolds(t, db, fmt.Sprint("k=", n))
		}
	}
}

// TestRestoreToATimePassesCommitsOfAWrongClock has one commit from the far future, and a clock that is set back later.
func TestRestoreToATimePassesCommitsOfAWrongClock(t *testing.T) {
	opts := manual(vfs.NewMem())
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	now := setClock(db)
	made := []int64{0, 1000, 1 << 60, 3000, 4000, 5000, 2000, 3500, 6000}
	var backup []byte
	for n := 1; n < len(made); n++ {
		*now = made[n]
		put(t, db, "k", fmt.Sprint(n))
		if n == 2 {
			backup = backupOf(t, db) // Its last commit is from the future.
		}
	}
	rest := incrementOf(t, db, 2)
	require.NoError(t, db.Close())
	for to, want := range map[int64]uint64{2000: 6, 3000: 6, 3600: 7, 5000: 7, 5999: 7, 6000: 8} {
		mem := vfs.NewMem()
		offset, err := tryRestore(t, mem, RestoreOptions{ToTime: time.Unix(0, to)}, backup, rest)
		require.NoError(t, err, "to %d", to)
		require.Equal(t, want, offset, "to %d", to)
		restored := openStore(t, "/data/restored", manual(mem))
		requireHolds(t, restored, fmt.Sprint("k=", want))
	}
	_, err = tryRestore(t, vfs.NewMem(), RestoreOptions{ToTime: time.Unix(0, 1999)}, backup, rest)
	require.ErrorIs(t, err, ErrTruncated)
	_, err = tryRestore(t, vfs.NewMem(), RestoreOptions{ToTime: time.Unix(0, 6001)}, backup, rest)
	require.ErrorIs(t, err, ErrOutOfRange)
}

// TestATimeInAnErrorCanBeAskedFor: the time that an error names is in the form that a caller reads and kvctl's --to-time takes.
func TestATimeInAnErrorCanBeAskedFor(t *testing.T) {
	db, err := Open(storeDir, manual(vfs.NewMem()))
	require.NoError(t, err)
	first := time.Date(2026, 12, 1, 5, 36, 4, 250_000_001, time.UTC)
	now := setClock(db)
	*now = first.UnixNano()
	put(t, db, "k", "v")
	backup := backupOf(t, db)
	require.NoError(t, db.Close())
	for _, c := range []struct {
		by   time.Duration
		want error
	}{{-time.Second, ErrTruncated}, {time.Second, ErrOutOfRange}} {
		target := first.Add(c.by).In(time.FixedZone("elsewhere", 3600))
		_, err := tryRestore(t, vfs.NewMem(), RestoreOptions{ToTime: target}, backup)
		require.ErrorIs(t, err, c.want)
		require.ErrorContains(t, err, "target "+target.UTC().Format(time.RFC3339Nano)+" ")
		require.ErrorContains(t, err, "made at 2026-12-01T05:36:04.250000001Z")
	}
	require.ErrorContains(t, otherHistory(moment{offset: 1, time: *now}, *now+9), "made at 2026-12-01T05:36:04.25000001Z, what precedes it one made at 2026-12-01T05:36:04.250000001Z")
}

func TestADamagedBackupOrIncrementIsNamed(t *testing.T) {
	backup, increments := backupChain(t)
	all := [][]byte{backup, increments[0], increments[1], increments[2]}
	for i, name := range []string{"backup", "increment 1", "increment 2", "increment 3"} {
		damaged := slices.Clone(all)
		damaged[i] = slices.Clone(all[i])
		damaged[i][100] ^= 1
		_, err := tryRestore(t, vfs.NewMem(), RestoreOptions{}, damaged[0], damaged[1:]...)
		var damage *CorruptError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, name, damage.Path)
		require.Positive(t, damage.Position)
	}
	_, err := tryRestore(t, vfs.NewMem(), RestoreOptions{}, backup, increments[1])
	require.ErrorIs(t, err, ErrMismatch)
	require.ErrorContains(t, err, "increment 1")
}

// TestCommitsOfACopyWithAnotherHistoryAreRefused copies a store's directory, as a volume that is rolled back does. Both go on.
func TestCommitsOfACopyWithAnotherHistoryAreRefused(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	for range 20 {
		put(t, db, "k", "common")
	}
	common := backupOf(t, db)
	require.NoError(t, db.Close())
	opts := manual(mem.Clone())
	opts.ArchiveDir = "/data/archive"
	fork, err := Open(storeDir, opts)
	require.NoError(t, err)
	db, err = Open(storeDir, manual(mem))
	require.NoError(t, err)
	for range 3 {
		put(t, db, "k", "original")
		put(t, fork, "x", "fork")
	}
	backup := backupOf(t, db) // As of 23.
	for range 3 {
		put(t, db, "k", "original")
		put(t, fork, "x", "fork")
	}
	for _, from := range []uint64{21, 22, 23} {
		_, err = tryRestore(t, vfs.NewMem(), RestoreOptions{}, backup, incrementOf(t, fork, from))
		require.ErrorIs(t, err, ErrMismatch, "from %d", from)
		offset, err := tryRestore(t, vfs.NewMem(), RestoreOptions{}, backup, incrementOf(t, db, from))
		require.NoError(t, err)
		require.EqualValues(t, 26, offset)
	}
	_, err = tryRestore(t, vfs.NewMem(), RestoreOptions{}, common, incrementOf(t, db, 20), incrementOf(t, fork, 23))
	require.ErrorIs(t, err, ErrMismatch, "between two increments")
	offset, err := tryRestore(t, vfs.NewMem(), RestoreOptions{}, common, incrementOf(t, fork, 20))
	require.NoError(t, err, "until there both have the same history")
	require.EqualValues(t, 26, offset)
	require.NoError(t, fork.Close())
	_, err = tryRestore(t, opts.fs.(*vfs.Mem), RestoreOptions{Archive: []string{filepath.Join(storeDir, walName)}}, backup)
	require.ErrorIs(t, err, ErrMismatch, "a log in an archive's place")
	require.NoError(t, db.Close())
}

// TestAtDoesNotDependOnSnapshots has a pair that expires after the commit that At is asked for.
func TestAtDoesNotDependOnSnapshots(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, manual(mem))
	require.NoError(t, err)
	now := setClock(db)
	*now = 1000
	first, err := db.PutTTL([]byte("session"), []byte("v"), 500)
	require.NoError(t, err)
	at := func(db *DB, offset uint64) []string {
		past, err := db.At(t.Context(), offset)
		require.NoError(t, err)
		defer func() { require.NoError(t, past.Close()) }()
		return lines(past.Scan(Range{}))
	}
	*now = 5000
	require.Equal(t, []string{"session=v"}, at(db, first))
	checkpoint(t, db)
	require.Equal(t, []string{"session=v"}, at(db, first), "after a checkpoint")

	backup := backupOf(t, db)
	last := put(t, db, "k", "v")
	rest := incrementOf(t, db, first)
	require.Equal(t, []string{"k=v"}, at(db, last))
	require.NoError(t, db.Close())
	_, err = tryRestore(t, mem, RestoreOptions{}, backup, rest)
	require.NoError(t, err)
	restored := openStore(t, "/data/restored", manual(mem))
	require.Equal(t, []string{"k=v"}, at(restored, last), "in a store that was restored")
}

// TestAStoreThatIsOpenedWithoutItsArchiveKeepsItsLog writes with an archive, without it, and with it again.
func TestAStoreThatIsOpenedWithoutItsArchiveKeepsItsLog(t *testing.T) {
	mem := vfs.NewMem()
	fill := func(opts Options) (first, offset uint64) {
		db := openStore(t, storeDir, opts)
		for range 3 {
			for range 10 {
				offset = put(t, db, "k", string(make([]byte, 1000)))
			}
			checkpoint(t, db)
		}
		first = db.Stats().First
		require.NoError(t, db.Close())
		return first, offset
	}
	db := openStore(t, storeDir, manual(mem))
	put(t, db, "k", "v")
	backup := backupOf(t, db)
	require.NoError(t, db.Close())

	with := manual(mem)
	with.ArchiveDir = "/data/archive"
	before, _ := fill(with)
	logger, text := logTo()
	without := manual(mem)
	without.Logger = logger
	kept, _ := fill(without)
	require.Equal(t, before, kept)
	require.Contains(t, text.String(), "the store has an archive")
	after, last := fill(with)
	require.Greater(t, after, kept)
	offset, err := tryRestore(t, mem, RestoreOptions{Archive: []string{with.ArchiveDir, filepath.Join(storeDir, walName)}}, backup)
	require.NoError(t, err)
	require.Equal(t, last, offset)

	require.NoError(t, mem.Remove(filepath.Join(storeDir, archiveName)))
	given, _ := fill(manual(mem))
	require.Greater(t, given, after, "the archive was given up")
}
