package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/walnutkv/walnut/internal/vfs"
)

// An index entry: the record's offset less the segment's base, and the position of its frame in the store.
const (
	entryOffsetAt   = 0
	entryPositionAt = entryOffsetAt + 4
	entrySize       = entryPositionAt + 4

	indexMinSize = 4 << 10
)

// index maps a segment's offsets to positions. It is a hint: whoever reads by it checks the frame it leads to, and it
// is rebuilt from the store when in doubt. Its file is as long as what is allocated; how many entries there are is the
// store's to say. Where the platform can't map files the entries stay in memory and the file is left alone.
//
// Entries may be got concurrently with everything, once they have been put.
type index struct {
	fs   vfs.FS
	path string
	file vfs.File // nil where the entries are in memory only.

	mu      sync.Mutex // Held to change entries.
	entries atomic.Pointer[[]byte]
	maps    []vfs.Mapping // Every mapping made: readers may still look through an older, smaller one.
}

// newMemoryIndex returns an index without a file.
func newMemoryIndex(path string) *index {
	x := &index{path: path}
	x.entries.Store(new([]byte))
	return x
}

// openIndex opens an index file for the entries of a sealed or recovered segment, or makes an empty one.
func openIndex(fsys vfs.FS, path string) (*index, error) {
	x := newMemoryIndex(path)
	x.fs = fsys
	file, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = fsys.Create(path)
	}
	if err != nil {
		return nil, err
	}
	x.file = file
	size, err := file.Size()
	if err == nil && size >= entrySize {
		err = x.remap(size)
	}
	if err != nil {
		return nil, errors.Join(err, x.close())
	}
	return x, nil
}

// openIndexReadOnly opens an index file for reading; one that can't be used is an empty index in memory.
func openIndexReadOnly(fsys vfs.FS, path string) *index {
	file, err := fsys.OpenRead(path)
	if err != nil {
		return newMemoryIndex(path)
	}
	x := newMemoryIndex(path)
	x.fs, x.file = fsys, file
	size, err := file.Size()
	if err == nil && size >= entrySize {
		err = x.remap(size)
	}
	if err != nil {
		_ = x.close()
		return newMemoryIndex(path)
	}
	return x
}

// remap maps the first size bytes of the file.
func (x *index) remap(size int64) error {
	mapping, err := x.file.Map(size)
	if errors.Is(err, vfs.ErrMapUnsupported) {
		return x.leaveFile()
	}
	if err != nil {
		return fmt.Errorf("map %s: %w", x.path, err)
	}
	x.maps = append(x.maps, mapping)
	entries := mapping.Bytes()
	x.entries.Store(&entries)
	return nil
}

// leaveFile goes on in memory.
func (x *index) leaveFile() error {
	file := x.file
	x.file = nil
	return file.Close()
}

// get returns the position of the record whose offset is base+i; ok is false where the entry can't be right.
func (x *index) get(i uint32) (position int64, ok bool) {
	entries := *x.entries.Load()
	at := int64(i) * entrySize
	if at+entrySize > int64(len(entries)) {
		return 0, false
	}
	entry := entries[at : at+entrySize]
	position = int64(binary.LittleEndian.Uint32(entry[entryPositionAt:]))
	return position, binary.LittleEndian.Uint32(entry[entryOffsetAt:]) == i && position >= headSize
}

// put sets the entry of the record whose offset is base+i. There must be room.
func (x *index) put(i uint32, position int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	putEntry(*x.entries.Load(), i, position)
}

func putEntry(entries []byte, i uint32, position int64) {
	entry := entries[int64(i)*entrySize:][:entrySize]
	binary.LittleEndian.PutUint32(entry[entryOffsetAt:], i)
	binary.LittleEndian.PutUint32(entry[entryPositionAt:], uint32(position))
}

// correct replaces the entries by ones in memory that say these positions. The file is left to the next open: somebody
// may be reading through its mapping.
func (x *index) correct(positions []uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	entries := bytes.Clone(*x.entries.Load())
	if need := len(positions) * entrySize; need > len(entries) {
		entries = append(entries, make([]byte, need-len(entries))...)
	}
	for i, position := range positions {
		putEntry(entries, uint32(i), int64(position))
	}
	x.entries.Store(&entries)
}

// hasRoom reports whether there is room for this many entries.
func (x *index) hasRoom(count uint32) bool {
	return int64(count)*entrySize <= int64(len(*x.entries.Load()))
}

// makeRoom makes room for this many entries. A full disk is ErrNoSpace and changes nothing.
func (x *index) makeRoom(count uint32) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	have := int64(len(*x.entries.Load()))
	need := int64(count) * entrySize
	if need <= have {
		return nil
	}
	size := max(need, 2*have, indexMinSize)
	if x.file != nil {
		if err := x.file.Allocate(size); err != nil {
			return noSpaceOr(err)
		}
		if err := x.remap(size); err != nil {
			return err
		}
		if x.file != nil {
			return nil
		}
	}
	grown := make([]byte, size)
	copy(grown, *x.entries.Load())
	x.entries.Store(&grown)
	return nil
}

// check reports whether the index has exactly the entries of count records, in order and inside the first end bytes of
// the store. That each leads to its record is checked by whoever follows it.
func (x *index) check(count uint32, end int64) bool {
	if int64(len(*x.entries.Load())) != int64(count)*entrySize {
		return false
	}
	last := int64(0)
	for i := range count {
		position, ok := x.get(i)
		if !ok || position <= last || position >= end || position%frameAlign != 0 {
			return false
		}
		last = position
	}
	return true
}

// fill makes the index say exactly these positions, and reports whether it said so before.
func (x *index) fill(positions []uint32) (same bool, err error) {
	same = true
	if err := x.makeRoom(uint32(len(positions))); err != nil {
		return false, err
	}
	for i, position := range positions {
		if was, ok := x.get(uint32(i)); !ok || was != int64(position) {
			same = false
			x.put(uint32(i), int64(position))
		}
	}
	return same, nil
}

// fillAnyway is fill that goes on with an index in memory where the disk is full: a log must open there, so that it can
// be truncated. On any other error the index is closed.
func (x *index) fillAnyway(positions []uint32) (filled *index, same bool, err error) {
	same, err = x.fill(positions)
	if err == nil {
		return x, same, nil
	}
	if closed := x.close(); !errors.Is(err, ErrNoSpace) || closed != nil {
		return nil, false, errors.Join(err, closed)
	}
	filled = newMemoryIndex(x.path)
	_, err = filled.fill(positions)
	return filled, false, err
}

// trim cuts the file to the entries of count records. Entries behind them must not be asked for any more.
func (x *index) trim(count uint32) error {
	if x.file == nil {
		return nil
	}
	return x.file.Truncate(int64(count) * entrySize)
}

// close unmaps and closes. No get may run or follow.
func (x *index) close() error {
	var errs []error
	for _, mapping := range x.maps {
		errs = append(errs, mapping.Close())
	}
	x.maps = nil
	x.entries.Store(new([]byte))
	if x.file != nil {
		errs = append(errs, x.file.Close())
		x.file = nil
	}
	return errors.Join(errs...)
}
