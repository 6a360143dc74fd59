package kv

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

const ruinArchive = "/data/archive"

// newTruncatedRuin is a ruin whose log was truncated at a checkpoint after commit 120, the only one of which the snapshot is kept. What was
// truncated is in an archive. An older snapshot, as of commit 40, can be put back.
func newTruncatedRuin(t *testing.T) (r *ruin, older []byte) {
	r = &ruin{T: t, mem: vfs.NewMem()}
	opts := memOptions(r.mem)
	opts.CheckpointFactor, opts.SnapshotsKept, opts.ArchiveDir = -1, 1, ruinArchive
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for i := 1; i <= ruinCommits; i++ {
		var batch Batch
		batch.Put([]byte("k"), fmt.Append(nil, i))
		batch.Put(fmt.Appendf(nil, "k%d", i), bytes.Repeat(fmt.Append(nil, i, " "), 8))
		_, err := db.Apply(&batch)
		require.NoError(t, err)
		if i == 40 || i == 120 {
			_, err := db.Checkpoint(t.Context())
			require.NoError(t, err)
		}
		if i == 40 {
			older, err = r.mem.ReadFile(r.snapshot(40))
			require.NoError(t, err)
		}
	}
	require.NoError(t, db.Close())
	r.list()
	_, first := r.segment(0)
	require.Greater(t, first, 42)
	return r, older
}

// TestADamagedSnapshotWhoseLogWasTruncated repairs it with what there is: an archive, an older snapshot with it, or that alone.
func TestADamagedSnapshotWhoseLogWasTruncated(t *testing.T) {
	for _, c := range []struct {
		name           string
		older, archive bool
		want           uint64 // 0 where only a restore helps.
	}{
		{"the archive has all commits", false, true, ruinCommits},
		{"an older snapshot and the archive do", true, true, ruinCommits},
		{"an older snapshot alone loses what followed", true, false, 40},
		{"nothing that is left makes a state", false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, older := newTruncatedRuin(t)
			r.flip(r.snapshot(120), 200)
			opts := r.opts()
			if c.older {
				require.NoError(t, r.mem.WriteFile(r.snapshot(40), older))
			}
			if c.archive {
				opts.ArchiveDir = ruinArchive
			}
			plan, err := PlanRepair(t.Context(), storeDir, opts)
			require.NoError(t, err)
			if c.want == 0 {
				require.Contains(t, plan.Why, "no snapshot can be read whole")
				return
			}
			require.Equal(t, c.want, plan.Offset, "%+v", plan)
			if c.want < ruinCommits {
				_, first := r.segment(0)
				require.EqualValues(t, ruinCommits, plan.LostTo)
				require.EqualValues(t, ruinCommits-first+1, plan.LostReadable)
			}
			require.NoError(t, plan.Apply(t.Context()))
			requireState(t, r.opts(), c.want)
		})
	}
}

// TestARestoreGoesOnFromABackupThroughTheDamagedStoresLog is the command that a plan names where nothing that is left makes a state.
func TestARestoreGoesOnFromABackupThroughTheDamagedStoresLog(t *testing.T) {
	r, older := newTruncatedRuin(t)
	r.flip(r.snapshot(120), 200)
	to := "/data/restored"
	offset, err := Restore(t.Context(), bytes.NewReader(older), to, RestoreOptions{
		Archive: []string{ruinArchive, filepath.Join(storeDir, walName)}, fs: r.mem,
	})
	require.NoError(t, err)
	require.EqualValues(t, ruinCommits, offset)
}

// TestARepairThatFailsLeavesTheDamage lets each call of a repair fail: the store isn't changed for the worse, and a later repair finishes.
func TestARepairThatFailsLeavesTheDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine does all of it, in many seconds under the race detector")
	}
	for _, c := range ruins {
		if c.sound || c.why != "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			made := newRuin(t, c.snapshots...)
			c.damage(made)
			for n := 1; ; n += 1 + n/4 {
				opts := memOptions(made.mem.Crash(0, vfs.KeepAll))
				disk := opts.fs.(*vfs.Mem)
				plan, err := PlanRepair(t.Context(), storeDir, opts)
				require.NoError(t, err)
				calls := 0
				disk.SetHook(func(call vfs.Call) error {
					if call.Op.Changes() {
						if calls++; calls == n {
							return syscall.ENOSPC
						}
					}
					return nil
				})
				err = plan.Apply(t.Context())
				disk.SetHook(nil)
				if calls < n {
					require.NoError(t, err)
					return
				}
				requireRepairable(t, disk, plan.Offset, fmt.Sprintf("call %d failed: %v", n, err))
			}
		})
	}
}

// TestARepairThatIsNotWhatWasPlannedIsRefused changes the store between the plan and the repair.
func TestARepairThatIsNotWhatWasPlannedIsRefused(t *testing.T) {
	r := newRuin(t)
	r.zero(70)
	plan, err := PlanRepair(t.Context(), storeDir, r.opts())
	require.NoError(t, err)
	r.zero(60)
	before := contentOf(t, r.mem)
	require.ErrorIs(t, plan.Apply(t.Context()), ErrChanged)
	delete(before, filepath.Join(storeDir, lockName))
	after := contentOf(t, r.mem)
	delete(after, filepath.Join(storeDir, lockName))
	require.Equal(t, before, after)
}

// TestAStoreThatIsOpenIsNotRepaired holds the lock.
func TestAStoreThatIsOpenIsNotRepaired(t *testing.T) {
	r := newRuin(t)
	r.zero(70)
	plan, err := PlanRepair(t.Context(), storeDir, r.opts())
	require.NoError(t, err)
	lock, err := r.mem.Lock(filepath.Join(storeDir, lockName))
	require.NoError(t, err)
	require.ErrorIs(t, plan.Apply(t.Context()), ErrLocked)
	require.NoError(t, lock.Close())
	require.NoError(t, plan.Apply(t.Context()))
}

// TestALogOfAnotherStoreGivesWayToTheSnapshots replaces the log by that of another store.
func TestALogOfAnotherStoreGivesWayToTheSnapshots(t *testing.T) {
	r := newRuin(t, 50, 120)
	other := vfs.NewMem()
	db, err := Open(storeDir, memOptions(other))
	require.NoError(t, err)
	put(t, db, "k", "other")
	require.NoError(t, db.Close())
	for _, path := range r.stores[1:] {
		r.remove(path)
	}
	data, err := other.ReadFile(r.stores[0])
	require.NoError(t, err)
	require.NoError(t, r.mem.WriteFile(r.stores[0], data))
	plan, err := PlanRepair(t.Context(), storeDir, r.opts())
	require.NoError(t, err)
	require.EqualValues(t, 120, plan.Offset)
	require.True(t, plan.LostMore)
	require.NoError(t, plan.Apply(t.Context()))
	requireState(t, r.opts(), 120)
}

// TestAnArchiveThatIsNotThereIsNoArchive names one by mistake.
func TestAnArchiveThatIsNotThereIsNoArchive(t *testing.T) {
	r := newRuin(t)
	r.zero(70)
	opts := r.opts()
	opts.ArchiveDir = "/data/nowhere"
	_, err := PlanRepair(t.Context(), storeDir, opts)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestALogThatEndsBeforeASnapshotMayHaveHadMoreCommits puts an older log beside a newer snapshot, as a restore of files by hand does.
func TestALogThatEndsBeforeASnapshotMayHaveHadMoreCommits(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "a", "1")
	require.NoError(t, db.Close())
	older := contentOf(t, mem)
	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "a", "2")
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
	put(t, db, "a", "3")
	require.NoError(t, db.Close())
	for name, data := range older {
		require.NoError(t, mem.WriteFile(name, []byte(data)))
	}
	plan, err := PlanRepair(t.Context(), storeDir, opts)
	require.NoError(t, err)
	require.Equal(t, uint64(2), plan.Offset)
	require.True(t, plan.LostMore, "%+v", plan)
}

// TestAnEmptyLogAfterARestoreLacksNothing damages an old snapshot beside a restored store, whose log has no commit yet.
func TestAnEmptyLogAfterARestoreLacksNothing(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	db, err := Open("/data/source", opts)
	require.NoError(t, err)
	put(t, db, "a", "1")
	put(t, db, "a", "2")
	var backup bytes.Buffer
	_, err = db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = Restore(t.Context(), &backup, storeDir, RestoreOptions{fs: mem})
	require.NoError(t, err)
	require.NoError(t, mem.WriteFile(filepath.Join(storeDir, snapshotName, "00000000000000000001.snap"), []byte("no snapshot")))
	plan, err := PlanRepair(t.Context(), storeDir, opts)
	require.NoError(t, err)
	require.Len(t, plan.Damage, 1)
	require.Equal(t, uint64(2), plan.Offset)
	require.False(t, plan.LostMore, "%+v", plan)
}
