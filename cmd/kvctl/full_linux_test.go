package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFullDiskIsNamedAndNothingIsLeftOnIt(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"bench", []string{"--duration", "100ms"}},
		{"crash-test", []string{"--rounds", "1000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1200k"); err != nil {
				t.Skipf("mounting needs root: %v", err)
			}
			t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
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
