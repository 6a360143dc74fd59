package kernel

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// nobody is another user than root.
const nobody = 65534

// asNobody runs kvctl as that user.
func asNobody(t *testing.T, args ...string) ran {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("running a program as another user needs root")
	}
	cmd := exec.Command(kvctlPath(t), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	r, err := run(cmd)
	if err != nil {
		t.Skipf("running a program as another user needs root, and a directory for temporary files that every user may enter: %v", err)
	}
	return r
}

// publicDir returns a directory that every user may enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "walnut-kernel")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// segmented makes a store with two snapshots and some segments.
func segmented(t *testing.T, dir string) *judge {
	t.Helper()
	db, err := kv.Open(dir, kv.Options{SegmentSize: 16 << 10, CheckpointFactor: -1})
	require.NoError(t, err)
	j := newJudge(writers{Count: 2, Kept: 20, Bytes: 500})
	for range 3 {
		for _, err := range j.write(db, 40, nil) {
			require.NoError(t, err)
		}
		if db.Offset() < 200 {
			_, err = db.Checkpoint(t.Context())
			require.NoError(t, err)
		}
	}
	require.NoError(t, db.Close())
	return j
}

// chmodAll gives all files below a directory one mode, and all directories another, and all of them to a user.
func chmodAll(t *testing.T, dir string, file, directory fs.FileMode, user int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.NoError(t, os.Lchown(path, user, user))
		if entry.IsDir() {
			return os.Chmod(path, directory)
		}
		return os.Chmod(path, file)
	}))
}

// TestAUserWithoutPermissionIsRefusedAndChangesNothing lets another user than the owner use a store.
func TestAUserWithoutPermissionIsRefusedAndChangesNothing(t *testing.T) {
	const ok, denied = 0, 1
	requireRan(t, 0, "", asNobody(t, "version")) // Or skip all of it.
	newest := func(dir, pattern string) string {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		return found[len(found)-1]
	}
	chmod := func(name string, mode fs.FileMode) { require.NoError(t, os.Chmod(name, mode)) }
	for _, c := range []struct {
		name    string
		prepare func(dir string)
		reads   int    // The exit code of commands that read.
		writes  int    // That of commands that write.
		names   string // Which file the refusals name.
	}{
		{"the store belongs to another user", func(string) {}, denied, denied, "store"},
		{"the store may be read and not written", func(dir string) { chmodAll(t, dir, 0o644, 0o755, 0) }, ok, denied, "LOCK"},
		{"the directory of the log may not be entered", func(dir string) {
			chmodAll(t, dir, 0o600, 0o700, nobody)
			chmod(filepath.Join(dir, "wal"), 0)
		}, denied, denied, "wal"},
		{"a segment may not be read", func(dir string) {
			chmodAll(t, dir, 0o600, 0o700, nobody)
			chmod(newest(dir, "wal/*.store"), 0)
		}, denied, denied, ".store"},
		{"the newest segment may be read and not written", func(dir string) {
			chmodAll(t, dir, 0o600, 0o700, nobody)
			chmod(newest(dir, "wal/*.store"), 0o400)
		}, ok, denied, ".store"},
		{"LOCK may not be written", func(dir string) {
			chmodAll(t, dir, 0o600, 0o700, nobody)
			chmod(filepath.Join(dir, "LOCK"), 0o400)
		}, ok, denied, "LOCK"},
		{"LOCK is gone and can't be made", func(dir string) {
			chmodAll(t, dir, 0o600, 0o700, nobody)
			require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
			chmod(dir, 0o500)
		}, ok, denied, "LOCK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parent := publicDir(t)
			dir := filepath.Join(parent, "store")
			segmented(t, dir)
			c.prepare(dir)
			before := files(t, parent)
			refused := `^kvctl: .*` + c.names + `: permission denied\n$`
			try := func(want int, commands ...string) {
				for _, command := range commands {
					r := asNobody(t, append([]string{"--dir", dir}, strings.Fields(command)...)...)
					require.Equal(t, want, r.code, "%s: %+v", command, r)
					require.Regexp(t, map[int]string{ok: "^$", denied: refused}[want], r.stderr, command)
					after := files(t, parent)
					if lock := filepath.Join(dir, "LOCK"); after[lock] != "" {
						after[lock] = before[lock] // It names the process.
					}
					require.Equal(t, before, after, "%s changed something", command)
				}
			}
			try(c.writes, "put a 1", "del 0/left", "checkpoint", "import -")
			try(c.reads, "get 0/left", "scan --count", "stats", "check", "wal verify", "export", "watch --until-now")
		})
	}
}

// TestANewStoreWhereNothingMayBeMadeIsRefused lets a user make a store, a backup and a restore in a directory of another one.
func TestANewStoreWhereNothingMayBeMadeIsRefused(t *testing.T) {
	requireRan(t, 0, "", asNobody(t, "version")) // Or skip all of it.
	parent := publicDir(t)
	requireRan(t, 0, "", kvctl(t, "--dir", filepath.Join(parent, "store"), "put", "a", "1"))
	requireRan(t, 0, "", kvctl(t, "--dir", filepath.Join(parent, "store"), "backup", filepath.Join(parent, "backup")))
	chmodAll(t, parent, 0o644, 0o755, 0)
	before := files(t, parent)
	for _, command := range []string{
		"--dir %/new put a 1", "--dir %/new/deeper put a 1", "--dir %/new restore %/backup", "--dir %/store backup %/second",
		"--dir %/store backup --force %/backup", "--dir % bench --duration 10ms",
	} {
		r := asNobody(t, strings.Fields(strings.ReplaceAll(command, "%", parent))...)
		require.Equal(t, 1, r.code, command)
		require.Regexp(t, `^kvctl: .*`+parent+`.*: permission denied\n$`, r.stderr, command)
		require.Equal(t, before, files(t, parent), command)
	}
}

// TestEverythingThatAStoreMakesIsForItsOwnerAlone makes whatever a store makes, under a umask that takes nothing away.
func TestEverythingThatAStoreMakesIsForItsOwnerAlone(t *testing.T) {
	dir := publicDir(t)
	script := `set -e
umask 0
for i in 1 2 3; do "$0" --dir store put $i $i; "$0" --dir store checkpoint --archive archive; done
printf x >>$(ls store/wal/*.store | tail -n 1)
"$0" --dir store put 4 4
"$0" --dir store backup backup
"$0" --dir copy restore backup`
	cmd := exec.Command("sh", "-c", script, kvctlPath(t))
	cmd.Dir = dir
	r, err := run(cmd)
	require.NoError(t, err)
	require.Zero(t, r.code, r.stderr)
	found := files(t, dir)
	require.Greater(t, len(found), 15)
	for name, file := range found {
		if name != dir {
			require.Regexp(t, "^(drwx------|-rw-------) ", file, name)
		}
	}
}
