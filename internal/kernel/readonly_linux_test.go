package kernel

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestAStoreOnAReadOnlyMountIsReadAndNotWritten mounts a directory read-only beside its live writer. Readers and followers there see
// what the writer commits; a command that writes says clearly why it can't.
func TestAStoreOnAReadOnlyMountIsReadAndNotWritten(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "store")
	j := newJudge(writers{Count: 2, Kept: 50, Bytes: 100})
	p := j.start(t, task{Dir: dir, SegmentSize: 16 << 10, More: 200})
	require.Empty(t, p.until("ended"))
	mounted := readOnlyAt(t, parent)
	readOnly := filepath.Join(mounted, "store")
	follower, err := kv.Open(readOnly, kv.Options{ReadOnly: true, Follow: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, follower.Close()) }()
	j.requireIn(t, openToRead(t, readOnly))

	requireReadOnly := func(named string) {
		_, err := kv.Open(named, kv.Options{})
		require.ErrorIs(t, err, syscall.EROFS)
		for _, command := range [][]string{{"put", "a", "1"}, {"checkpoint"}, {"del", "a"}} {
			requireRan(t, 1, `^kvctl: .*: read-only file system\n$`, kvctl(t, append([]string{"--dir", named}, command...)...))
		}
		for _, command := range [][]string{{"get", "0/left"}, {"scan", "--count"}, {"stats"}, {"check"}, {"wal", "ls"}, {"backup", filepath.Join(t.TempDir(), "b")}} {
			requireRan(t, 0, ``, kvctl(t, append([]string{"--dir", named}, command...)...))
		}
	}
	requireReadOnly(readOnly)
	requireRan(t, 1, `^kvctl: .*: read-only file system\n$`, kvctl(t, "--dir", filepath.Join(mounted, "new"), "put", "a", "1"))
	require.Empty(t, p.close())

	p = j.start(t, task{Dir: dir, SegmentSize: 16 << 10, More: 200})
	require.Empty(t, p.until("ended"))
	require.Eventually(t, func() bool {
		_, err := j.find(follower)
		return err == nil
	}, 10*time.Second, time.Millisecond)
	p.kill()
	requireReadOnly(readOnly)
	j.require(t, dir, kv.Options{})
}

// TestAFileSystemThatBecomesReadOnlyUnderAWriterStopsItAlone makes ext4 find an error in itself, which makes it read-only while a
// store is being written. The writers are refused, reads go on, and others can open the store for reading. Mounted again, it has
// everything that was acknowledged.
func TestAFileSystemThatBecomesReadOnlyUnderAWriterStopsItAlone(t *testing.T) {
	disk := newExt4(t)
	dir := filepath.Join(disk.dir, "store")
	j := newJudge(writers{Count: 4, Kept: 16, Bytes: 500})
	p := j.start(t, task{Dir: dir, SegmentSize: 64 << 10, Checkpoint: 128 << 10})
	p.steps(500)
	disk.fail()
	require.Empty(t, p.until("ended"), "reads go on")
	require.Contains(t, strings.Join(p.everything(), "\n"), "read-only file system")

	db, err := kv.Open(dir, kv.Options{ReadOnly: true})
	require.NoError(t, err)
	j.requireIn(t, db)
	require.NoError(t, db.Close())
	requireRan(t, 0, "", kvctl(t, "--dir", dir, "scan", "--count"))
	requireRan(t, 1, `^kvctl: .*: read-only file system\n$`, kvctl(t, "--dir", dir, "put", "a", "1"))
	p.kill()
	requireRan(t, 1, `^kvctl: .*: read-only file system\n$`, kvctl(t, "--dir", dir, "put", "a", "1"))
	disk.mountAgain()
	j.require(t, dir, kv.Options{})
}
