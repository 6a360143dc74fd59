package kernel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestASecondWriterIsRefusedByWhateverNameItComes gives the directory of a store that another process writes by other names: all are
// refused at once, and the error names that process. Readers are let in.
func TestASecondWriterIsRefusedByWhateverNameItComes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	j := newJudge(writers{Count: 2, Kept: 10, Bytes: 10})
	p := j.start(t, task{Dir: dir, SegmentSize: 1 << 20, More: 20})
	require.Empty(t, p.until("ended"))
	holder := p.cmd.Process.Pid
	for _, c := range []struct {
		name string
		dir  func(t *testing.T) string
	}{
		{"its own name", func(*testing.T) string { return dir }},
		{"a name that goes up and down", func(*testing.T) string { return dir + "/wal/../../store/." }},
		{"a relative name", func(t *testing.T) string {
			t.Chdir(filepath.Dir(dir))
			return "store"
		}},
		{"another relative name", func(t *testing.T) string {
			t.Chdir(filepath.Join(dir, "wal"))
			return ".."
		}},
		{"a symbolic link", func(t *testing.T) string {
			link := filepath.Join(t.TempDir(), "link")
			require.NoError(t, os.Symlink(dir, link))
			return link
		}},
		{"a symbolic link above it", func(t *testing.T) string {
			link := filepath.Join(t.TempDir(), "link")
			require.NoError(t, os.Symlink(filepath.Dir(dir), link))
			return filepath.Join(link, "store")
		}},
		{"a mount of it", func(t *testing.T) string { return mount(t, dir, "", syscall.MS_BIND, "") }},
		{"a mount of what is above it", func(t *testing.T) string {
			return filepath.Join(mount(t, filepath.Dir(dir), "", syscall.MS_BIND, ""), "store")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := c.dir(t)
			started := time.Now()
			_, err := kv.Open(name, kv.Options{})
			require.Less(t, time.Since(started), 5*time.Second)
			var locked *kv.LockedError
			require.ErrorAs(t, err, &locked)
			require.ErrorIs(t, err, kv.ErrLocked)
			require.Equal(t, holder, locked.PID)
			requireRan(t, 1, fmt.Sprintf("^kvctl: .*LOCK is locked by process %d; ", holder), kvctl(t, "--dir", name, "put", "a", "1"))
			requireRan(t, 0, "^$", kvctl(t, "--dir", name, "scan", "--count"))
			j.requireIn(t, openToRead(t, name))
		})
	}
	require.Empty(t, p.close())
	requireRan(t, 0, "^$", kvctl(t, "--dir", dir, "put", "a", "1"))
}

// openToRead opens a store for reading until the test ends.
func openToRead(t *testing.T, dir string) *kv.DB {
	t.Helper()
	db, err := kv.Open(dir, kv.Options{ReadOnly: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// TestOneOfManyProcessesHasTheStore lets processes fight for one store: each that gets in takes some steps and leaves. No step is
// taken twice, and none is lost.
func TestOneOfManyProcessesHasTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	path := kvctlPath(t)
	const processes, each = 4, 10
	ends := make(chan error, processes)
	for p := range processes {
		go func() {
			for i := 0; i < each; {
				r, err := run(exec.Command(path, "--dir", dir, "put", fmt.Sprintf("%d/%d", p, i), "x"))
				switch {
				case err != nil:
					ends <- err
					return
				case r.code == 0:
					i++
				case r.code != 1 || !strings.Contains(r.stderr, "is locked by"):
					ends <- errors.New(r.stderr)
					return
				}
			}
			ends <- nil
		}()
	}
	for range processes {
		require.NoError(t, <-ends)
	}
	r := kvctl(t, "--dir", dir, "scan", "--count")
	requireRan(t, 0, "^$", r)
	require.Equal(t, fmt.Sprintln(processes*each), r.stdout)
	requireSound(t, dir)
}
