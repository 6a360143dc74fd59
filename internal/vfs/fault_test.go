package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAHookSeesEveryCallInOrderWithItsNumber(t *testing.T) {
	mem := NewMem()
	create(t, mem, "before", "these are calls too") // 1, 2
	var seen []string
	mem.SetHook(func(c Call) error {
		seen = append(seen, fmt.Sprintf("%d %v %s %d %d", c.N, c.Op, c.Name, c.Off, c.Len))
		return nil
	})
	require.NoError(t, mem.MkdirAll("x/y"))
	f := create(t, mem, "x/y/a", "hello")
	read(t, f)
	require.NoError(t, f.Truncate(3))
	require.NoError(t, f.Allocate(9))
	m, err := f.Map(8)
	require.NoError(t, err)
	m.Bytes()[0] = 'j'
	require.NoError(t, m.Close())
	require.NoError(t, f.Sync())
	require.NoError(t, mem.Rename("x/y/a", "x/y/b"))
	require.NoError(t, mem.SyncDir("x/y"))
	require.NoError(t, mem.Link("x/y/b", "c"))
	open(t, mem, "x/y/b")
	names(t, mem, "x/y")
	lock, err := mem.Lock("LOCK")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.NoError(t, mem.Remove("x/y/b"))
	require.NoError(t, f.Close())
	mem.Names()
	require.Equal(t, []string{
		"3 syncdir . 0 0", // What was found there: the root.
		"4 mkdir x 0 0", "5 syncdir . 0 0", "6 mkdir x/y 0 0", "7 syncdir x 0 0",
		"8 create x/y/a 0 0", "9 write x/y/a 0 5", "10 read x/y/a 0 5", "11 truncate x/y/a 0 3", "12 allocate x/y/a 0 9",
		"13 map x/y/a 0 8", "14 sync x/y/a 0 0", "15 rename x/y/a 0 0", "16 syncdir x/y 0 0", "17 link x/y/b 0 0",
		"18 open x/y/b 0 0", "19 list x/y 0 0", "20 lock LOCK 0 0", "21 remove x/y/b 0 0",
	}, seen)
}

func TestANewMemNumbersItsCallsFromOneAndHasNoHook(t *testing.T) {
	mem := NewMem()
	mem.SetHook(func(Call) error { return nil })
	create(t, mem, "a", "")
	for _, state := range []*Mem{NewMem(), mem.Clone(), mem.Exit(), mem.Crash(0, KeepAll)} {
		require.Nil(t, state.hook)
		numbers := []int{}
		state.SetHook(func(c Call) error {
			numbers = append(numbers, c.N)
			return nil
		})
		require.NoError(t, state.SyncDir("/"))
		require.NoError(t, state.SyncDir("/"))
		require.Equal(t, []int{1, 2}, numbers)
	}
}

// Every kind of call fails with the hook's error. Except for a sync it has no effect.
func TestACallThatAHookFailsHasNoEffect(t *testing.T) {
	calls := map[Op]func(mem *Mem, f File) error{
		OpCreate:   func(mem *Mem, _ File) error { _, err := mem.Create("b"); return err },
		OpOpen:     func(mem *Mem, _ File) error { _, err := mem.OpenRead("a"); return err },
		OpRemove:   func(mem *Mem, _ File) error { return mem.Remove("a") },
		OpRename:   func(mem *Mem, _ File) error { return mem.Rename("a", "b") },
		OpLink:     func(mem *Mem, _ File) error { return mem.Link("a", "b") },
		OpList:     func(mem *Mem, _ File) error { _, err := mem.List("/"); return err },
		OpMkdir:    func(mem *Mem, _ File) error { return mem.mkdir("b") },
		OpSyncDir:  func(mem *Mem, _ File) error { return mem.SyncDir("/") },
		OpLock:     func(mem *Mem, _ File) error { _, err := mem.Lock("LOCK"); return err },
		OpRead:     func(_ *Mem, f File) error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		OpWrite:    func(_ *Mem, f File) error { _, err := f.WriteAt([]byte("x"), 0); return err },
		OpTruncate: func(_ *Mem, f File) error { return f.Truncate(1) },
		OpAllocate: func(_ *Mem, f File) error { return f.Allocate(100) },
		OpSync:     func(_ *Mem, f File) error { return f.Sync() },
		OpMap:      func(_ *Mem, f File) error { _, err := f.Map(1); return err },

		OpFreeSpace: func(mem *Mem, _ File) error { _, err := mem.FreeSpace("/"); return err },
	}
	require.Len(t, calls, len(opNames)-1)
	for op, call := range calls {
		t.Run(op.String(), func(t *testing.T) {
			mem, f := synced(t, "hello")
			create(t, mem, "pending", "")
			mem.SetHook(FailNth(op, 1, errInjected))
			err := call(mem, f)
			require.ErrorIs(t, err, errInjected)
			require.ErrorContains(t, err, op.String())
			require.Equal(t, []string{"/a", "/pending"}, mem.Names())
			require.Equal(t, "hello", read(t, f))
			require.Equal(t, []string{"/a"}, mem.Crash(0, KeepNone).Names())
			held, err := mem.Lock("LOCK")
			require.NoError(t, err)
			require.NoError(t, held.Close())
			require.NoError(t, call(mem, f), "only the first call fails")
		})
	}
}

func TestFailNthFailsTheNthCallOfItsKindAndNoOther(t *testing.T) {
	mem, f := synced(t, "")
	mem.SetHook(FailNth(OpWrite, 3, errInjected))
	for i := range 5 {
		_, err := f.WriteAt([]byte{byte('a' + i)}, int64(i))
		require.NoError(t, f.Sync())
		require.Equal(t, i == 2, err != nil)
	}
	require.Equal(t, "ab\x00de", read(t, f))
}

func TestAShortWriteWritesItsFirstBytesAndFails(t *testing.T) {
	for _, c := range []struct {
		sentence string
		bytes    int
		want     string
	}{
		{"none", 0, "-----"},
		{"some", 2, "-he--"},
		{"fewer than none are none", -1, "-----"},
		{"more than all are all", 100, "-hey-"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			mem, f := synced(t, "-----")
			mem.SetHook(FailNth(OpWrite, 1, &ShortWrite{Bytes: c.bytes, Err: syscall.ENOSPC}))
			n, err := f.WriteAt([]byte("hey"), 1)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.Equal(t, max(0, min(3, c.bytes)), n)
			require.Equal(t, c.want, read(t, f))
			require.Equal(t, c.want, contentOf(mem.Crash(0, KeepAll), "a"))
			require.Equal(t, "-----", contentOf(mem.Crash(0, KeepNone), "a"))
		})
	}
	require.ErrorIs(t, &ShortWrite{}, io.ErrShortWrite)
}

func TestAHookMayUseTheMem(t *testing.T) {
	mem, f := synced(t, "old")
	write(t, f, 0, "new")
	var before string
	mem.SetHook(func(c Call) error {
		if c.Op != OpSync {
			return nil
		}
		mem.SetHook(nil)
		before = contentOf(mem.Crash(0, KeepNone), "a") + contentOf(mem.Exit(), "a") + contentOf(mem.Clone(), "a")
		return mem.WriteFile("b", nil)
	})
	require.NoError(t, f.Sync())
	require.Equal(t, "oldnewnew", before, "a hook is called before the call does anything")
	require.Equal(t, []string{"/a", "/b"}, mem.Names())
}

func TestOpsAndPoliciesHaveNames(t *testing.T) {
	require.Equal(t, "map", OpMap.String())
	require.Equal(t, "Op(0)", Op(0).String())
	require.Equal(t, "Op(99)", Op(99).String())
	require.Equal(t, "Policy(99)", Policy(99).String())
	named := map[string]bool{}
	for _, p := range Policies {
		named[p.String()] = true
	}
	require.Len(t, named, int(Mixed)+1)
	require.True(t, OpSync.Changes() && OpLock.Changes() && OpMkdir.Changes() && OpLink.Changes())
	require.False(t, OpRead.Changes() || OpOpen.Changes() || OpList.Changes() || OpMap.Changes() || OpFreeSpace.Changes())
}

func TestAFullDiskRefusesWritesWithoutRoomAndChangesNothing(t *testing.T) {
	mem, f := synced(t, "hello")
	mem.SetCapacity(3 * blockSize)
	require.ErrorIs(t, f.Allocate(3*blockSize+1), syscall.ENOSPC)
	require.Equal(t, "hello", read(t, f))
	require.NoError(t, f.Allocate(2*blockSize))
	require.NoError(t, f.Truncate(100*blockSize), "a hole takes no space")

	g := create(t, mem, "b", "takes the last block")
	_, err := f.WriteAt([]byte("x"), 50*blockSize)
	require.ErrorIs(t, err, syscall.ENOSPC, "a write into the hole")
	_, err = g.WriteAt([]byte("xx"), blockSize-1)
	require.ErrorIs(t, err, syscall.ENOSPC, "a write past the end")
	require.Equal(t, "takes the last block", read(t, g))
	write(t, f, 2*blockSize-1, "x")
	write(t, g, blockSize-1, "x")

	require.NoError(t, f.Truncate(blockSize))
	write(t, g, blockSize, "a truncate gives room")
	require.NoError(t, mem.Remove("a"))
	require.NoError(t, g.Allocate(3*blockSize), "and so does a remove")
	mem.SetCapacity(5 * blockSize)
	h := create(t, mem, "c", "")
	require.NoError(t, h.Truncate(100*blockSize))
	write(t, h, 70*blockSize, "a write into a hole takes one block")
	write(t, h, 80*blockSize, "and this one another")
	mem.SetCapacity(0)
	require.NoError(t, g.Allocate(10*blockSize))
}

func TestAFullDiskRefusesNamesIfTheyNeedSpaceAndChangesNothing(t *testing.T) {
	mem, f := synced(t, "hello")
	require.NoError(t, mem.MkdirAll("x"))
	mem.SetCapacity(2 * blockSize)
	mem.SetNamesNeedSpace(true)
	calls := map[string]func(disk *Mem) error{
		"create": func(disk *Mem) error { _, err := disk.Create("b"); return err },
		"lock":   func(disk *Mem) error { _, err := disk.Lock("x/LOCK"); return err },
		"rename": func(disk *Mem) error { return disk.Rename("a", "c") },
		"link":   func(disk *Mem) error { return disk.Link("a", "x/d") },
		"mkdir":  func(disk *Mem) error { return disk.MkdirAll("y") },
	}
	succeed := func() {
		t.Helper()
		for name, call := range calls {
			require.NoError(t, call(mem.Clone()), name)
		}
	}
	succeed()
	require.NoError(t, f.Allocate(2*blockSize))
	for _, disk := range []*Mem{mem, mem.Clone(), mem.Exit(), mem.Crash(0, KeepAll)} {
		for name, call := range calls {
			require.ErrorIs(t, call(disk), syscall.ENOSPC, name)
		}
		require.Equal(t, []string{"a", "x"}, names(t, disk, "/"))
		require.Empty(t, names(t, disk, "x"))
	}

	_, err := mem.Create("a")
	require.ErrorIs(t, err, fs.ErrExist, "a name that exists fails for that reason")
	require.NoError(t, mem.Rename("a", "a"), "nothing changes")
	require.NoError(t, mem.MkdirAll("x"))
	require.NoError(t, mem.WriteFile("z/e", nil))
	require.NoError(t, mem.Remove("z/e"), "a remove needs no space")
	require.NoError(t, mem.Remove("z"))

	mem.SetNamesNeedSpace(false)
	succeed()
}

func TestFreeSpaceIsTheSpaceThatFilesCanStillTake(t *testing.T) {
	mem, f := synced(t, "hello")
	free := func() int64 {
		bytes, err := mem.FreeSpace("/")
		require.NoError(t, err)
		return bytes
	}
	require.Equal(t, int64(math.MaxInt64), free(), "nothing limits it")
	mem.SetCapacity(4*blockSize + 100)
	require.Equal(t, int64(3*blockSize+100), free())
	require.NoError(t, f.Allocate(4*blockSize))
	require.Equal(t, int64(100), free())
	mem.SetCapacity(blockSize)
	require.Zero(t, free(), "more is used than there is")
	require.NoError(t, mem.Remove("a"))
	require.Equal(t, int64(blockSize), free())
}

func TestAFileWithTwoNamesTakesItsSpaceOnce(t *testing.T) {
	mem, f := synced(t, "hello")
	mem.SetCapacity(2 * blockSize)
	require.NoError(t, mem.Link("a", "b"))
	require.NoError(t, f.Allocate(2*blockSize))
	require.NoError(t, mem.Remove("a"))
	_, err := create(t, mem, "c", "").WriteAt([]byte("x"), 0)
	require.ErrorIs(t, err, syscall.ENOSPC, "it still has another name")
	require.NoError(t, mem.Remove("b"))
	write(t, open(t, mem, "c"), 0, "x")
}

func TestAFullDiskCanBeLocked(t *testing.T) {
	mem, f := synced(t, "hello")
	mem.SetCapacity(blockSize)
	lock, err := mem.Lock("LOCK")
	require.NoError(t, err)
	require.Empty(t, contentOf(mem, "LOCK"), "there is no room for the holder")
	require.NoError(t, lock.Close())
	require.NoError(t, mem.WriteFile("LOCK", []byte("a sentence that is longer than a process id")))
	require.NoError(t, f.Allocate(blockSize))
	lock, err = mem.Lock("LOCK")
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(os.Getpid()), contentOf(mem, "LOCK"), "it takes no more space than before")
	require.NoError(t, lock.Close())
}

func TestTheDiskIsAsFullAfterAPowerCut(t *testing.T) {
	mem, f := synced(t, "hello")
	mem.SetCapacity(2 * blockSize)
	require.NoError(t, f.Allocate(2*blockSize))
	for _, after := range []*Mem{mem.Clone(), mem.Exit(), mem.Crash(0, KeepAll)} {
		_, err := create(t, after, "b", "").WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	write(t, create(t, mem.Crash(0, KeepNone), "b", ""), 0, "x")
}

func TestNamesAreCleanedAndStartAtOneRoot(t *testing.T) {
	mem := NewMem()
	create(t, mem, "x/..//b/", "hello")
	require.Equal(t, []string{"/b"}, mem.Names())
	require.Equal(t, "hello", contentOf(mem, "./b"))
	require.Equal(t, "hello", contentOf(mem, "/../b"))
	_, err := mem.Create("/")
	require.Error(t, err)
}

func TestAWrongLengthTakesNoMemory(t *testing.T) {
	_, f := synced(t, "hello")
	require.ErrorIs(t, f.Truncate(1<<40), syscall.EFBIG)
	require.ErrorIs(t, f.Allocate(1<<40), syscall.EFBIG)
	_, err := f.WriteAt([]byte("x"), 1<<40)
	require.ErrorIs(t, err, syscall.EFBIG)
	_, err = f.WriteAt([]byte("x"), 1<<63-1)
	require.Error(t, err)
	require.Equal(t, "hello", read(t, f))
}

func TestWriteFileIsDurableAtOnceAndShowsInOpenFiles(t *testing.T) {
	mem, f := synced(t, "hello, world")
	m, err := f.Map(12)
	require.NoError(t, err)
	write(t, f, 0, "J")
	require.NoError(t, mem.WriteFile("a", []byte("shorter")))
	require.NoError(t, mem.WriteFile("x/y/b", []byte("new")))
	require.Equal(t, "shorter", read(t, f))
	require.Equal(t, "shorter\x00\x00\x00\x00\x00", string(m.Bytes()))
	crashes(t, mem, 5, func(after *Mem, _ Policy) {
		require.Equal(t, []string{"/a", "/x/y/b"}, after.Names())
		require.Equal(t, "shorter", contentOf(after, "a"))
		require.Equal(t, "new", contentOf(after, "/x/y/b"))
	})
	require.Error(t, mem.WriteFile("a/b", nil))
	require.Error(t, mem.WriteFile("x", nil))
	_, err = mem.ReadFile("x/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestInUseNamesWhatWasNotClosed opens one thing of each kind, twice closes what may be closed twice, and removes a file that is open.
func TestInUseNamesWhatWasNotClosed(t *testing.T) {
	m := NewMem()
	require.Empty(t, m.InUse())
	file, err := m.Create("/a")
	require.NoError(t, err)
	require.NoError(t, file.Truncate(10))
	reader, err := m.OpenRead("/a")
	require.NoError(t, err)
	mapping, err := reader.Map(10)
	require.NoError(t, err)
	lock, err := m.Lock("/LOCK")
	require.NoError(t, err)
	_, err = m.Lock("/LOCK")
	require.ErrorIs(t, err, ErrLocked)
	_, err = m.Open("/missing")
	require.Error(t, err)
	require.NoError(t, m.Remove("/a"))
	require.Equal(t, []string{"file /a", "file /a", "lock /LOCK", "mapping /a"}, m.InUse())
	require.Empty(t, m.Exit().InUse())
	require.NoError(t, reader.Close())
	require.Equal(t, []string{"file /a", "lock /LOCK", "mapping /a"}, m.InUse())
	for range 2 {
		require.NoError(t, mapping.Close())
		require.NoError(t, lock.Close())
	}
	require.NoError(t, file.Close())
	require.Error(t, file.Close())
	require.Empty(t, m.InUse())
}
