//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A child process has copies of all descriptors between fork and exec. The test makes such copies itself.
func TestALockIsReleasedThoughAProcessBeingStartedHasItsFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	held, err := lockFile(name)
	require.NoError(t, err)
	for _, f := range []*os.File{held.(*osLock).file, held.(*osLock).dir} {
		inherited, err := syscall.Dup(int(f.Fd()))
		require.NoError(t, err)
		defer func() { require.NoError(t, syscall.Close(inherited)) }()
	}
	require.NoError(t, held.Close())
	again, err := lockFile(name)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestALockThatIsASymbolicLinkIsRefusedAndItsTargetUntouched(t *testing.T) {
	dir := t.TempDir()
	target, name := filepath.Join(dir, "target"), filepath.Join(dir, "LOCK")
	require.NoError(t, os.WriteFile(target, []byte("precious"), 0o600))
	for _, to := range []string{target, filepath.Join(dir, "missing"), dir} {
		require.NoError(t, os.Symlink(to, name))
		_, err := OS.Lock(name)
		require.ErrorIs(t, err, errSymlink)
		requirePath(t, err, name)
		require.NoError(t, os.Remove(name))
	}
	content, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "precious", string(content))
	require.Equal(t, []string{"target"}, names(t, OS, dir))
}

func TestALockThatIsASecondNameOfAnothersFileIsRefusedAndThatUntouched(t *testing.T) {
	dir := t.TempDir()
	target, name := filepath.Join(dir, "target"), filepath.Join(dir, "LOCK")
	for _, precious := range []string{"precious", "12\n13", " ", "\x00\x00"} {
		require.NoError(t, os.WriteFile(target, []byte(precious), 0o600))
		require.NoError(t, os.Link(target, name))
		_, err := OS.Lock(name)
		require.ErrorIs(t, err, errNotLock)
		require.ErrorContains(t, err, name)
		content, err := os.ReadFile(target)
		require.NoError(t, err)
		require.Equal(t, precious, string(content))
		require.NoError(t, os.Remove(name))
	}
	for _, left := range []string{"", "123\n", "9223372036854775807\n"} { // As in a copy of a store that is made of links.
		require.NoError(t, os.WriteFile(target, []byte(left), 0o600))
		require.NoError(t, os.Link(target, name))
		lock, err := OS.Lock(name)
		require.NoError(t, err)
		require.NoError(t, lock.Close())
		require.NoError(t, os.Remove(name))
	}
	require.NoError(t, os.WriteFile(name, []byte("what a power cut left"), 0o600))
	lock, err := OS.Lock(name)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
}

func TestALockWhoseFileIsRemovedBeforeItIsLockedIsTakenAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	takes := 0
	losing := func(losses int) (*osLock, error) {
		takes = 0
		return untilHeld(func() (*osLock, error) {
			l, err := takeLock(name)
			if takes++; takes <= losses {
				require.NoError(t, os.Remove(name))
			}
			return l, err
		})
	}
	l, err := losing(3)
	require.NoError(t, err)
	require.Equal(t, 4, takes)
	require.NoError(t, l.Held())
	require.NoError(t, l.Close())

	_, err = losing(1000)
	require.ErrorIs(t, err, ErrLockLost)
	require.Equal(t, lockTries, takes)
	again, err := OS.Lock(name)
	require.NoError(t, err, "what was taken in vain is released")
	require.NoError(t, again.Close())
}

// flocked locks a file or a directory as another program would.
func flocked(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	require.NoError(t, flock(f))
}

func TestALockOfTheFileAloneKeepsOut(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	require.NoError(t, os.WriteFile(name, []byte("1234"), 0o600))
	flocked(t, name)
	_, err := OS.Lock(name)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, LockedError{Name: name, PID: 1234}, *locked)
}

func TestALockOfTheDirectoryAloneKeepsOutAndNamesNoProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	require.NoError(t, os.WriteFile(name, []byte("1234"), 0o600)) // Left by an earlier holder.
	flocked(t, filepath.Dir(name))
	_, err := OS.Lock(name)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, LockedError{Name: name}, *locked)
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "1234", string(content))
}

// TestALockOfTheFileAloneIsLostWithIt is about a file system that can't lock directories.
func TestALockOfTheFileAloneIsLostWithIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	l, err := takeLock(name)
	require.NoError(t, err)
	require.NoError(t, l.dir.Close())
	l.dir, l.dirInfo = nil, nil
	require.NoError(t, l.Held())
	require.NoError(t, os.Rename(name, name+".aside"))
	require.ErrorIs(t, l.Held(), ErrLockLost)
	other, err := OS.Lock(name)
	require.NoError(t, err)
	require.ErrorIs(t, l.Held(), ErrLockLost, "the file is another one")
	require.NoError(t, other.Close())
	require.NoError(t, os.Rename(name+".aside", name))
	require.NoError(t, l.Held(), "the file is back")
	require.NoError(t, l.Close())
}

func TestALockIsLostWhenItsDirectoryIsMoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.Mkdir(dir, 0o700))
	held, err := OS.Lock(filepath.Join(dir, "LOCK"))
	require.NoError(t, err)
	require.NoError(t, os.Rename(dir, dir+".old"))
	require.ErrorIs(t, held.Held(), ErrLockLost)
	require.NoError(t, os.Symlink(dir+".old", dir))
	require.NoError(t, held.Held(), "the name leads to it again")
	require.NoError(t, held.Close())
}
