//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestARepairWhosePlanNobodyReadsIsRefused closes the pipe that takes the plan before the repair writes it.
func TestARepairWhosePlanNobodyReadsIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	_, err = db.Put([]byte("a"), []byte("1"))
	require.NoError(t, err)
	_, err = db.Put([]byte("b"), []byte("DAMAGED"))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	stores, err := filepath.Glob(filepath.Join(dir, "wal", "*.store"))
	require.NoError(t, err)
	sound, err := os.ReadFile(stores[0])
	require.NoError(t, err)
	broken := bytes.Replace(sound, []byte("DAMAGED"), make([]byte, 7), 1)
	require.NoError(t, os.WriteFile(stores[0], broken, 0o600))

	read, write, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, read.Close())
	cmd := exec.Command("kvctl", "--dir", dir, "wal", "repair", "--apply")
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = write, &stderr
	err = cmd.Run()
	require.NoError(t, write.Close())
	require.ErrorContains(t, err, "exit status 1")
	require.Contains(t, stderr.String(), "closed before the plan was written; nothing was changed")
	after, err := os.ReadFile(stores[0])
	require.NoError(t, err)
	require.Equal(t, broken, after)
}
