package kernel

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestALimitOnTheSizeOfFilesRefusesWriters lets a process have no file over 100 KB, by RLIMIT_FSIZE, with segments that are to become
// larger. The signal that comes with it ends nothing, the writers are refused for a reason that is named, and reads go on. Without the
// limit the store goes on from what was acknowledged.
func TestALimitOnTheSizeOfFilesRefusesWriters(t *testing.T) {
	for _, mode := range []kv.SyncMode{kv.SyncAlways, kv.SyncInterval, kv.SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := t.TempDir()
			j := newJudge(writers{Count: 4, Kept: 1000, Bytes: 1000})
			for range 2 { // The second process opens what the first has left.
				p := j.start(t, task{Dir: dir, Sync: mode, SegmentSize: 1 << 20, FileSize: 100 << 10})
				require.Empty(t, p.until("ended"), "reads go on")
				require.Regexp(t, `writer 0 ended: kv: commit refused: .*: file too large`, strings.Join(p.everything(), "\n"))
				require.Empty(t, p.close())
				require.Greater(t, j.sum(), 50)
				j.require(t, dir, kv.Options{Sync: mode, CheckpointFactor: -1})
			}
			p := j.start(t, task{Dir: dir, Sync: mode, SegmentSize: 1 << 20, Checkpoint: 64 << 10, More: 300})
			require.Empty(t, p.until("ended"))
			require.Empty(t, p.close())
			require.Greater(t, j.sum(), 1200)
			j.require(t, dir, kv.Options{})
		})
	}
}

// TestKvctlNamesALimitOnTheSizeOfFiles lets kvctl meet such a limit, as a shell sets it.
func TestKvctlNamesALimitOnTheSizeOfFiles(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	db, err := kv.Open(source, kv.Options{Sync: kv.SyncNever})
	require.NoError(t, err)
	j := newJudge(writers{Count: 1, Kept: 300, Bytes: 1000})
	require.NoError(t, j.write(db, 300, nil)[0])
	require.NoError(t, db.Close())
	backup := filepath.Join(dir, "backup")
	requireRan(t, 0, "", kvctl(t, "--dir", source, "backup", backup))
	before := files(t, dir)
	for _, c := range []struct {
		says string
		args []string
	}{
		{"^kvctl: backup to .*: write .*/second: file too large\n$", []string{"--dir", source, "backup", filepath.Join(dir, "second")}},
		{"^kvctl: restore .*: no space left: .*: file too large\n$", []string{"--dir", filepath.Join(dir, "copy"), "restore", backup}},
		{"^kvctl: checkpoint: no space left: .*: file too large\n$", []string{"--dir", source, "checkpoint"}},
	} {
		// A shell counts in blocks of 512 bytes.
		r, err := run(exec.Command("sh", append([]string{"-c", `ulimit -f 100; exec "$0" "$@"`, kvctlPath(t)}, c.args...)...))
		require.NoError(t, err)
		requireRan(t, 1, c.says, r)
		if c.args[2] != "checkpoint" {
			require.Equal(t, before, files(t, dir))
		}
	}
	j.require(t, source, kv.Options{})
}
