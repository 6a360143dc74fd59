package vfs

import "syscall"

// blockSize is the unit, in bytes, in which a Mem gives out space to files.
const blockSize = 4096

// blocks says which blocks of a file have space; the others are holes. It has none past the end of the file.
type blocks []bool

func blocksIn(size int64) int64 { return (size + blockSize - 1) / blockSize }

// missing counts the holes from off to end.
func (b blocks) missing(off, end int64) int64 {
	var n int64
	for i := off / blockSize; i < blocksIn(end); i++ {
		if i >= int64(len(b)) || !b[i] {
			n++
		}
	}
	return n
}

// occupy gives space to the blocks from off to end.
func (b *blocks) occupy(off, end int64) {
	if grow := blocksIn(end) - int64(len(*b)); grow > 0 {
		*b = append(*b, make(blocks, grow)...)
	}
	for i := off / blockSize; i < blocksIn(end); i++ {
		(*b)[i] = true
	}
}

// trim takes the space back that lies past the end.
func (b *blocks) trim(size int64) { *b = (*b)[:min(int64(len(*b)), blocksIn(size))] }

// used counts the blocks that have space.
func (b blocks) used() int64 {
	var n int64
	for _, has := range b {
		if has {
			n++
		}
	}
	return n
}

// room returns ENOSPC where the disk has too little left for the holes of f from off to end.
func (m *Mem) room(f *memFile, off, end int64) error {
	if m.capacity == 0 {
		return nil
	}
	need := f.blocks.missing(off, end)
	if need == 0 {
		return nil
	}
	m.root.walk("/", func(_ string, other *memFile) { need += other.blocks.used() })
	if need*blockSize > m.capacity {
		return syscall.ENOSPC
	}
	return nil
}
