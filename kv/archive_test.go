package kv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestAnArchiveThatCannotBeUsedIsRefusedBeforeAnythingChanges(t *testing.T) {
	own := Member{Cluster: testCluster, Node: "one"}
	for how, open := range map[string]func(dir string, opts Options) (*DB, error){
		"plain": Open,
		"replica": func(dir string, opts Options) (*DB, error) {
			r, err := OpenReplica(dir, opts, own, &seat{})
			if err != nil {
				return nil, err
			}
			return r.DB(), nil
		},
	} {
		for _, archive := range []string{
			"regular", "regular/deeper", "store", "store/wal", "store/missing", "store/../store/archive", "to-store", "to-store/archive",
			"to-wal", "to-nothing",
		} {
			t.Run(how+"/"+archive, func(t *testing.T) {
				work := t.TempDir()
				dir := filepath.Join(work, "store")
				require.NoError(t, os.WriteFile(filepath.Join(work, "regular"), []byte("precious"), 0o600))
				for _, link := range []string{"store", "store/wal", "nothing"} {
					require.NoError(t, os.Symlink(filepath.Join(work, link), filepath.Join(work, "to-"+filepath.Base(link))))
				}
				refused := func() {
					t.Helper()
					before := filesBelow(t, work)
					db, err := open(dir, Options{ArchiveDir: filepath.Join(work, archive)})
					if err == nil {
						require.NoError(t, db.Close())
					}
					require.ErrorContains(t, err, "option ArchiveDir")
					require.ErrorContains(t, err, filepath.Join(work, archive))
					require.ErrorContains(t, err, dir)
					require.Equal(t, before, filesBelow(t, work))
				}
				refused()
				require.NoDirExists(t, dir)
				db, err := open(dir, Options{})
				require.NoError(t, err)
				require.NoError(t, db.Close())
				refused()
			})
		}
	}
}

// TestSnapshotsDoNotPileUpWhileAnArchiveFails opens the store for each checkpoint, as a job of every night does.
func TestSnapshotsDoNotPileUpWhileAnArchiveFails(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept, opts.ArchiveDir = 2, "/data/archive"
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpLink {
			return errDisk
		}
		return nil
	})
	for i := range 8 {
		db := openStore(t, storeDir, opts)
		put(t, db, "key", string(make([]byte, 5000)))
		if _, err := db.Checkpoint(t.Context()); i > 2 {
			require.ErrorIs(t, err, errDisk)
		}
		places, err := db.snapshots.list()
		require.NoError(t, err)
		require.LessOrEqual(t, len(places), opts.SnapshotsKept+1)
		require.NoError(t, db.Close())
	}
}

func TestACheckpointThatCannotArchiveLeavesTheOlderSnapshots(t *testing.T) {
	mem := vfs.NewMem()
	opts := manual(mem)
	opts.SnapshotsKept, opts.ArchiveDir = 1, "/data/archive"
	db := openStore(t, storeDir, opts)
	put(t, db, "key", string(make([]byte, 5000)))
	older := checkpoint(t, db)
	put(t, db, "key", string(make([]byte, 5000)))
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpLink {
			return errDisk
		}
		return nil
	})
	_, err := db.Checkpoint(t.Context())
	require.ErrorIs(t, err, errDisk)
	places, err := db.snapshots.list()
	require.NoError(t, err)
	require.Len(t, places, 2)
	require.Equal(t, older, places[1].Offset)

	mem.SetHook(nil)
	checkpoint(t, db)
	places, err = db.snapshots.list()
	require.NoError(t, err)
	require.Len(t, places, 1)
	require.Greater(t, db.Stats().First, older)
}
