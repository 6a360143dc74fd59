package vfs

import (
	"maps"
	"slices"
)

// node is a file or a directory: a *memFile or a *memDir.
type node interface{ inode() int64 }

func (f *memFile) inode() int64 { return f.id }
func (d *memDir) inode() int64  { return d.id }

// nameChange is one unsynced change of a directory, and atomic: name now stands for node, or is gone if node is nil. The
// name from is gone too, unless it is empty.
type nameChange struct {
	number int64 // Its place among all changes of the Mem, including those of bytes.
	name   string
	node   node
	from   string
}

// memDir is a directory's inode. The Mem's mutex guards it.
//
//   - durable with all of pending applied is names;
//   - durable is nil if nothing is pending: then names is durable.
type memDir struct {
	id      int64
	durable map[string]node
	names   map[string]node
	pending []nameChange
	lock    *memFile // The file of the directory's lock; nil if it isn't locked.
}

func newDir(id int64) *memDir { return &memDir{id: id, names: map[string]node{}} }

// record makes an unsynced change and remembers it as pending.
func (d *memDir) record(ch nameChange) {
	if d.durable == nil {
		d.durable = maps.Clone(d.names)
	}
	d.pending = append(d.pending, ch)
	ch.apply(d.names)
}

func (d *memDir) sync() { d.durable, d.pending = nil, nil }

// surviving returns the names that are durable.
func (d *memDir) surviving() map[string]node {
	if d.durable == nil {
		return d.names
	}
	return d.durable
}

// children yields every node that the directory holds, now or in some state that a power cut could leave.
func (d *memDir) children(yield func(node)) {
	for _, n := range d.names {
		yield(n)
	}
	for _, n := range d.durable {
		yield(n)
	}
	for _, ch := range d.pending {
		if ch.node != nil {
			yield(ch.node)
		}
	}
}

func (d *memDir) sortedNames() []string { return slices.Sorted(maps.Keys(d.names)) }

func (ch *nameChange) apply(names map[string]node) {
	if ch.from != "" {
		delete(names, ch.from)
	}
	if ch.node == nil {
		delete(names, ch.name)
		return
	}
	names[ch.name] = ch.node
}
