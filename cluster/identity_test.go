package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestADirectoryThatIsNotWholeIsRefused(t *testing.T) {
	for _, c := range []struct {
		sentence string
		gone     []string
		want     error
	}{
		{"the file of its votes is gone", []string{consensusName}, ErrCorrupt},
		{"the store is gone", []string{storeName}, ErrCorrupt},
		{"the store's log is gone", []string{storeName + "/wal"}, kv.ErrCorrupt},
		{"the store's log is gone, and no snapshot is there", []string{storeName + "/wal", storeName + "/snapshot"}, ErrCorrupt},
		{"the store's file that says whose it is is gone", []string{storeName + "/REPLICA"}, ErrCorrupt},
		{"that is gone, and the snapshots", []string{storeName + "/REPLICA", storeName + "/snapshot"}, ErrCorrupt},
		{"the store is empty", []string{storeName + "/wal", storeName + "/snapshot", storeName + "/REPLICA"}, ErrCorrupt},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			n := newTrio(t, "alone")
			n.fill("", 100)
			n.checkpoint("alone")
			n.fill("later ", 10)
			n.stop("alone")
			dir := filepath.Join(n.dir, "alone")
			for _, name := range c.gone {
				require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
			}
			for range 2 {
				node, err := Open(soon(t), dir, n.options("alone"))
				if err == nil {
					require.NoError(t, node.Close())
				}
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}

func TestAPlainStoresDirectoryIsRefused(t *testing.T) {
	c := newTrio(t, "alone")
	for name, open := range map[string]func(dir string){
		"plain": func(dir string) {
			db, err := kv.Open(dir, kv.Options{})
			require.NoError(t, err)
			require.NoError(t, db.Close())
		},
		"replica": func(dir string) {
			r, err := kv.OpenReplica(dir, kv.Options{}, kv.Member{Cluster: clusterID("test"), Node: "alone"}, consensus{&Cluster{}})
			require.NoError(t, err)
			require.NoError(t, r.DB().Close())
		},
	} {
		dir := filepath.Join(t.TempDir(), name)
		open(dir)
		_, err := Open(soon(t), dir, c.options("alone"))
		require.ErrorIs(t, err, kv.ErrReplica)
		require.NotContains(t, err.Error(), "is a replica", "that is what it isn't, or not all that it must be")
		require.ErrorContains(t, err, "restore a backup of it into a new cluster")
		require.NoFileExists(t, filepath.Join(dir, consensusName))
	}
}

func TestADirectoryThatIsInUseIsLeftAlone(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "value")
	dir := filepath.Join(c.dir, "alone")
	before, err := os.ReadFile(filepath.Join(dir, consensusName))
	require.NoError(t, err)
	_, err = Open(soon(t), dir, c.options("alone"))
	require.ErrorIs(t, err, kv.ErrLocked)
	after, err := os.ReadFile(filepath.Join(dir, consensusName))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	c.put("key", "again")
}

func TestANodeThatDiedAsItsDirectoryWasMadeIsOpened(t *testing.T) {
	c := newTrio(t, "alone")
	c.stop("alone")
	dir := filepath.Join(c.dir, "new")
	r, err := kv.OpenReplica(filepath.Join(dir, storeName), kv.Options{}, kv.Member{Cluster: clusterID("test"), Node: "alone"}, consensus{&Cluster{}})
	require.NoError(t, err)
	require.NoError(t, r.DB().Close())
	node, err := Open(soon(t), dir, c.options("alone"))
	require.NoError(t, err)
	require.NoError(t, node.Close())
}
