package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// watchTo lets a node yield its commits from an offset on, up to another or a later one, and returns the error.
func watchTo(t *testing.T, node *Cluster, from, last uint64) error {
	for commit, err := range node.DB().Watch(soon(t), kv.WatchOptions{From: from}) {
		if err != nil || commit.Offset >= last {
			return err
		}
	}
	return nil
}

func TestAnArchiveInANodesDirectoryIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "alone")
	link := dir + "-link"
	require.NoError(t, os.Symlink(dir, link))
	for _, archive := range []string{dir, filepath.Join(dir, "archive"), filepath.Join(dir, storeName), link} {
		o := least()
		o.Store.ArchiveDir = archive
		node, err := Open(soon(t), dir, o)
		if err == nil {
			require.NoError(t, node.Close())
		}
		require.ErrorIs(t, err, ErrOption)
		require.ErrorContains(t, err, archive)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestANodesArchiveLeadsBackToAnyMoment also has a follower that is sent a snapshot, which leaves a gap in its archive.
func TestANodesArchiveLeadsBackToAnyMoment(t *testing.T) {
	archives := t.TempDir()
	c := newTrioWith(t, func(o *Options) {
		o.TrailingLogs, o.Store.SegmentSize, o.Store.ArchiveDir = 1, 16<<10, filepath.Join(archives, o.Node)
	})
	c.put("key", "1")
	var backup bytes.Buffer
	_, err := c.nodes[c.follower()].DB().Backup(soon(t), &backup)
	require.NoError(t, err)
	c.put("key", "2")
	late := c.follower()
	c.requireShows(late, "key", "2")
	moment := c.nodes[late].DB().Offset()
	c.stop(late)
	c.put("key", "3")
	for round := range 3 {
		c.fill(fmt.Sprint(round, " "), 400)
		for name := range c.nodes {
			c.checkpoint(name)
		}
	}
	name := c.leader()
	leader := c.nodes[name].DB()
	require.Greater(t, leader.Stats().First, moment+1, "it was truncated")
	require.NoError(t, watchTo(t, c.nodes[name], 1, leader.Stats().First))

	dir := filepath.Join(t.TempDir(), "before")
	offset, err := kv.Restore(soon(t), &backup, dir, kv.RestoreOptions{
		Archive: []string{filepath.Join(archives, name), filepath.Join(c.dir, name, "store", "wal")}, ToOffset: moment,
	})
	require.NoError(t, err)
	require.Equal(t, moment, offset)
	before, err := kv.Open(dir, kv.Options{ReadOnly: true})
	require.NoError(t, err)
	value, err := before.Get([]byte("key"))
	require.NoError(t, err)
	require.Equal(t, "2", string(value))
	require.NoError(t, before.Close())

	node := c.open(late)
	c.put("after", "4")
	c.requireShows(late, "after", "4")
	held := node.DB().Stats().First
	require.Greater(t, held, moment+1, "it was sent a snapshot")
	require.ErrorIs(t, watchTo(t, node, 1, held), kv.ErrTruncated)
	require.NoError(t, watchTo(t, node, held, held))
}
