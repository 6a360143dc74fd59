package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestFollowingEndsWhereNothingCanCome asks for commits that a store of three would make only after others, or can't make any more.
func TestFollowingEndsWhereNothingCanCome(t *testing.T) {
	dir := t.TempDir()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	for range 3 {
		_, err := db.Put([]byte("a"), []byte("1"))
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	for _, c := range []struct {
		line   string
		code   int
		stderr string
		lines  int // Of commits.
	}{
		{"watch --from 5", exitFailed, "kvctl: watch: offset 5 is past the last one, 3\n", 0},
		{"watch --from 5 --until-now", exitFailed, "kvctl: watch: offset 5 is past the last one, 3\n", 0},
		{"watch --from 4 --until-now", exitDone, "", 0},
		{"wal dump --follow --from 5", exitFailed, "kvctl: wal dump: offset 5 is past the last one, 3\n", 0},
		{"wal dump --follow -o json --until 2000-01-01T00:00:00Z", exitDone, "", 0},
		{"wal dump --follow -o json --until " + time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano), exitDone, "", 3},
		{"wal dump --follow -o json --from 4 --until 2000-01-01T00:00:00Z", exitDone, "", 0},
	} {
		t.Run(c.line, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var out, stderr strings.Builder
			cmd := exec.CommandContext(ctx, "kvctl", append([]string{"--dir", dir}, strings.Fields(c.line)...)...)
			cmd.Stdout, cmd.Stderr = &out, &stderr
			_ = cmd.Run() // The exit code says how it ended.
			require.Equal(t, c.code, cmd.ProcessState.ExitCode(), stderr.String())
			require.Equal(t, c.stderr, stderr.String())
			require.Equal(t, c.lines, strings.Count(out.String(), "\n"))
		})
	}
}
