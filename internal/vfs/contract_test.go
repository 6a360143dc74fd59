package vfs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// contract is what the implementations of FS do. Each case gets its own empty directory.
var contract = []struct {
	sentence string
	check    func(t *testing.T, fsys FS, dir string)
}{
	{"a created file is empty, and can be written, read and opened again", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "")
		size, err := f.Size()
		require.NoError(t, err)
		require.Zero(t, size)
		write(t, f, 0, "hello")
		require.NoError(t, f.Close())
		require.Equal(t, "hello", read(t, open(t, fsys, name)))
	}},
	{"creating a name that exists is an error, and leaves it alone", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		create(t, fsys, name, "hello")
		_, err := fsys.Create(name)
		require.ErrorIs(t, err, fs.ErrExist)
		requirePath(t, err, name)
		require.Equal(t, "hello", read(t, open(t, fsys, name)))
	}},
	{"a directory is within itself and those above it, and nothing is within another one", func(t *testing.T, fsys FS, dir string) {
		store, missing := filepath.Join(dir, "store"), filepath.Join(dir, "missing")
		require.NoError(t, fsys.MkdirAll(filepath.Join(store, "wal")))
		for _, name := range []string{"", "wal", "missing", "missing/deeper", "../store/wal", "wal/.."} {
			require.True(t, fsys.Within(filepath.Join(store, name), store), name)
			require.True(t, fsys.Within(filepath.Join(missing, name, "../missing"), dir), name)
		}
		require.True(t, fsys.Within(filepath.Join(missing, "deeper"), missing))
		for _, name := range []string{dir, missing, store + "s", filepath.Join(store, ".."), filepath.Join(dir, "other/store")} {
			require.False(t, fsys.Within(name, store), name)
		}
	}},
	{"a missing name can't be opened, removed, renamed, listed or synced", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		_, openErr := fsys.Open(name)
		_, readErr := fsys.OpenRead(name)
		_, listErr := fsys.List(name)
		_, lockErr := fsys.Lock(filepath.Join(name, "LOCK"))
		_, createErr := fsys.Create(filepath.Join(name, "b"))
		for _, err := range []error{
			openErr, readErr, listErr, lockErr, createErr, fsys.Remove(name), fsys.Rename(name, name+"b"), fsys.SyncDir(name),
			fsys.Link(name, name+"b"),
		} {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}},
	{"a listing has one of the files that take each other's place at least", func(t *testing.T, fsys FS, dir string) {
		name := func(i int) string { return filepath.Join(dir, fmt.Sprint(i%10)) }
		create(t, fsys, name(0), "")
		done := make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				f, err := fsys.Create(name(i + 1))
				if err = cmp.Or(err, fsys.Remove(name(i))); err != nil {
					t.Error(err)
					return
				}
				_ = f.Close()
			}
		})
		for range 2000 {
			if entries, err := fsys.List(dir); err != nil || len(entries) == 0 {
				t.Errorf("%d entries, error %v", len(entries), err)
				break
			}
		}
		close(done)
		writing.Wait()
	}},
	{"a directory can't be opened as a file, and a file can't be used as a directory", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		create(t, fsys, name, "")
		_, openErr := fsys.Open(dir)
		_, readErr := fsys.OpenRead(dir)
		_, listErr := fsys.List(name)
		_, createErr := fsys.Create(filepath.Join(name, "b"))
		for _, err := range []error{
			openErr, readErr, listErr, createErr, fsys.MkdirAll(name), fsys.MkdirAll(filepath.Join(name, "b")),
		} {
			require.Error(t, err)
			require.NotErrorIs(t, err, fs.ErrNotExist)
		}
	}},
	{"a file open for reading refuses every change", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		create(t, fsys, name, "hello")
		f, err := fsys.OpenRead(name)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("x"), 0)
		require.Error(t, err)
		require.Error(t, f.Truncate(1))
		require.Error(t, f.Allocate(100))
		require.Equal(t, "hello", read(t, f))
		m, err := f.Map(5)
		require.NoError(t, err)
		require.Equal(t, "hello", string(m.Bytes()))
		require.NoError(t, m.Close())
		require.NoError(t, f.Close())
	}},
	{"a read past the end returns the bytes before the end, and io.EOF", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		p := make([]byte, 4)
		n, err := f.ReadAt(p, 3)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "lo", string(p[:n]))
		n, err = f.ReadAt(p, 100)
		require.Equal(t, io.EOF, err)
		require.Zero(t, n)
		n, err = f.ReadAt(p, 1)
		require.NoError(t, err)
		require.Equal(t, "ello", string(p[:n]))
	}},
	{"a position below zero is an error", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		_, err := f.ReadAt(make([]byte, 1), -1)
		require.Error(t, err)
		_, err = f.WriteAt([]byte("x"), -1)
		require.Error(t, err)
		require.Error(t, f.Truncate(-1))
		require.Equal(t, "hello", read(t, f))
	}},
	{"a write past the end leaves zeros in between", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "ab")
		write(t, f, 4, "ef")
		require.Equal(t, "ab\x00\x00ef", read(t, f))
	}},
	{"a write of nothing changes nothing", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "ab")
		write(t, f, 100, "")
		require.Equal(t, "ab", read(t, f))
	}},
	{"truncate shortens, and lengthens with zeros, not with what was there before", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		require.NoError(t, f.Truncate(2))
		require.Equal(t, "he", read(t, f))
		require.NoError(t, f.Truncate(4))
		require.Equal(t, "he\x00\x00", read(t, f))
	}},
	{"allocate lengthens with zeros and never shortens", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		require.NoError(t, f.Allocate(3))
		require.Equal(t, "hello", read(t, f))
		require.NoError(t, f.Allocate(5<<20/2))
		require.Equal(t, "hello"+string(make([]byte, 5<<20/2-5)), read(t, f))
	}},
	{"a removed file is gone from the directory, and stays usable while it is open", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "hello")
		require.NoError(t, fsys.Remove(name))
		require.NoError(t, fsys.SyncDir(dir))
		write(t, f, 0, "j")
		require.NoError(t, f.Sync())
		require.Equal(t, "jello", read(t, f))
		create(t, fsys, name, "another")
		require.Equal(t, "jello", read(t, f))
	}},
	{"an empty directory can be removed, one with a file in it can't", func(t *testing.T, fsys FS, dir string) {
		sub := filepath.Join(dir, "sub")
		require.NoError(t, fsys.MkdirAll(sub))
		create(t, fsys, filepath.Join(sub, "a"), "")
		require.ErrorIs(t, fsys.Remove(sub), syscall.ENOTEMPTY)
		require.NoError(t, fsys.Remove(filepath.Join(sub, "a")))
		require.NoError(t, fsys.Remove(sub))
		require.Empty(t, names(t, fsys, dir))
	}},
	{"rename replaces the file that had the name, which stays usable while it is open", func(t *testing.T, fsys FS, dir string) {
		from, to := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		moved, replaced := create(t, fsys, from, "new"), create(t, fsys, to, "old")
		require.NoError(t, fsys.Rename(from, to))
		require.Equal(t, []string{"b"}, names(t, fsys, dir))
		require.Equal(t, "new", read(t, open(t, fsys, to)))
		require.Equal(t, "new", read(t, moved))
		require.Equal(t, "old", read(t, replaced))
	}},
	{"rename to its own name changes nothing", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		create(t, fsys, name, "hello")
		require.NoError(t, fsys.Rename(name, name))
		require.Equal(t, "hello", read(t, open(t, fsys, name)))
	}},
	{"rename refuses another directory, and a name that is a directory", func(t *testing.T, fsys FS, dir string) {
		name, sub := filepath.Join(dir, "a"), filepath.Join(dir, "sub")
		create(t, fsys, name, "hello")
		require.NoError(t, fsys.MkdirAll(sub))
		err := fsys.Rename(name, filepath.Join(sub, "a"))
		require.ErrorIs(t, err, syscall.EXDEV)
		require.ErrorIs(t, fsys.Rename(name, sub), fs.ErrExist)
		require.Equal(t, []string{"a", "sub"}, names(t, fsys, dir))
	}},
	{"a link is a second name of the same file, in any directory", func(t *testing.T, fsys FS, dir string) {
		name, sub := filepath.Join(dir, "a"), filepath.Join(dir, "sub")
		f := create(t, fsys, name, "hello")
		require.NoError(t, fsys.MkdirAll(sub))
		second := filepath.Join(sub, "b")
		require.NoError(t, fsys.Link(name, second))
		require.NoError(t, fsys.SyncDir(sub))
		write(t, f, 0, "j")
		g := open(t, fsys, second)
		write(t, g, 4, "y")
		require.Equal(t, "jelly", read(t, f))
		require.NoError(t, fsys.Remove(name))
		require.Equal(t, []string{"sub"}, names(t, fsys, dir))
		require.Equal(t, "jelly", read(t, open(t, fsys, second)))
		create(t, fsys, name, "another")
		require.Equal(t, "jelly", read(t, open(t, fsys, second)))
	}},
	{"a file has every name that stands for it, until another file does", func(t *testing.T, fsys FS, dir string) {
		name, second := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		f := create(t, fsys, name, "hello")
		has := func(f File, names ...bool) {
			t.Helper()
			for i, want := range names {
				got, err := f.HasName([]string{name, second}[i])
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		}
		has(f, true, false)
		require.NoError(t, fsys.Link(name, second))
		has(f, true, true)
		has(open(t, fsys, second), true, true)
		require.NoError(t, fsys.Remove(name))
		has(f, false, true)
		g := create(t, fsys, name, "hello")
		has(f, false, true)
		has(g, true, false)
		require.NoError(t, fsys.Rename(name, second))
		has(f, false, false)
		has(g, false, true)
		got, err := f.HasName(dir)
		require.NoError(t, err)
		require.False(t, got)
	}},
	{"a link replaces nothing, and a directory can't have one", func(t *testing.T, fsys FS, dir string) {
		name, taken, sub := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub")
		create(t, fsys, name, "hello")
		create(t, fsys, taken, "old")
		require.NoError(t, fsys.MkdirAll(sub))
		for _, to := range []string{name, taken, sub} {
			require.ErrorIs(t, fsys.Link(name, to), fs.ErrExist)
		}
		require.ErrorIs(t, fsys.Link(filepath.Join(dir, "none"), filepath.Join(dir, "c")), fs.ErrNotExist)
		require.ErrorIs(t, fsys.Link(name, filepath.Join(dir, "none", "c")), fs.ErrNotExist)
		err := fsys.Link(sub, filepath.Join(dir, "c"))
		require.ErrorIs(t, err, syscall.EPERM)
		var named *os.LinkError
		require.ErrorAs(t, err, &named)
		require.Equal(t, []string{"link", sub, filepath.Join(dir, "c")}, []string{named.Op, named.Old, named.New})
		require.Equal(t, "old", read(t, open(t, fsys, taken)))
		require.Equal(t, []string{"a", "b", "sub"}, names(t, fsys, dir))
	}},
	{"renaming one name of a file to another changes nothing", func(t *testing.T, fsys FS, dir string) {
		name, second := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		create(t, fsys, name, "hello")
		require.NoError(t, fsys.Link(name, second))
		require.NoError(t, fsys.Rename(name, second))
		require.Equal(t, []string{"a", "b"}, names(t, fsys, dir))
	}},
	{"a listing is sorted, distinguishes directories from files and doesn't descend", func(t *testing.T, fsys FS, dir string) {
		create(t, fsys, filepath.Join(dir, "c"), "12345")
		require.NoError(t, fsys.MkdirAll(filepath.Join(dir, "b", "inner")))
		create(t, fsys, filepath.Join(dir, "a"), "")
		entries, err := fsys.List(dir)
		require.NoError(t, err)
		entries[1].Size = 0
		require.Equal(t, []Entry{{Name: "a"}, {Name: "b", Dir: true}, {Name: "c", Size: 5}}, entries)
	}},
	{"making a directory that exists is no error", func(t *testing.T, fsys FS, dir string) {
		sub := filepath.Join(dir, "x", "y", "z")
		require.NoError(t, fsys.MkdirAll(sub))
		require.NoError(t, fsys.MkdirAll(sub))
		require.NoError(t, fsys.SyncDir(sub))
		require.Equal(t, []string{"y"}, names(t, fsys, filepath.Join(dir, "x")))
	}},
	{"a mapping shows what is written, and what is stored in it is read", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello, world")
		m, err := f.Map(5)
		require.NoError(t, err)
		require.Len(t, m.Bytes(), 5)
		require.Equal(t, 5, cap(m.Bytes()))
		write(t, f, 3, "p me")
		require.Equal(t, "help ", string(m.Bytes()))
		copy(m.Bytes(), "yell!")
		require.Equal(t, "yell!meworld", read(t, f))
		require.NoError(t, f.Sync())
		require.Equal(t, "yell!meworld", read(t, f))
		require.NoError(t, m.Close())
	}},
	{"a mapping for reading shows what is written, and outlives Close of the file", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello, world")
		m, err := f.MapRead(5)
		require.NoError(t, err)
		write(t, f, 3, "p me")
		require.NoError(t, f.Close())
		p := make([]byte, 4)
		_, err = m.ReadAt(p, 1)
		require.NoError(t, err)
		require.Equal(t, "elp ", string(p))
		require.NoError(t, m.Close())
	}},
	{"a mapping outlives growth, Close and Remove of the file", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "hello")
		m, err := f.Map(5)
		require.NoError(t, err)
		kept := m.Bytes()
		require.NoError(t, f.Allocate(1<<20))
		kept[0] = 'j'
		require.Equal(t, "jello", read(t, open(t, fsys, name))[:5])
		require.NoError(t, f.Close())
		kept[0] = 'c'
		require.Equal(t, "cello", read(t, open(t, fsys, name))[:5])
		require.NoError(t, fsys.Remove(name))
		kept[1] = 'a'
		require.Equal(t, "callo", string(m.Bytes()))
		require.NoError(t, m.Close())
	}},
	{"mappings of one file of different lengths show each other's stores", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "0123456789")
		short, err := f.Map(4)
		require.NoError(t, err)
		long, err := f.Map(10)
		require.NoError(t, err)
		short.Bytes()[0], long.Bytes()[1], short.Bytes()[2], long.Bytes()[9] = 'a', 'b', 'c', 'd'
		require.Equal(t, "abc345678d", read(t, f))
		require.Equal(t, "abc345678d", string(long.Bytes()))
		require.Equal(t, "abc3", string(short.Bytes()))
		require.NoError(t, long.Close())
		short.Bytes()[3] = 'e'
		require.Equal(t, "abce45678d", read(t, f))
		require.NoError(t, short.Close())
	}},
	{"a mapping is read at a position as a file is, until it is closed", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "hello, world")
		m, err := f.Map(5)
		require.NoError(t, err)
		m.Bytes()[0] = 'j'
		p := make([]byte, 4)
		for _, c := range []struct {
			off  int64
			want string
			err  error
		}{{0, "jell", nil}, {1, "ello", nil}, {3, "lo", io.EOF}, {5, "", io.EOF}, {1 << 40, "", io.EOF}} {
			n, err := m.ReadAt(p, c.off)
			require.Equal(t, c.err, err, "at %d", c.off)
			require.Equal(t, c.want, string(p[:n]), "at %d", c.off)
		}
		_, err = m.ReadAt(p, -1)
		require.ErrorIs(t, err, syscall.EINVAL)
		requirePath(t, err, name)
		require.NoError(t, m.Close())
		_, err = m.ReadAt(p, 0)
		require.ErrorIs(t, err, fs.ErrClosed)
	}},
	{"a mapping of a file that became shorter faults past its end, and nowhere else", func(t *testing.T, fsys FS, dir string) {
		page := int64(os.Getpagesize())
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, string(bytes.Repeat([]byte("x"), int(3*page))))
		m, err := f.Map(3 * page)
		require.NoError(t, err)
		store := func() error {
			return Guard(func() error {
				m.Bytes()[2*page] = 'y'
				return nil
			})
		}
		require.NoError(t, store())
		require.NoError(t, f.Truncate(page+3))
		p := make([]byte, 4)
		for _, off := range []int64{2 * page, 3*page - 4, 2*page - 2} {
			n, err := m.ReadAt(p, off)
			require.ErrorIs(t, err, ErrFault)
			requirePath(t, err, name)
			require.Zero(t, n)
		}
		require.ErrorIs(t, store(), ErrFault)
		for off, want := range map[int64]string{0: "xxxx", page - 2: "xxxx", page + 1: "xx\x00\x00", page + 100: "\x00\x00\x00\x00"} {
			_, err := m.ReadAt(p, off)
			require.NoError(t, err)
			require.Equal(t, want, string(p), "at %d", off)
		}
		require.NoError(t, f.Truncate(3*page))
		require.NoError(t, store())
		_, err = m.ReadAt(p, 2*page-1)
		require.NoError(t, err)
		require.Equal(t, "\x00y\x00\x00", string(p))
		require.NoError(t, m.Close())
	}},
	{"no byte, or more bytes than the file holds, can't be mapped", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		for _, size := range []int64{-1, 0, 6, 1 << 40} {
			_, err := f.Map(size)
			require.ErrorIs(t, err, syscall.EINVAL, "size %d", size)
		}
	}},
	{"closing a mapping again does nothing, and a closed mapping has no bytes", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		m, err := f.Map(5)
		require.NoError(t, err)
		require.NoError(t, m.Close())
		require.NoError(t, m.Close())
		require.Empty(t, m.Bytes())
	}},
	{"a closed file refuses everything", func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello")
		require.NoError(t, f.Close())
		_, readErr := f.ReadAt(make([]byte, 1), 0)
		_, writeErr := f.WriteAt([]byte("x"), 0)
		_, sizeErr := f.Size()
		_, mapErr := f.Map(1)
		for _, err := range []error{
			readErr, writeErr, sizeErr, mapErr, f.Truncate(0), f.Allocate(10), f.Sync(), f.Close(),
		} {
			require.Error(t, err)
		}
		require.Equal(t, "hello", read(t, open(t, fsys, filepath.Join(dir, "a"))))
	}},
	{"a lock keeps out a second holder, naming the first, until it is closed", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		held, err := fsys.Lock(name)
		require.NoError(t, err)
		_, err = fsys.Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		var locked *LockedError
		require.ErrorAs(t, err, &locked)
		require.Equal(t, LockedError{Name: name, PID: os.Getpid()}, *locked)
		require.NoError(t, held.Close())
		require.NoError(t, held.Close())
		again, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, again.Close())
		require.Equal(t, []string{"LOCK"}, names(t, fsys, dir))
	}},
	{"removing the lock file by hand admits no second holder", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		held, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, fsys.Remove(name))
		for range 2 {
			_, err = fsys.Lock(name)
			var locked *LockedError
			require.ErrorAs(t, err, &locked)
			require.Equal(t, LockedError{Name: name}, *locked, "the file isn't the holder's")
		}
		require.NoError(t, held.Close())
		again, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, again.Held())
		require.NoError(t, again.Close())
	}},
	{"a held lock is lost with its directory, and not with its file", func(t *testing.T, fsys FS, dir string) {
		sub := filepath.Join(dir, "sub")
		name := filepath.Join(sub, "LOCK")
		require.NoError(t, fsys.MkdirAll(sub))
		held, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, held.Held())
		require.NoError(t, fsys.Remove(name))
		require.NoError(t, held.Held(), "the directory is locked too")
		create(t, fsys, name, "")
		require.NoError(t, held.Held())
		require.NoError(t, fsys.Remove(name))
		require.NoError(t, fsys.Remove(sub))
		requirePath(t, held.Held(), name)
		require.NoError(t, fsys.MkdirAll(sub))
		require.ErrorIs(t, held.Held(), ErrLockLost)
		other, err := fsys.Lock(name)
		require.NoError(t, err, "the new directory isn't locked")
		require.NoError(t, other.Close())
		require.NoError(t, held.Close())
	}},
	{"a directory has one lock, and another directory another", func(t *testing.T, fsys FS, dir string) {
		sub := filepath.Join(dir, "sub")
		require.NoError(t, fsys.MkdirAll(sub))
		held, err := fsys.Lock(filepath.Join(dir, "LOCK"))
		require.NoError(t, err)
		_, err = fsys.Lock(filepath.Join(dir, "other"))
		require.ErrorIs(t, err, ErrLocked)
		below, err := fsys.Lock(filepath.Join(sub, "LOCK"))
		require.NoError(t, err)
		require.NoError(t, below.Close())
		require.NoError(t, held.Close())
	}},
	{"a directory can't be the file of a lock", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		require.NoError(t, fsys.MkdirAll(name))
		_, err := fsys.Lock(name)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrLocked)
	}},
	{"locking a file with other content replaces the content with the holder", func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		create(t, fsys, name, "a sentence that is longer than a process id")
		held, err := fsys.Lock(name)
		require.NoError(t, err)
		_, err = fsys.Lock(name)
		var locked *LockedError
		require.ErrorAs(t, err, &locked)
		require.Equal(t, os.Getpid(), locked.PID)
		require.Equal(t, fmt.Sprintln(os.Getpid()), read(t, open(t, fsys, name)))
		require.NoError(t, held.Close())
	}},
}

func TestFreeSpaceIsTheDirectorysOrAnErrorThatNamesIt(t *testing.T) {
	for name, disk := range map[string]FS{"OS": OS, "Mem": NewMem(), "Lean": NewLean()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, disk.MkdirAll(dir))
			free, err := disk.FreeSpace(dir)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			}
			require.NoError(t, err)
			require.Positive(t, free)
			missing := filepath.Join(dir, "missing")
			_, err = disk.FreeSpace(missing)
			require.ErrorIs(t, err, fs.ErrNotExist)
			requirePath(t, err, missing)
		})
	}
}

// beyondLean are the cases that a Lean does not keep, since its files can't be mapped. Each begins with a Map that succeeds.
var beyondLean = map[string]bool{
	"a file open for reading refuses every change":                                  true,
	"a mapping shows what is written, and what is stored in it is read":             true,
	"a mapping for reading shows what is written, and outlives Close of the file":   true,
	"a mapping outlives growth, Close and Remove of the file":                       true,
	"mappings of one file of different lengths show each other's stores":            true,
	"a mapping is read at a position as a file is, until it is closed":              true,
	"a mapping of a file that became shorter faults past its end, and nowhere else": true,
	"closing a mapping again does nothing, and a closed mapping has no bytes":       true,
}

func TestEveryImplementationKeepsTheContract(t *testing.T) {
	skipped := 0
	defer func() { require.Len(t, beyondLean, skipped) }()
	for _, c := range contract {
		t.Run(c.sentence, func(t *testing.T) {
			t.Run("OS", func(t *testing.T) { c.check(t, OS, t.TempDir()) })
			t.Run("Mem", func(t *testing.T) {
				mem := NewMem()
				require.NoError(t, mem.MkdirAll("/some/dir"))
				c.check(t, mem, "/some/dir")
			})
			if beyondLean[c.sentence] {
				skipped++
				return
			}
			t.Run("Lean", func(t *testing.T) {
				lean := NewLean()
				require.NoError(t, lean.MkdirAll("/some/dir"))
				c.check(t, lean, "/some/dir")
			})
		})
	}
}

func create(t testing.TB, fsys FS, name, data string) File {
	t.Helper()
	f, err := fsys.Create(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	write(t, f, 0, data)
	return f
}

func open(t testing.TB, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t testing.TB, f File, off int64, data string) {
	t.Helper()
	n, err := f.WriteAt([]byte(data), off)
	require.NoError(t, err)
	require.Equal(t, len(data), n)
}

func read(t testing.TB, f File) string {
	t.Helper()
	size, err := f.Size()
	require.NoError(t, err)
	p := bytes.Repeat([]byte("?"), int(size))
	n, err := f.ReadAt(p, 0)
	require.NoError(t, err)
	return string(p[:n])
}

func names(t testing.TB, fsys FS, dir string) []string {
	t.Helper()
	entries, err := fsys.List(dir)
	require.NoError(t, err)
	var found []string
	for _, e := range entries {
		found = append(found, e.Name)
	}
	return found
}

func requirePath(t testing.TB, err error, name string) {
	t.Helper()
	var at *fs.PathError
	require.ErrorAs(t, err, &at)
	require.Equal(t, name, at.Path)
}
