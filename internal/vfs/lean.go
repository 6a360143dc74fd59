package vfs

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Lean is a file system in memory, for stores that need no disk. Unlike a Mem it keeps no history: every change counts as
// synced at once. Its files take the memory of what was written to them and no more, and can't be mapped. Its directories
// can't be renamed. It has no limit but the process's memory.
//
// Names are cleaned and start at one root, as in a Mem. Only the root exists from the start.
//
// Invariant: the directory of every path in nodes is in nodes as well, as a directory.
type Lean struct {
	mu    sync.Mutex           // Guards the map and the directories in it.
	nodes map[string]*leanNode // By path.
}

// leanNode is a file or a directory of a Lean. A file may have several names, and outlives them while a handle has it.
type leanNode struct {
	file *leanFile // nil in a directory.
	lock *leanNode // The file of a directory's held lock; nil where there is none.
}

var _ FS = (*Lean)(nil)

// NewLean returns an empty file system.
func NewLean() *Lean {
	return &Lean{nodes: map[string]*leanNode{"/": {}}}
}

// do calls work with the names locked, and says in its error what failed for which name.
func (l *Lean) do(op Op, name string, work func(at string) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return pathError(op, name, work(clean(name)))
}

// both is do for a call with two names.
func (l *Lean) both(op Op, oldName, newName string, work func(from, to string) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := work(clean(oldName), clean(newName)); err != nil {
		return &os.LinkError{Op: op.String(), Old: oldName, New: newName, Err: err}
	}
	return nil
}

// file returns the file that a path stands for.
func (l *Lean) file(at string) (*leanNode, error) {
	n := l.nodes[at]
	switch {
	case n == nil:
		return nil, syscall.ENOENT
	case n.file == nil:
		return nil, errNotRegular
	}
	return n, nil
}

// dir returns the directory that a path stands for.
func (l *Lean) dir(at string) (*leanNode, error) {
	n := l.nodes[at]
	switch {
	case n == nil:
		return nil, syscall.ENOENT
	case n.file != nil:
		return nil, syscall.ENOTDIR
	}
	return n, nil
}

// add gives a node a path that must not exist yet.
func (l *Lean) add(at string, n *leanNode) error {
	if l.nodes[at] != nil {
		return syscall.EEXIST
	}
	if _, err := l.dir(path.Dir(at)); err != nil {
		return err
	}
	l.nodes[at] = n
	return nil
}

// Create implements FS.
func (l *Lean) Create(name string) (File, error) {
	f := &leanFile{}
	err := l.do(OpCreate, name, func(at string) error { return l.add(at, &leanNode{file: f}) })
	return l.handle(f, name, false, err)
}

// Open implements FS.
func (l *Lean) Open(name string) (File, error) { return l.open(name, false) }

// OpenRead implements FS.
func (l *Lean) OpenRead(name string) (File, error) { return l.open(name, true) }

func (l *Lean) open(name string, readOnly bool) (File, error) {
	var f *leanFile
	err := l.do(OpOpen, name, func(at string) error {
		n, err := l.file(at)
		if err == nil {
			f = n.file
		}
		return err
	})
	return l.handle(f, name, readOnly, err)
}

func (l *Lean) handle(f *leanFile, name string, readOnly bool, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &leanHandle{fs: l, file: f, name: name, readOnly: readOnly}, nil
}

// Remove implements FS.
func (l *Lean) Remove(name string) error {
	return l.do(OpRemove, name, func(at string) error {
		n := l.nodes[at]
		switch {
		case n == nil:
			return syscall.ENOENT
		case at == "/":
			return syscall.EINVAL
		case n.file == nil && len(l.children(at)) > 0:
			return syscall.ENOTEMPTY
		}
		delete(l.nodes, at)
		return nil
	})
}

// Rename implements FS, for files.
func (l *Lean) Rename(oldName, newName string) error {
	return l.both(OpRename, oldName, newName, func(from, to string) error {
		n, err := l.file(from)
		target := l.nodes[to]
		switch {
		case err != nil:
			return err
		case path.Dir(from) != path.Dir(to):
			return syscall.EXDEV
		case target == n:
			return nil
		case target != nil && target.file == nil:
			return syscall.EEXIST
		}
		delete(l.nodes, from)
		l.nodes[to] = n
		return nil
	})
}

// Link implements FS.
func (l *Lean) Link(oldName, newName string) error {
	return l.both(OpLink, oldName, newName, func(from, to string) error {
		n := l.nodes[from]
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.file == nil && l.nodes[to] == nil:
			return syscall.EPERM
		}
		return l.add(to, n)
	})
}

// List implements FS.
func (l *Lean) List(dir string) (entries []Entry, err error) {
	err = l.do(OpList, dir, func(at string) error {
		_, err := l.dir(at)
		if err == nil {
			entries = l.children(at)
		}
		return err
	})
	return entries, err
}

// children returns the entries of a directory in order. It looks at every path, of which a store has few.
func (l *Lean) children(dir string) []Entry {
	entries := []Entry{}
	for at, n := range l.nodes {
		if at == "/" || path.Dir(at) != dir {
			continue
		}
		entry := Entry{Name: path.Base(at), Dir: n.file == nil}
		if n.file != nil {
			entry.Size = n.file.length()
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// MkdirAll implements FS.
func (l *Lean) MkdirAll(dir string) error { return mkdirAll(l, dir) }

func (l *Lean) isDir(name string) (isDir bool, err error) {
	err = l.do(OpOpen, name, func(at string) error {
		n := l.nodes[at]
		if n == nil {
			return syscall.ENOENT
		}
		isDir = n.file == nil
		return nil
	})
	return isDir, err
}

func (l *Lean) mkdir(name string) error {
	return l.do(OpMkdir, name, func(at string) error { return l.add(at, &leanNode{}) })
}

// SyncDir implements FS. Names need no sync.
func (l *Lean) SyncDir(dir string) error {
	return l.do(OpSyncDir, dir, func(at string) error {
		_, err := l.dir(at)
		return err
	})
}

// FreeSpace implements FS. There is no limit.
func (l *Lean) FreeSpace(dir string) (int64, error) {
	err := l.do(OpFreeSpace, dir, func(at string) error {
		_, err := l.dir(at)
		return err
	})
	if err != nil {
		return 0, err
	}
	return math.MaxInt64, nil
}

// Lock implements FS. It keeps out other holders in this process; no other process can see the files.
func (l *Lean) Lock(name string) (Lock, error) {
	held := &leanLock{fs: l, name: name}
	var locked *LockedError
	err := l.do(OpLock, name, func(at string) error {
		dir, err := l.dir(path.Dir(at))
		if err != nil {
			return err
		}
		n, err := l.file(at)
		if errors.Is(err, fs.ErrNotExist) {
			n = &leanNode{file: &leanFile{}}
			err = l.add(at, n)
		}
		switch {
		case err != nil:
			return err
		case dir.lock == n:
			locked = &LockedError{Name: name, PID: os.Getpid()}
		case dir.lock != nil:
			locked = &LockedError{Name: name}
		default:
			n.file.truncate(0)
			n.file.write(holder(), 0)
			held.dir, dir.lock = dir, n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if locked != nil {
		return nil, locked
	}
	return held, nil
}

// leanLock is a held lock of a Lean.
type leanLock struct {
	fs   *Lean
	name string
	dir  *leanNode // nil once it is closed.
}

func (k *leanLock) Held() error {
	k.fs.mu.Lock()
	defer k.fs.mu.Unlock()
	if dir, err := k.fs.dir(path.Dir(clean(k.name))); err != nil || dir != k.dir {
		return lockLost(k.name)
	}
	return nil
}

func (k *leanLock) Close() error {
	k.fs.mu.Lock()
	defer k.fs.mu.Unlock()
	if k.dir != nil {
		k.dir.lock = nil
	}
	k.dir = nil
	return nil
}
