package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// createIn returns a backup file named copy in a new directory, with some bytes in it.
func createIn(t *testing.T, force bool) (file *backupFile, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "copy")
	file, err := createBackupFile(path, force)
	require.NoError(t, err)
	_, err = file.WriteString("whole")
	require.NoError(t, err)
	return file, path
}

func TestABackupFileHasItsNameOnlyOnceItIsKept(t *testing.T) {
	file, path := createIn(t, false)
	require.NoFileExists(t, path)
	require.NoError(t, file.keep())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "whole", string(data))
	require.NoFileExists(t, path+".tmp")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm(), "a backup is as private as the store")
}

func TestABackupFileThatIsDiscardedLeavesNothing(t *testing.T) {
	file, path := createIn(t, false)
	file.discard()
	require.NoFileExists(t, path)
	require.NoFileExists(t, path+".tmp")
}

// TestABackupFileThatIsClosedIsDiscardedToo shows what happens after a rename that fails, as onto a mount point: the file is closed by then.
func TestABackupFileThatIsClosedIsDiscardedToo(t *testing.T) {
	file, path := createIn(t, false)
	require.NoError(t, file.Close())
	file.discard()
	require.NoFileExists(t, path+".tmp", "the next backup would take it for one in progress")
}

func TestABackupToAFileWithoutANameIsWrongUsage(t *testing.T) {
	for _, command := range [][]string{{"--dir", t.TempDir(), "backup", ""}, {"cluster", "backup", ""}} {
		var out, stderr bytes.Buffer
		require.Equal(t, exitUsage, run(command, nil, &out, &stderr, func(string) string { return "" }))
		require.Equal(t, "kvctl: backup: the file's name is empty\n", stderr.String())
	}
}

func TestABackupDoesNotReplaceAFileCreatedMeanwhile(t *testing.T) {
	file, path := createIn(t, false)
	require.NoError(t, os.WriteFile(path, []byte("theirs"), 0o600))
	require.ErrorContains(t, file.keep(), "exists already")
	file.discard()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "theirs", string(data))
	require.NoFileExists(t, path+".tmp")
}

func TestABackupDoesNotGiveItsNameToTheBytesOfAnother(t *testing.T) {
	file, path := createIn(t, true)
	second, err := createBackupFile(path, true)
	require.NoError(t, err, "--force replaces a backup in progress")
	require.ErrorContains(t, file.keep(), "another backup took over the writing of "+path)
	file.discard()
	require.FileExists(t, path+".tmp", "it belongs to the other backup")
	require.NoError(t, second.keep())
}

func TestAnErrorNamesTheBackupAndNeverItsTemporaryFile(t *testing.T) {
	for _, c := range []struct {
		name string
		err  func(t *testing.T) error
	}{
		{"no directory to create it in", func(t *testing.T) error {
			_, err := createBackupFile(filepath.Join(t.TempDir(), "missing", "copy"), false)
			return err
		}},
		{"a temporary file that can't be replaced", func(t *testing.T) error {
			path := filepath.Join(t.TempDir(), "copy")
			require.NoError(t, os.MkdirAll(filepath.Join(path+".tmp", "full"), 0o700))
			_, err := createBackupFile(path, true)
			return err
		}},
		{"a write that fails", func(t *testing.T) error {
			file, _ := createIn(t, false)
			require.NoError(t, file.Close())
			_, err := file.Write([]byte("more"))
			return err
		}},
		{"a sync that fails", func(t *testing.T) error {
			file, _ := createIn(t, false)
			require.NoError(t, file.Close())
			return file.keep()
		}},
		{"a temporary file that is gone", func(t *testing.T) error {
			file, path := createIn(t, false)
			require.NoError(t, os.Remove(path+".tmp"))
			return file.keep()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.err(t)
			require.ErrorContains(t, err, "copy")
			require.NotContains(t, err.Error(), ".tmp")
		})
	}
}

func TestABackupFileIsNotSharedByTwoBackups(t *testing.T) {
	file, path := createIn(t, false)
	_, err := createBackupFile(path, false)
	require.ErrorContains(t, err, "another backup is writing "+path+",")
	require.NoError(t, file.keep())
}

// TestABackupReplacesNoFileOfItsStore names files of the log, the lock, and one by way of a link to the directory.
func TestABackupReplacesNoFileOfItsStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	kvctl := func(args ...string) (code int, stderr string) {
		var out, said bytes.Buffer
		code = run(append([]string{"--dir", dir}, args...), nil, &out, &said, func(string) string { return "" })
		return code, said.String()
	}
	code, stderr := kvctl("put", "a", "1")
	require.Zero(t, code, stderr)
	logs, err := filepath.Glob(filepath.Join(dir, "wal", "*.store"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(dir, dir+"-link"))
	for _, path := range []string{logs[0], filepath.Join(dir, "LOCK"), filepath.Join(dir+"-link", "LOCK")} {
		code, stderr := kvctl("backup", "--force", path)
		require.Equal(t, exitFailed, code)
		require.Equal(t, "kvctl: backup: "+path+" is a file in the store itself; name one elsewhere\n", stderr)
		require.NoFileExists(t, path+".tmp")
	}
	code, stderr = kvctl("check")
	require.Zero(t, code, stderr)
	code, stderr = kvctl("backup", "--force", dir+".walnut")
	require.Zero(t, code, stderr)
}
