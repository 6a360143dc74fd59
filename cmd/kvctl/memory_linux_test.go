package main

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestALineOf100MBIsRefusedInConstantMemory sends one line ten times as long as the other: both take the same memory.
func TestALineOf100MBIsRefusedInConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	peak := func(megabytes int) float64 {
		cmd := exec.Command("kvctl", "--dir", filepath.Join(t.TempDir(), "store"), "import", "-")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		// The import ends before it has read all of it, which makes a write fail.
		chunk := []byte(strings.Repeat("x", 1e6))
		_, err = io.WriteString(stdin, `{"key":"a","value":"`)
		for range megabytes {
			if err == nil {
				_, err = stdin.Write(chunk)
			}
		}
		require.ErrorIs(t, err, syscall.EPIPE)
		require.Error(t, cmd.Wait())
		want := fmt.Sprintf("kvctl: import: standard input line 1: longer than %d bytes; nothing was written\n", maxLine)
		require.Equal(t, want, newStore.ReplaceAllString(stderr.String(), ""))
		return float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	}
	require.Less(t, peak(1000), 1.5*peak(100))
}
