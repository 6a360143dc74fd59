package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// newCompressedBackup returns the path of a backup that gzip has compressed, and a function that runs kvctl.
func newCompressedBackup(t *testing.T) (path string, kvctl func(args ...string) (code int, out, stderr string)) {
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Put([]byte("a"), []byte("1"))
	require.NoError(t, err)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = db.Backup(t.Context(), z)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	path = filepath.Join(t.TempDir(), "a.walnut.gz")
	require.NoError(t, os.WriteFile(path, packed.Bytes(), 0o600))
	return path, func(args ...string) (int, string, string) {
		var out, stderr bytes.Buffer
		code := run(args, nil, &out, &stderr, func(string) string { return "" })
		return code, out.String(), stderr.String()
	}
}

func TestACompressedBackupIsNotDamaged(t *testing.T) {
	path, kvctl := newCompressedBackup(t)
	code, out, stderr := kvctl("snapshot", "verify", path)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "failed  "+path+": compressed with gzip; decompress it first\n1 snapshot verified, 0 damaged\n", out)
	require.Equal(t, "kvctl: snapshot verify: "+path+": compressed with gzip; decompress it first\n", stderr)
	code, out, stderr = kvctl("snapshot", "inspect", path)
	require.Equal(t, []any{exitFailed, ""}, []any{code, out})
	require.Equal(t, "kvctl: snapshot inspect: "+path+": compressed with gzip; decompress it first\n", stderr)
}

// TestARestoreWarnsOfACompressedFileThatIsCut cuts a part of gzip's checksum off, after the last byte of the backup.
func TestARestoreWarnsOfACompressedFileThatIsCut(t *testing.T) {
	path, kvctl := newCompressedBackup(t)
	code, out, stderr := kvctl("--dir", filepath.Join(t.TempDir(), "whole"), "restore", path)
	require.Equal(t, []any{exitDone, "1\n", ""}, []any{code, out, stderr})
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()-5))
	code, out, stderr = kvctl("--dir", filepath.Join(t.TempDir(), "cut"), "restore", path)
	require.Equal(t, []any{exitDone, "1\n"}, []any{code, out}, "the backup was whole")
	require.Contains(t, stderr, "the file is cut or damaged after it; copy it again")
	require.Contains(t, stderr, "unexpected EOF")
}
