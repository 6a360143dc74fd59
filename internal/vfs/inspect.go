package vfs

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io/fs"
	"maps"
	"path"
	"slices"
	"syscall"
)

// Names returns the paths of all files, sorted. No hook sees Names, ReadFile or WriteFile.
func (m *Mem) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	m.root.walk("/", func(name string, _ *memFile) { names = append(names, name) })
	slices.Sort(names)
	return names
}

// walk yields every file in the directory and below it, with its path.
func (d *memDir) walk(dir string, yield func(name string, f *memFile)) {
	for name, n := range d.names {
		switch n := n.(type) {
		case *memFile:
			yield(path.Join(dir, name), n)
		case *memDir:
			n.walk(path.Join(dir, name), yield)
		}
	}
}

// inUse names the files that are open, the mappings and the held locks, by their addresses. The Mem's mutex guards it.
type inUse map[any]string

func (u *inUse) add(what any, kind, name string) {
	if *u == nil {
		*u = inUse{}
	}
	(*u)[what] = kind + " " + name
}

// InUse returns a line for each file that is open, each mapping and each held lock, sorted: what kind it is, and the name by which it
// was opened. So a test can find what was never closed.
func (m *Mem) InUse() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Values(m.inUse))
}

// Digest writes to a hash what can be read, by name, and what a power cut could take of it. So two disks with the same digest go
// on alike. No hook sees it.
func (m *Mem) Digest(h *maphash.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inodes() // Collects what was stored through mappings.
	m.root.digest(h)
}

func (d *memDir) digest(h *maphash.Hash) {
	maphash.WriteComparable(h, [2]int{len(d.names), len(d.pending)})
	for _, ch := range d.pending {
		_, _ = h.WriteString(ch.from)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(ch.name)
		maphash.WriteComparable(h, ch.node == nil)
	}
	for _, name := range d.sortedNames() {
		_, _ = h.WriteString(name)
		_ = h.WriteByte(0)
		switch n := d.names[name].(type) {
		case *memFile:
			n.digest(h)
		case *memDir:
			n.digest(h)
		}
	}
}

func (f *memFile) digest(h *maphash.Hash) {
	maphash.WriteComparable(h, [3]int64{f.cache.size(), f.durable.size(), int64(len(f.pending))})
	_, _ = h.Write(f.cache.bytes)
	if len(f.pending) > 0 || !bytes.Equal(f.cache.bytes, f.durable.bytes) {
		_, _ = h.Write(f.durable.bytes)
	}
	for _, ch := range f.pending {
		maphash.WriteComparable(h, [3]int64{int64(ch.op), ch.off, ch.end()})
		_, _ = h.Write(ch.data)
	}
}

// ReadFile returns a copy of a file's current bytes, those of bad pages too.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.findFile(name)
	if err != nil {
		return nil, pathError(OpRead, name, err)
	}
	f.collect(m)
	return bytes.Clone(f.cache.bytes), nil
}

// WriteFile replaces a file's bytes, and makes the new ones durable at once. Open files and mappings show them. It creates
// the file and its directories if they are missing, and syncs those directories. It ignores the capacity.
func (m *Mem) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.makeFile(name)
	if err != nil {
		return pathError(OpWrite, name, err)
	}
	f.reset(content{bytes: bytes.Clone(data)})
	return nil
}

func (m *Mem) makeFile(name string) (*memFile, error) {
	dir, err := m.makeDir(path.Dir(clean(name)))
	if err != nil {
		return nil, err
	}
	defer dir.sync()
	f, err := m.findFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return m.add(dir, path.Base(clean(name))), nil
	}
	return f, err
}

func (m *Mem) makeDir(name string) (*memDir, error) {
	if name == "/" {
		return m.root, nil
	}
	parent, err := m.makeDir(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer parent.sync()
	base := path.Base(name)
	if parent.names[base] == nil {
		parent.record(nameChange{number: m.nextNumber(), name: base, node: newDir(m.nextInode())})
	}
	d, ok := parent.names[base].(*memDir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	return d, nil
}
