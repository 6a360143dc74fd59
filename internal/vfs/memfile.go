package vfs

import (
	"maps"
	"slices"
)

// change is one unsynced change of a file's bytes or length: a write, a truncate or an allocate.
type change struct {
	number int64 // Its place among all changes of the Mem, including those of names.
	op     Op
	off    int64  // Where a write starts; of an allocate the old length.
	data   []byte // Of a write. It isn't changed any more.
	size   int64  // Of a truncate or allocate: the new length.
}

// end returns where a write ends, or the length that another change leaves.
func (ch *change) end() int64 {
	if ch.op == OpWrite {
		return ch.off + int64(len(ch.data))
	}
	return ch.size
}

// memFile is a file's inode. It may have several names, and outlives them while a handle, a mapping or a directory's durable
// names refer to it. The Mem's mutex guards it, except the bytes of its views.
//
//   - durable with all of pending applied is what a successful sync would make durable;
//   - cache differs from that only where a failed sync dropped changes: there it has what was written;
//   - a view differs from cache only in bytes that were stored through a mapping since the last collect.
type memFile struct {
	id      int64
	durable content
	cache   content
	pending []change
	views   []*view
	blocks  blocks
	bad     map[int64]bool // Numbers of the pages that can't be read.

	failures int // Syncs that have failed.
}

// record remembers an unsynced change, and makes it in the page cache and in every view but from, where it came from.
func (f *memFile) record(ch change, from *view) {
	f.pending = append(f.pending, ch)
	for _, v := range f.views {
		if v != from {
			v.follow(&f.cache, ch)
		}
	}
	if ch.op != OpTruncate {
		f.blocks.occupy(ch.off, ch.end())
	}
	f.cache.apply(ch)
	f.trim()
}

// trim takes back what lies past the end: space and bad pages. It must follow every change of the length.
func (f *memFile) trim() {
	f.blocks.trim(f.cache.size())
	maps.DeleteFunc(f.bad, func(page int64, _ bool) bool { return page >= blocksIn(f.cache.size()) })
	f.checkViews()
}

// collect turns what was stored through mappings since the last collect into pending writes, one for each run of differing
// sectors.
func (f *memFile) collect(m *Mem) {
	for _, v := range f.views {
		for off := int64(0); off < v.limit(&f.cache); {
			start, end := v.nextDifference(f.cache.bytes[:v.limit(&f.cache)], off)
			if start < end {
				f.record(change{number: m.nextNumber(), op: OpWrite, off: start, data: v.read(start, end)}, v)
			}
			off = end
		}
	}
}

// sync makes what is pending durable.
func (f *memFile) sync() {
	for _, ch := range f.pending {
		f.durable.apply(ch)
	}
	f.pending = nil
}

// reset replaces the file's bytes with c, and makes them durable.
func (f *memFile) reset(c content) {
	for _, v := range f.views {
		v.follow(&f.cache, change{op: OpTruncate})
		v.follow(&content{}, change{op: OpWrite, data: c.bytes})
	}
	f.durable, f.pending = c, nil
	f.cache = f.durable.share()
	f.trim()
	f.blocks.occupy(0, c.size())
}

// clone returns an independent file in the same state that isn't open, mapped or locked.
func (f *memFile) clone() *memFile {
	return &memFile{
		id:      f.id,
		durable: f.durable.share(),
		cache:   f.cache.share(),
		pending: slices.Clone(f.pending),
		blocks:  slices.Clone(f.blocks),
		bad:     maps.Clone(f.bad),
	}
}

// viewOf returns a view of at least size bytes. It prefers one that is mapped already, so that mappings of one file share
// their memory.
func (f *memFile) viewOf(size int64) *view {
	i := slices.IndexFunc(f.views, func(v *view) bool { return int64(len(v.bytes)) >= size })
	if i >= 0 {
		return f.views[i]
	}
	v := &view{bytes: slices.Clone(f.cache.bytes[:size])}
	f.views = append(f.views, v)
	f.checkViews()
	return v
}
