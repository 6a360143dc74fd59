package kernel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestAFullDiskRefusesWritersUntilThereIsRoom fills a disk in each sync mode. Every writer is refused, readers are not, a checkpoint
// fails and leaves what was in force. Once there is room the same store takes everything. A writer that is killed on the full disk
// leaves what was acknowledged, and so does a close.
func TestAFullDiskRefusesWritersUntilThereIsRoom(t *testing.T) {
	for _, mode := range []kv.SyncMode{kv.SyncAlways, kv.SyncInterval, kv.SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			disk := smallDisk(t, "4m")
			dir := filepath.Join(disk, "store")
			opts := kv.Options{Sync: mode, SegmentSize: 256 << 10, CheckpointFactor: -1, SnapshotsKept: 1}
			db, err := kv.Open(dir, opts)
			require.NoError(t, err)
			j := newJudge(writers{Count: 4, Kept: 50, Bytes: 4 << 10})
			for _, err := range j.write(db, 60, nil) {
				require.NoError(t, err)
			}
			filler := fill(t, disk)
			requireFull(t, j, db)
			_, err = db.Checkpoint(context.Background())
			require.ErrorIs(t, err, kv.ErrNoSpace)
			require.ErrorIs(t, err, syscall.ENOSPC)
			requireFull(t, j, db)
			require.NoError(t, os.Truncate(filler, sizeOf(t, filler)-400<<10))
			_, err = db.Checkpoint(context.Background())
			require.ErrorIs(t, err, kv.ErrNoSpace, "with room for half of a snapshot")
			left, err := os.ReadDir(filepath.Join(dir, "snapshot"))
			require.NoError(t, err)
			require.Empty(t, left)
			requireFull(t, j, db)

			require.NoError(t, os.Remove(filler))
			_, err = db.Checkpoint(context.Background())
			require.NoError(t, err)
			for _, err := range j.write(db, 60, nil) {
				require.NoError(t, err)
			}
			filler = fill(t, disk)
			requireFull(t, j, db)
			require.NoError(t, db.Close(), "closing needs no room")
			j.require(t, dir, opts)

			p := j.start(t, task{Dir: dir, Sync: mode, SegmentSize: opts.SegmentSize})
			require.Empty(t, p.until("ended"), "reads go on")
			require.Contains(t, strings.Join(p.everything(), "\n"), "no space left on device")
			p.kill()
			j.require(t, dir, opts)
			require.NoError(t, os.Remove(filler))
			db, err = kv.Open(dir, opts)
			require.NoError(t, err)
			for _, err := range j.write(db, 60, nil) {
				require.NoError(t, err)
			}
			j.requireIn(t, db)
			require.NoError(t, db.Close())
			requireSound(t, dir)
		})
	}
}

// requireFull requires that each writer is refused sooner or later, and that reads go on and show everything before that.
func requireFull(t *testing.T, j *judge, db *kv.DB) {
	t.Helper()
	for _, err := range j.write(db, 10_000, nil) {
		require.ErrorIs(t, err, kv.ErrNoSpace)
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	before := j.sum()
	j.requireIn(t, db)
	require.Equal(t, before, j.sum(), "a commit that was refused has happened")
	require.NoError(t, db.View(func(tx *kv.Tx) error {
		_, err := tx.Get(j.left(0))
		return err
	}))
}

func sizeOf(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	require.NoError(t, err)
	return info.Size()
}

// TestAFullDiskDuringAnOpenBackupOrRestoreLeavesNothingHalf lets kvctl meet a full disk.
func TestAFullDiskDuringAnOpenBackupOrRestoreLeavesNothingHalf(t *testing.T) {
	disk, outside := smallDisk(t, "3m"), t.TempDir()
	source := filepath.Join(outside, "source")
	db, err := kv.Open(source, kv.Options{Sync: kv.SyncNever})
	require.NoError(t, err)
	j := newJudge(writers{Count: 4, Kept: 300, Bytes: 4 << 10})
	for _, err := range j.write(db, 300, nil) {
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	backup := filepath.Join(outside, "backup")
	requireRan(t, 0, "", kvctl(t, "--dir", source, "backup", backup))
	entries := func() (names string) {
		found, err := os.ReadDir(disk)
		require.NoError(t, err)
		for _, entry := range found {
			names += entry.Name() + " "
		}
		return names
	}

	requireRan(t, 1, `^kvctl: backup to .*/backup: .*no space left on device\n$`, kvctl(t, "--dir", source, "backup", filepath.Join(disk, "backup")))
	require.Empty(t, entries(), "after a backup")
	requireRan(t, 1, `(?m)^kvctl: restore .*copy: no space left: .* no space left on device$`, kvctl(t, "--dir", filepath.Join(disk, "copy"), "restore", backup))
	require.Empty(t, entries(), "after a restore")
	requireRan(t, 1, `no space left`, kvctl(t, "--dir", filepath.Join(disk, "imported"), "import", "--format", "jsonl", exported(t, source)))
	requireRan(t, 0, "", kvctl(t, "--dir", filepath.Join(disk, "imported"), "check"))

	fill(t, disk)
	requireRan(t, 1, `no space left on device`, kvctl(t, "--dir", filepath.Join(disk, "new"), "put", "a", "1"))
	requireRan(t, 1, `no space left on device`, kvctl(t, "--dir", filepath.Join(disk, "copy"), "restore", backup))
	require.NoError(t, os.Remove(filepath.Join(disk, "filler")))
	require.NoError(t, os.RemoveAll(filepath.Join(disk, "imported")))
	requireRan(t, 0, `made a new one`, kvctl(t, "--dir", filepath.Join(disk, "new"), "put", "a", "1"))
	j.require(t, source, kv.Options{})
}

// exported returns a file with a store's pairs.
func exported(t *testing.T, dir string) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pairs.jsonl")
	r := kvctl(t, "--dir", dir, "export")
	requireRan(t, 0, "", r)
	require.NoError(t, os.WriteFile(name, []byte(r.stdout), 0o600))
	return name
}
