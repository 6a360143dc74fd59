package kv

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// openMember opens a replica of a cluster of one, and closes it again.
func openMember(mem *vfs.Mem, m Member) error {
	r, err := OpenReplica(storeDir, memOptions(mem), m, &seat{})
	if err == nil {
		err = r.DB().Close()
	}
	return err
}

func TestAReplicaIsOpenedByItsOwnMemberAlone(t *testing.T) {
	mem, own := vfs.NewMem(), Member{Cluster: testCluster, Node: "one"}
	require.NoError(t, openMember(mem, own))
	require.NoError(t, openMember(mem, own), "again")
	require.ErrorIs(t, openMember(mem, Member{Cluster: testCluster, Node: "two"}), ErrReplica)
	require.ErrorIs(t, openMember(mem, Member{Cluster: [16]byte{1}, Node: "one"}), ErrReplica)
	_, err := Open(storeDir, memOptions(mem))
	require.ErrorIs(t, err, ErrReplica, "writing past the cluster would split it")

	opts := memOptions(mem)
	opts.ReadOnly, opts.Follow = true, true
	_, err = Open(storeDir, opts)
	require.ErrorIs(t, err, ErrReplica)
	requireSound(t, storeDir, memOptions(mem))
}

func TestAStoreThatIsNoReplicaStaysNone(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	own := Member{Cluster: testCluster, Node: "one"}
	refused := openMember(mem, own)
	require.ErrorIs(t, refused, ErrReplica)
	require.NotContains(t, refused.Error(), "is a replica")
	require.ErrorContains(t, refused, "restore a backup of it into a new cluster")
	db, err = Open(storeDir, memOptions(mem))
	require.NoError(t, err, "it was left as it was")
	put(t, db, "key", "value")
	require.NoError(t, db.Close())
	require.NoError(t, mem.WriteFile(filepath.Join(storeDir, replicaName), own.encode()))
	require.ErrorIs(t, openMember(mem, own), ErrCorrupt, "its identity is its own")
}

func TestAReplicaRefusesWhatItCannotDo(t *testing.T) {
	own := Member{Cluster: testCluster, Node: "one"}
	for option, set := range map[string]func(o *Options){
		"ReadOnly":          func(o *Options) { o.ReadOnly = true },
		"Sync":              func(o *Options) { o.Sync = SyncNever },
		"CheckpointOnClose": func(o *Options) { o.CheckpointOnClose = true },
	} {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		set(&opts)
		_, err := OpenReplica(storeDir, opts, own, &seat{})
		require.ErrorContains(t, err, "option "+option)
		require.Empty(t, mem.Names())
	}
	for sentence, m := range map[string]Member{
		"no cluster":     {Node: "one"},
		"no node":        {Cluster: testCluster},
		"a long name":    {Cluster: testCluster, Node: strings.Repeat("n", nodeSizeMax+1)},
		"a line's end":   {Cluster: testCluster, Node: "one\ntwo"},
		"no UTF-8":       {Cluster: testCluster, Node: "\xff"},
		"a control byte": {Cluster: testCluster, Node: "\x00"},
	} {
		require.Error(t, openMember(vfs.NewMem(), m), sentence)
	}
}

func TestEveryDamageToTheFileOfAMemberIsNoticed(t *testing.T) {
	mem, own := vfs.NewMem(), Member{Cluster: testCluster, Node: "Zürich 1"}
	require.NoError(t, openMember(mem, own))
	path := filepath.Join(storeDir, replicaName)
	sound, err := mem.ReadFile(path)
	require.NoError(t, err)
	held, err := parseMember(sound)
	require.NoError(t, err)
	require.Equal(t, own, held)
	for i := range 8 * len(sound) {
		damaged := append([]byte{}, sound...)
		damaged[i/8] ^= 1 << (i % 8)
		require.NoError(t, mem.WriteFile(path, damaged))
		var damage *CorruptError
		require.ErrorAs(t, openMember(mem, own), &damage, "bit %d", i)
		require.Equal(t, path, damage.Path)
	}
	for size := range sound {
		require.NoError(t, mem.WriteFile(path, sound[:size]))
		require.ErrorIs(t, openMember(mem, own), ErrCorrupt, "cut at %d", size)
	}
	require.NoError(t, mem.WriteFile(path, sealed("walnut replica 2\n")))
	require.ErrorIs(t, openMember(mem, own), ErrVersion, "what a newer program wrote is no damage")
	require.NoError(t, mem.WriteFile(path, sound))
	require.NoError(t, openMember(mem, own))
}
