package vfs

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGuardReturnsErrorsAndLetsOtherPanicsPass(t *testing.T) {
	require.NoError(t, Guard(func() error { return nil }))
	require.Equal(t, errInjected, Guard(func() error { return errInjected }))
	require.PanicsWithValue(t, "mistake", func() { _ = Guard(func() error { panic("mistake") }) })
	require.PanicsWithError(t, errInjected.Error(), func() { _ = Guard(func() error { panic(errInjected) }) })
	var nothing *int
	require.Panics(t, func() { _ = Guard(func() error { *nothing = 1; return nil }) }, "a nil pointer is a mistake, not a fault")
}

func TestOSAStoreInAMappingForReadingFaults(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	create(t, OS, name, "hello")
	forReading, err := OS.OpenRead(name)
	require.NoError(t, err)
	forWriting := open(t, OS, name)
	for _, mapIt := range []func(size int64) (Mapping, error){forReading.Map, forReading.MapRead, forWriting.MapRead} {
		m, err := mapIt(5)
		require.NoError(t, err)
		require.ErrorIs(t, Guard(func() error { m.Bytes()[0] = 'j'; return nil }), ErrFault)
		require.Equal(t, "hello", read(t, forReading))
		require.NoError(t, m.Close())
	}
	require.NoError(t, forReading.Close())
	require.NoError(t, forWriting.Close())
}

func TestReadingAMappingAllocatesNothing(t *testing.T) {
	for name, disk := range map[string]FS{"OS": OS, "Mem": NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, disk.MkdirAll(dir))
			m, err := create(t, disk, filepath.Join(dir, "a"), "hello, world").Map(12)
			require.NoError(t, err)
			p := make([]byte, 8)
			require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = m.ReadAt(p, 2) }))
			require.Equal(t, "llo, wor", string(p))
			require.NoError(t, m.Close())
		})
	}
}

func TestABadPageFailsReadsAndFaultsUntilItIsMended(t *testing.T) {
	mem, f := synced(t, strings.Repeat("x", 3*blockSize))
	early, err := f.Map(3 * blockSize)
	require.NoError(t, err)
	require.NoError(t, mem.SetBadPage("a", 1, true))
	states := []*Mem{mem, mem.Clone(), mem.Exit(), mem.Crash(0, KeepNone)}
	for _, state := range states {
		f := open(t, state, "a")
		m, err := f.Map(2 * blockSize)
		require.NoError(t, err)
		requireBad(t, f, m)
		require.NoError(t, m.Close())
	}
	requireBad(t, f, early)
	write(t, f, blockSize, strings.Repeat("y", blockSize))
	requireBad(t, f, early)

	require.NoError(t, mem.SetBadPage("a", 1, false))
	p := make([]byte, 4)
	_, err = early.ReadAt(p, blockSize-2)
	require.NoError(t, err)
	require.Equal(t, "xxyy", string(p))
	require.Len(t, early.Bytes(), 3*blockSize)
	require.Len(t, read(t, f), 3*blockSize)
	require.Error(t, mem.SetBadPage("none", 0, true))
}

// requireBad requires that the second page of a file, and no other, can't be read from the file and a mapping of it.
func requireBad(t *testing.T, f File, m Mapping) {
	t.Helper()
	p := make([]byte, 4)
	n, err := f.ReadAt(p, blockSize-3)
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, "xxx", string(p[:n]))
	_, err = f.ReadAt(p, 2*blockSize-1)
	require.ErrorIs(t, err, syscall.EIO)
	_, err = f.ReadAt(p, 2*blockSize)
	require.NoError(t, err)
	for _, off := range []int64{blockSize - 3, blockSize, 2*blockSize - 1} {
		_, err = m.ReadAt(p, off)
		require.ErrorIs(t, err, ErrFault)
	}
	_, err = m.ReadAt(p, blockSize-4)
	require.NoError(t, err)
	require.ErrorIs(t, Guard(func() error { m.Bytes()[blockSize] = 'z'; return nil }), ErrFault)
}

func TestPastTheEndNoPageIsBad(t *testing.T) {
	mem, f := synced(t, "hello")
	require.NoError(t, mem.SetBadPage("a", 0, true))
	_, err := f.ReadAt(make([]byte, 1), 4)
	require.ErrorIs(t, err, syscall.EIO)
	_, err = f.ReadAt(make([]byte, 1), 5)
	require.Equal(t, io.EOF, err)
}

func TestABadPageThatATruncateCutsOffIsForgotten(t *testing.T) {
	mem, f := synced(t, strings.Repeat("x", 2*blockSize))
	require.NoError(t, mem.SetBadPage("a", 1, true))
	require.NoError(t, f.Truncate(blockSize))
	require.NoError(t, f.Truncate(2*blockSize))
	require.Equal(t, strings.Repeat("x", blockSize)+strings.Repeat("\x00", blockSize), read(t, f))
}

// Code that recovers from faults by itself recognises those of a Mem.
func TestAFaultOfAMemLooksLikeOneOfTheRuntime(t *testing.T) {
	mem, f := synced(t, "hello")
	m, err := f.Map(5)
	require.NoError(t, err)
	require.NoError(t, mem.SetBadPage("a", 0, true))
	defer func() {
		err, _ := recover().(error)
		var fault interface{ Addr() uintptr }
		require.True(t, errors.As(err, &fault))
	}()
	m.Bytes()
	t.Fatal("the call returned")
}

func BenchmarkMappingReadAt(b *testing.B) {
	f := create(b, OS, filepath.Join(b.TempDir(), "a"), string(make([]byte, 1<<20)))
	m, err := f.Map(1 << 20)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, m.Close()) })
	var entry [8]byte
	b.Run("ReadAt", func(b *testing.B) {
		b.ReportAllocs()
		for off := int64(0); b.Loop(); off = (off + 8) % (1 << 20) {
			if _, err := m.ReadAt(entry[:], off); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Bytes", func(b *testing.B) {
		b.ReportAllocs()
		for off := int64(0); b.Loop(); off = (off + 8) % (1 << 20) {
			copy(entry[:], m.Bytes()[off:])
		}
	})
}
