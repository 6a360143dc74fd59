package vfs

import (
	"cmp"
	"maps"
	"slices"
)

// Clone returns an independent copy. It has the same names and bytes, and the same of them are durable and pending. None of
// its files is open, mapped or locked, and it has no hook.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	dirs, files := m.inodes()
	t := newTwins(dirs, files, (*memFile).clone)
	for _, d := range dirs {
		twin := t[d].(*memDir)
		twin.names, twin.durable = t.names(d.names), t.names(d.durable)
		for _, ch := range d.pending {
			ch.node = t.of(ch.node)
			twin.pending = append(twin.pending, ch)
		}
	}
	return m.with(t)
}

// Exit returns the state of the disk after the process dies now, while the machine goes on. Everything that was written or
// stored through a mapping is in the page cache. What was pending still is, so a power cut can still take it. What a failed
// Sync dropped can be read and is on no disk. Locks are released. The receiver doesn't change.
func (m *Mem) Exit() *Mem { return m.Clone() }

// with returns a Mem with the same settings whose inodes are the twins.
func (m *Mem) with(t twins) *Mem {
	return &Mem{
		root:           t[m.root].(*memDir),
		lastNumber:     m.lastNumber,
		lastInode:      m.lastInode,
		capacity:       m.capacity,
		namesNeedSpace: m.namesNeedSpace,
		tornNeighbours: m.tornNeighbours,
	}
}

// inodes returns all inodes that some state of the disk could show, in the order in which they were created. It collects
// first what was stored through mappings.
func (m *Mem) inodes() (dirs []*memDir, files []*memFile) {
	seen := map[node]bool{}
	var visit func(node)
	visit = func(n node) {
		if seen[n] {
			return
		}
		seen[n] = true
		switch n := n.(type) {
		case *memFile:
			n.collect(m)
			files = append(files, n)
		case *memDir:
			dirs = append(dirs, n)
			n.children(visit)
		}
	}
	visit(m.root)
	slices.SortFunc(dirs, func(a, b *memDir) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(files, func(a, b *memFile) int { return cmp.Compare(a.id, b.id) })
	return dirs, files
}

// twins maps each inode of one Mem to its counterpart in another.
type twins map[node]node

// newTwins makes twins of files by calling twin. The twins of directories have no names yet.
func newTwins(dirs []*memDir, files []*memFile, twin func(*memFile) *memFile) twins {
	t := make(twins, len(dirs)+len(files))
	for _, f := range files {
		t[f] = twin(f)
	}
	for _, d := range dirs {
		t[d] = newDir(d.id)
	}
	return t
}

func (t twins) of(n node) node {
	if n == nil {
		return nil
	}
	return t[n]
}

// names returns the same names, of the twins. It returns nil for nil.
func (t twins) names(names map[string]node) map[string]node {
	twin := maps.Clone(names)
	for name, n := range twin {
		twin[name] = t[n]
	}
	return twin
}
