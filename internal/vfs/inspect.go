package vfs

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"syscall"
)

// Names returns the paths of all files, sorted. No hook sees this call, nor any other of this file.
func (m *Mem) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	m.root.walk("/", func(name string, _ *memFile) { names = append(names, name) })
	slices.Sort(names)
	return names
}

// walk yields every file below, with its path.
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

// ReadFile returns a copy of what a file holds now.
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

// WriteFile gives a file other bytes, which are durable at once, beneath whoever has it open or mapped. A file and
// directories that are missing are made; the directories on the way are synced. It takes no notice of the capacity.
func (m *Mem) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.makeFile(name)
	if err != nil {
		return pathError(OpWrite, name, err)
	}
	f.settle(content{bytes: bytes.Clone(data)})
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
