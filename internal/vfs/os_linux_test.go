package vfs

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lockEnv names the file that TestMain locks in a child process, which then waits to be killed.
const lockEnv = "VFS_TEST_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(lockEnv); name != "" {
		if _, err := OS.Lock(name); err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("locked\n")
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestOSCreatesFilesAndDirectoriesForTheOwnerAlone(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o277, 0o777} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			dir := t.TempDir()
			defer syscall.Umask(syscall.Umask(mask))
			requireOwners(t, filepath.Join(dir, "x", "y"))
		})
	}
}

// requireOwners makes directories and files, and checks their modes.
func requireOwners(t *testing.T, dir string) {
	require.NoError(t, OS.MkdirAll(dir))
	create(t, OS, filepath.Join(dir, "a"), "")
	lock, err := OS.Lock(filepath.Join(dir, "LOCK"))
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	for name, mode := range map[string]fs.FileMode{
		filepath.Dir(dir): fs.ModeDir | 0o700, dir: fs.ModeDir | 0o700,
		filepath.Join(dir, "a"): 0o600, filepath.Join(dir, "LOCK"): 0o600,
	} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), name)
	}
}

func TestOSOpenOfAPipeFailsAndDoesNotWaitForAWriter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	for _, open := range []func(string) (File, error){OS.Open, OS.OpenRead} {
		_, err := open(name)
		require.ErrorIs(t, err, errNotRegular)
		requirePath(t, err, name)
	}
}

func TestOSLockNamesTheProcessThatHoldsItAndEndsWithIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), lockEnv+"="+name)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	defer func() { _ = child.Process.Kill() }()
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", said)

	_, err = OS.Lock(name)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, LockedError{Name: name, PID: child.Process.Pid}, *locked)
	require.NoError(t, os.Remove(name))
	_, err = OS.Lock(name)
	require.ErrorIs(t, err, ErrLocked, "a process that finds no lock file is kept out too")

	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	lock, err := OS.Lock(name)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
}

func TestOSLockedErrorHasNoPIDWhereTheFileHasNone(t *testing.T) {
	for _, text := range []string{"", "not a number", "-5", "123456789012345678901234567890"} {
		name := filepath.Join(t.TempDir(), "LOCK")
		lock, err := OS.Lock(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		_, err = OS.Lock(name)
		var locked *LockedError
		require.ErrorAs(t, err, &locked)
		require.Zero(t, locked.PID, text)
		require.NoError(t, lock.Close())
	}
}

func TestOSAllocateTakesSpaceThatTruncateDoesNot(t *testing.T) {
	space := func(f File) int64 {
		require.NoError(t, f.Sync())
		info, err := f.(*osFile).Stat()
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	f := create(t, OS, filepath.Join(t.TempDir(), "a"), "")
	require.NoError(t, f.Truncate(3<<20))
	require.Less(t, space(f), int64(1<<20))
	require.NoError(t, f.Allocate(6<<20))
	require.GreaterOrEqual(t, space(f), int64(3<<20))
}

// The test needs a full disk, so it mounts a small file system, which takes a privilege.
func TestOSAllocateOnAFullDiskLeavesTheOldLengthAndContent(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, 0)) }()
	f, err := OS.Create(filepath.Join(dir, "a"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	write(t, f, 0, "hello")
	require.ErrorIs(t, f.Allocate(5<<20), syscall.ENOSPC)
	require.Equal(t, "hello", read(t, f))
	require.NoError(t, f.Allocate(512<<10))
	free, err := OS.FreeSpace(dir)
	require.NoError(t, err)
	require.Equal(t, int64(512<<10), free)
	size, err := f.Size()
	require.NoError(t, err)
	require.Equal(t, int64(512<<10), size)
}

func TestOSAFullDiskCanBeLocked(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, 0)) }()
	f, err := OS.Create(filepath.Join(dir, "a"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	require.NoError(t, f.Allocate(64<<10))
	name := filepath.Join(dir, "LOCK")
	lock, err := OS.Lock(name)
	require.NoError(t, err)
	_, err = OS.Lock(name)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.Zero(t, locked.PID, "there was no room for it")
	require.NoError(t, lock.Close())
}

func TestOSOpensAndCreatesNoSymbolicLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	target, name := filepath.Join(outside, "target"), filepath.Join(dir, "a")
	create(t, OS, target, "precious")
	for _, to := range []string{target, filepath.Join(outside, "missing"), outside} {
		require.NoError(t, os.Symlink(to, name))
		for _, open := range []func(string) (File, error){OS.Open, OS.OpenRead, OS.Create} {
			_, err := open(name)
			require.ErrorIs(t, err, errSymlink)
			require.ErrorContains(t, err, "symbolic link")
			requirePath(t, err, name)
		}
		_, err := OS.Create(name)
		require.ErrorIs(t, err, fs.ErrExist)
		require.NoError(t, OS.Remove(name))
	}
	require.Equal(t, "precious", read(t, open(t, OS, target)))
	require.Equal(t, []string{"target"}, names(t, OS, outside))

	require.NoError(t, os.Symlink(outside, name))
	require.Equal(t, "precious", read(t, open(t, OS, filepath.Join(name, "target"))), "a directory may be one")
}

func TestOSErrorsOfPermissionCanBeAskedFor(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("the superuser may do everything")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	_, err := OS.Create(filepath.Join(dir, "a"))
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, OS.MkdirAll(filepath.Join(dir, "b")), fs.ErrPermission)
}

func TestOSMakesADirectoryWhereTheParentMayNotBeRead(t *testing.T) {
	parent := t.TempDir()
	require.NoError(t, os.Chmod(parent, 0o300))
	defer func() { require.NoError(t, os.Chmod(parent, 0o700)) }()
	dir := filepath.Join(parent, "a")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, OS.MkdirAll(dir))
}
