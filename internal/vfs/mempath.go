package vfs

import (
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// clean returns a name's path from the root. The root itself is "/".
func clean(name string) string { return path.Clean("/" + filepath.ToSlash(name)) }

func (m *Mem) find(name string) (node, error) {
	var n node = m.root
	for part := range strings.SplitSeq(clean(name), "/") {
		if part == "" {
			continue
		}
		d, ok := n.(*memDir)
		if !ok {
			return nil, syscall.ENOTDIR
		}
		if n, ok = d.names[part]; !ok {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

func (m *Mem) findFile(name string) (*memFile, error) {
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	f, ok := n.(*memFile)
	if !ok {
		return nil, errNotRegular
	}
	return f, nil
}

func (m *Mem) findDir(name string) (*memDir, error) {
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	d, ok := n.(*memDir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	return d, nil
}

// place returns the directory of a name, whether or not the name exists in it.
func (m *Mem) place(name string) (dir *memDir, base string, err error) {
	parent, base := path.Split(clean(name))
	if base == "" {
		return nil, "", syscall.EINVAL
	}
	dir, err = m.findDir(parent)
	return dir, base, err
}

// vacant is place for a name that must not exist yet.
func (m *Mem) vacant(name string) (dir *memDir, base string, err error) {
	dir, base, err = m.place(name)
	if err == nil && dir.names[base] != nil {
		err = syscall.EEXIST
	}
	return dir, base, err
}

// create makes an empty file. The name must be vacant, and there must be room for it.
func (m *Mem) create(name string) (*memFile, error) {
	dir, base, err := m.vacant(name)
	if err == nil {
		err = m.nameRoom()
	}
	if err != nil {
		return nil, err
	}
	return m.add(dir, base), nil
}

// add makes an empty file under a vacant name.
func (m *Mem) add(dir *memDir, base string) *memFile {
	f := &memFile{id: m.nextInode()}
	dir.record(nameChange{number: m.nextNumber(), name: base, node: f})
	return f
}
