package vfs

import (
	"math"
	"syscall"
)

// blockSize is the unit, in bytes, in which a Mem allocates space to files. It is the size of a page too.
const blockSize = 4096

// blocks holds, for each block of a file, whether it has space; the others are holes. No block past the end has any.
type blocks []bool

func blocksIn(size int64) int64 { return (size + blockSize - 1) / blockSize }

// missing counts the holes in the range from off to end.
func (b blocks) missing(off, end int64) int64 {
	var n int64
	for i := off / blockSize; i < blocksIn(end); i++ {
		if i >= int64(len(b)) || !b[i] {
			n++
		}
	}
	return n
}

// occupy gives space to the blocks in the range from off to end.
func (b *blocks) occupy(off, end int64) {
	if grow := blocksIn(end) - int64(len(*b)); grow > 0 {
		*b = append(*b, make(blocks, grow)...)
	}
	for i := off / blockSize; i < blocksIn(end); i++ {
		(*b)[i] = true
	}
}

// trim takes back the space past the end.
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

// room returns ENOSPC if the disk has too little space left to fill the holes of f in the range from off to end.
func (m *Mem) room(f *memFile, off, end int64) error {
	if m.capacity == 0 {
		return nil
	}
	need := f.blocks.missing(off, end)
	if need > 0 && (need+m.used())*blockSize > m.capacity {
		return syscall.ENOSPC
	}
	return nil
}

// nameRoom returns ENOSPC if names need space and no block is free.
func (m *Mem) nameRoom() error {
	if m.namesNeedSpace && m.capacity > 0 && (m.used()+1)*blockSize > m.capacity {
		return syscall.ENOSPC
	}
	return nil
}

// used counts the blocks of all files. A file with several names counts once.
func (m *Mem) used() int64 {
	var used int64
	counted := map[*memFile]bool{}
	m.root.walk("/", func(_ string, f *memFile) {
		if !counted[f] {
			counted[f] = true
			used += f.blocks.used()
		}
	})
	return used
}

// FreeSpace implements FS.
func (m *Mem) FreeSpace(dir string) (int64, error) {
	free := int64(math.MaxInt64)
	err := m.do(Call{Op: OpFreeSpace, Name: dir}, func() error {
		_, err := m.findDir(dir)
		if err == nil && m.capacity > 0 {
			free = max(0, m.capacity-m.used()*blockSize)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return free, nil
}
