package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// smallDisk returns a disk of 1,200 KiB.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1200k"); err != nil {
		t.Skipf("mounting needs root: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

func TestFullDiskIsNamedAndNothingIsLeftOnIt(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"bench", []string{"--duration", "100ms"}},
		{"crash-test", []string{"--rounds", "1000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := smallDisk(t)
			out, err := exec.Command("kvctl", append([]string{"--dir", dir, c.name}, c.args...)...).CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, exitFailed, exit.ExitCode())
			require.Regexp(t, `(?m)^kvctl: `+c.name+`: the disk of .* is full: `, string(out))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// TestARepairWithoutRoomForItsCopiesChangesNothing shows that what is cut stays where it is until there is room for a copy.
func TestARepairWithoutRoomForItsCopiesChangesNothing(t *testing.T) {
	dir := smallDisk(t)
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	for _, value := range []string{"SOUND", "DAMAGED" + strings.Repeat("x", 800<<10)} {
		_, err = db.Put([]byte(value[:5]), []byte(value))
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	path := filepath.Join(dir, "wal", "00000000000000000001.store")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = file.WriteAt(make([]byte, 7), int64(bytes.Index(sound, []byte("DAMAGED"))))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	out, err := exec.Command("kvctl", "--dir", dir, "wal", "repair", "--apply").CombinedOutput()
	require.ErrorContains(t, err, "exit status 1")
	require.Regexp(t, `no space left.*; nothing is lost: make room for a copy of what is cut, 8\d{5} bytes, and run it again\n$`, string(out))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after))
}

func TestAFullDiskIsAnErrorReplyAndReadsGoOn(t *testing.T) {
	s := serveDir(t, smallDisk(t))
	require.Equal(t, []string{"+OK"}, s.ask("SET a 1"))
	value := strings.Repeat("x", 60<<10)
	full := ""
	for i := 0; i < 40 && full == ""; i++ {
		if answer := s.ask(fmt.Sprintf("SET %d %s", i, value))[0]; answer != "+OK" {
			full = answer
		}
	}
	require.Regexp(t, "^-MISCONF .*no space", full)
	require.Equal(t, []string{"1", "+OK"}, s.ask("GET a", "CLIENT SETNAME x"))
	require.NoError(t, s.Process.Signal(syscall.SIGTERM))
	_ = s.Wait() // The disk is full.
	require.NotContains(t, s.said(), "panic")
}
