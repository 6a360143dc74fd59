package vfs

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// holdNext holds back the next write to a file. wrote gets that write's error once it has returned.
func holdNext(t *testing.T, mem *Mem, f File, off int64, data string) (release func(), wrote <-chan error) {
	t.Helper()
	begun, release := mem.HoldWrite(func(c Call) bool { return c.Op == OpWrite && c.Off == off })
	t.Cleanup(release)
	outcome := make(chan error, 1)
	go func() {
		_, err := f.WriteAt([]byte(data), off)
		outcome <- err
	}()
	<-begun
	return release, outcome
}

func TestAHeldWriteOutlivesCloseAndLandsInTheFileOpenedAgain(t *testing.T) {
	mem, f := synced(t, "--------")
	release, wrote := holdNext(t, mem, f, 2, "late")
	write(t, f, 0, "a")
	require.NoError(t, f.Close())
	again := open(t, mem, "a")
	write(t, again, 3, "next")
	require.NoError(t, again.Sync())
	require.Equal(t, "a--next-", read(t, again))
	require.Empty(t, wrote)

	release()
	require.NoError(t, <-wrote)
	require.Equal(t, "a-latet-", read(t, again))
	require.Equal(t, "a--next-", contentOf(mem.Crash(0, KeepNone), "a"), "a sync that ended before it landed doesn't cover it")
	require.NoError(t, again.Sync())
	require.Equal(t, "a-latet-", contentOf(mem.Crash(0, KeepNone), "a"))
	release()
}

func TestAHeldWriteFollowsItsFileAndNotItsName(t *testing.T) {
	mem, f := synced(t, "old")
	release, wrote := holdNext(t, mem, f, 0, "new")
	require.NoError(t, mem.Rename("a", "b"))
	create(t, mem, "a", "other")
	release()
	require.NoError(t, <-wrote)
	require.Equal(t, "other", contentOf(mem, "a"))
	require.Equal(t, "new", contentOf(mem, "b"))

	release, wrote = holdNext(t, mem, f, 1, "x")
	require.NoError(t, mem.Remove("b"))
	release()
	require.NoError(t, <-wrote)
	require.Equal(t, []string{"/a"}, mem.Names())
}

func TestAHeldWriteTakesItsSpaceWhenItLands(t *testing.T) {
	mem, f := synced(t, "hello")
	mem.SetCapacity(2 * blockSize)
	release, wrote := holdNext(t, mem, f, blockSize, "past the first block")
	create(t, mem, "b", "takes the last block")
	release()
	require.ErrorIs(t, <-wrote, syscall.ENOSPC)
	require.Equal(t, "hello", read(t, f))
}

func TestAHeldWriteLandsAfterWhatWasStoredThroughAMappingMeanwhile(t *testing.T) {
	mem, f := synced(t, strings.Repeat("-", 8))
	m, err := f.Map(8)
	require.NoError(t, err)
	release, wrote := holdNext(t, mem, f, 2, "l--e") // In the middle the bytes that were there before the stores.
	copy(m.Bytes(), "mapped")
	release()
	require.NoError(t, <-wrote)
	require.Equal(t, "mal--e--", read(t, f))
	require.Equal(t, "mal--e--", string(m.Bytes()))
	require.NoError(t, m.Close())
}

func TestOnlyTheFirstWriteThatMatchesIsHeld(t *testing.T) {
	mem, f := synced(t, "--------")
	release, wrote := holdNext(t, mem, f, 2, "late")
	write(t, f, 2, "xx")
	write(t, f, 4, "yy")
	release()
	require.NoError(t, <-wrote)
	require.Equal(t, "--late--", read(t, f))
}

func TestAWriteThatFailsBeforeItBeginsIsNotHeld(t *testing.T) {
	mem, f := synced(t, "hello")
	begun, release := mem.HoldWrite(func(Call) bool { return true })
	t.Cleanup(release)
	require.NoError(t, f.Close())
	_, err := f.WriteAt([]byte("x"), 0)
	require.ErrorIs(t, err, fs.ErrClosed)
	select {
	case <-begun:
		t.Fatal("it was held")
	default:
	}
}
