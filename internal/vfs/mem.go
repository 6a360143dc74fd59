package vfs

import (
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Mem is a file system in memory, for tests. It models a disk and the page cache above it, and knows which bytes and names
// were synced. Crash returns a state that a power cut could leave now, Exit the state after the death of the process. A hook
// sees every call and may fail it.
//
// A Mem may be used concurrently. Names are cleaned and start at one root: "db" and "/db" are the same. Only the root exists
// from the start. Mappings of one file share their memory, unless the later one is longer: then each shows the other's
// stores after the next call on the file.
//
// A failed Sync drops what was pending, as on Linux: reads still show it, no later Sync writes it, and only writing the same
// bytes again makes them pending again. The next Sync of every other handle that was open then fails too, once. A failed SyncDir
// drops nothing.
type Mem struct {
	mu         sync.Mutex // Guards the fields below and everything reachable from root. Not held while a hook runs.
	root       *memDir
	hook       func(Call) error
	held       []*heldWrite // Writes to hold back.
	calls      int          // The number of calls that a hook saw or would have seen.
	inUse      inUse        // For InUse.
	lastNumber int64        // The number of the last change of bytes or names.
	lastInode  int64
	capacity   int64 // In bytes; 0 is unlimited.

	namesNeedSpace bool  // Whether a new name needs a free block.
	tornNeighbours int64 // The size of the sectors that a power cut may damage, in bytes; 0 for none.
}

var _ FS = (*Mem)(nil)

// fileSizeMax bounds a file of a Mem, in bytes. A wrong length must fail instead of filling the machine's memory.
const fileSizeMax = 1 << 30

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{root: newDir(0)} }

// SetHook installs a function that runs before every call, in the calling goroutine; nil removes it. If the hook returns an
// error, the call fails with it and has no effect. There are two exceptions: a failed Sync drops what was pending, and a
// *ShortWrite lets a part of a write happen. The hook may use the Mem, for example to take a Crash.
func (m *Mem) SetHook(hook func(Call) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

// SetCapacity sets the size of the disk in bytes; 0 is unlimited. Files that have a name take space, in blocks of 4 KiB. A
// write or Allocate that needs more than is left fails with ENOSPC and changes nothing. A store through a mapping into a
// hole always succeeds.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// SetNamesNeedSpace makes Create, Rename, Link and MkdirAll fail with ENOSPC while no block is free, and Lock if its file is
// missing. A real directory may need a block for a new name, and some file systems need one for any change. By default no
// name needs space, and Remove never does.
func (m *Mem) SetNamesNeedSpace(need bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.namesNeedSpace = need
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	var f *memFile
	err := m.do(Call{Op: OpCreate, Name: name}, func() (err error) {
		f, err = m.create(name)
		return err
	})
	return m.handle(f, name, false, err)
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenRead implements FS, except that a store in its mapping doesn't fault.
func (m *Mem) OpenRead(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, readOnly bool) (File, error) {
	var f *memFile
	err := m.do(Call{Op: OpOpen, Name: name}, func() (err error) {
		f, err = m.findFile(name)
		return err
	})
	return m.handle(f, name, readOnly, err)
}

func (m *Mem) handle(f *memFile, name string, readOnly bool, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &memHandle{mem: m, file: f, name: name, readOnly: readOnly, seen: f.failures}
	m.inUse.add(h, "file", name)
	return h, nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	return m.do(Call{Op: OpRemove, Name: name}, func() error {
		dir, base, err := m.place(name)
		if err != nil {
			return err
		}
		switch n := dir.names[base].(type) {
		case nil:
			return syscall.ENOENT
		case *memDir:
			if len(n.names) > 0 {
				return syscall.ENOTEMPTY
			}
		}
		dir.record(nameChange{number: m.nextNumber(), name: base})
		return nil
	})
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	_, err := m.enter(Call{Op: OpRename, Name: oldName})
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = m.rename(oldName, newName)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *Mem) rename(oldName, newName string) error {
	dir, oldBase, err := m.place(oldName)
	if err != nil {
		return err
	}
	newDir, newBase, err := m.place(newName)
	if err != nil {
		return err
	}
	moved := dir.names[oldBase]
	_, ontoDir := dir.names[newBase].(*memDir)
	switch {
	case dir != newDir:
		return syscall.EXDEV
	case moved == nil:
		return syscall.ENOENT
	case dir.names[newBase] == moved:
		return nil
	case ontoDir:
		return syscall.EEXIST
	}
	if err := m.nameRoom(); err != nil {
		return err
	}
	dir.record(nameChange{number: m.nextNumber(), name: newBase, node: moved, from: oldBase})
	return nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	_, err := m.enter(Call{Op: OpLink, Name: oldName})
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = m.link(oldName, newName)
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *Mem) link(oldName, newName string) error {
	linked, err := m.find(oldName)
	if err != nil {
		return err
	}
	dir, base, err := m.vacant(newName)
	if err != nil {
		return err
	}
	if _, isFile := linked.(*memFile); !isFile {
		return syscall.EPERM
	}
	if err := m.nameRoom(); err != nil {
		return err
	}
	dir.record(nameChange{number: m.nextNumber(), name: base, node: linked})
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]Entry, error) {
	var entries []Entry
	err := m.do(Call{Op: OpList, Name: dir}, func() error {
		d, err := m.findDir(dir)
		if err != nil {
			return err
		}
		entries = make([]Entry, 0, len(d.names))
		for _, name := range d.sortedNames() {
			entry := Entry{Name: name, Dir: true}
			if f, ok := d.names[name].(*memFile); ok {
				entry.Dir, entry.Size = false, f.cache.size()
			}
			entries = append(entries, entry)
		}
		return nil
	})
	return entries, err
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error { return mkdirAll(m, dir) }

func (m *Mem) isDir(name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	_, ok := n.(*memDir)
	return ok, pathError(OpOpen, name, err)
}

func (m *Mem) mkdir(name string) error {
	return m.do(Call{Op: OpMkdir, Name: name}, func() error {
		parent, base, err := m.vacant(name)
		if err == nil {
			err = m.nameRoom()
		}
		if err != nil {
			return err
		}
		parent.record(nameChange{number: m.nextNumber(), name: base, node: newDir(m.nextInode())})
		return nil
	})
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	return m.do(Call{Op: OpSyncDir, Name: dir}, func() error {
		d, err := m.findDir(dir)
		if err == nil {
			d.sync()
		}
		return err
	})
}

// enter counts a call, asks the hook about it, and returns it with its number.
func (m *Mem) enter(c Call) (Call, error) {
	m.mu.Lock()
	m.calls++
	c.N = m.calls
	hook := m.hook
	m.mu.Unlock()
	if hook == nil {
		return c, nil
	}
	return c, hook(c)
}

// do asks the hook, and then does the call's work with the Mem locked.
func (m *Mem) do(c Call, work func() error) error {
	_, err := m.enter(c)
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = work()
	}
	return pathError(c.Op, c.Name, err)
}

func pathError(op Op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op.String(), Path: name, Err: err}
}

func (m *Mem) nextNumber() int64 {
	m.lastNumber++
	return m.lastNumber
}

func (m *Mem) nextInode() int64 {
	m.lastInode++
	return m.lastInode
}

// record makes an unsynced change of a file.
func (m *Mem) record(f *memFile, ch change) {
	ch.number = m.nextNumber()
	f.record(ch, nil)
}
