package vfs

import (
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
)

// leanChunk is the unit in which a leanFile takes memory, in bytes. A file grows by chunks without being copied.
const leanChunk = 16 << 10

// leanSizeMax bounds a leanFile, in bytes. A wrong length must fail instead of filling the machine's memory.
const leanSizeMax = 64 << 30

// leanFile is the content of a file of a Lean.
//
// Invariants: there is a chunk for every position before size; a chunk that is nil reads as zeros and takes no memory, so
// that space which is allocated ahead of need is free; in a chunk, bytes past size are zeros.
type leanFile struct {
	mu     sync.RWMutex
	chunks []*[leanChunk]byte
	size   int64
}

func (f *leanFile) length() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size
}

func (f *leanFile) read(p []byte, off int64) (n int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p = p[:max(0, min(int64(len(p)), f.size-off))]
	for n < len(p) {
		at := off + int64(n)
		if chunk := f.chunks[at/leanChunk]; chunk != nil {
			n += copy(p[n:], chunk[at%leanChunk:])
			continue
		}
		hole := p[n:min(len(p), n+int(leanChunk-at%leanChunk))]
		clear(hole)
		n += len(hole)
	}
	return n
}

func (f *leanFile) write(p []byte, off int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(p) == 0 {
		return
	}
	f.grow(off + int64(len(p)))
	for n := 0; n < len(p); {
		at := off + int64(n)
		chunk := &f.chunks[at/leanChunk]
		if *chunk == nil {
			*chunk = new([leanChunk]byte)
		}
		n += copy((*chunk)[at%leanChunk:], p[n:])
	}
}

// grow lengthens the file with zeros, if it is shorter. The caller holds mu.
func (f *leanFile) grow(size int64) {
	if missing := (size+leanChunk-1)/leanChunk - int64(len(f.chunks)); missing > 0 {
		f.chunks = append(f.chunks, make([]*[leanChunk]byte, missing)...)
	}
	f.size = max(f.size, size)
}

func (f *leanFile) truncate(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grow(size)
	kept := int((size + leanChunk - 1) / leanChunk)
	clear(f.chunks[kept:])
	f.chunks, f.size = f.chunks[:kept], size
	if rest := size % leanChunk; rest > 0 && f.chunks[kept-1] != nil {
		clear(f.chunks[kept-1][rest:])
	}
}

// leanHandle is an open file of a Lean.
type leanHandle struct {
	fs       *Lean
	file     *leanFile
	name     string // The one by which it was opened, for errors.
	readOnly bool
	closed   atomic.Bool
}

// may returns why a call can't be made, which is at a position or for a length.
func (h *leanHandle) may(op Op, at int64) error {
	var err error
	switch {
	case h.closed.Load():
		err = fs.ErrClosed
	case at < 0:
		err = syscall.EINVAL
	}
	return pathError(op, h.name, err)
}

// mayChange is may for a call that lets the file reach to end.
func (h *leanHandle) mayChange(op Op, at, end int64) error {
	err := h.may(op, at)
	switch {
	case err != nil:
		return err
	case h.readOnly:
		return pathError(op, h.name, syscall.EBADF)
	case end > leanSizeMax:
		return pathError(op, h.name, syscall.EFBIG)
	}
	return nil
}

func (h *leanHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.may(OpRead, off); err != nil {
		return 0, err
	}
	n := h.file.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *leanHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.mayChange(OpWrite, off, off+int64(len(p))); err != nil {
		return 0, err
	}
	h.file.write(p, off)
	return len(p), nil
}

func (h *leanHandle) Size() (int64, error) { return h.file.length(), h.may(OpRead, 0) }

func (h *leanHandle) HasName(name string) (bool, error) {
	if err := h.may(OpRead, 0); err != nil {
		return false, err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	n := h.fs.nodes[clean(name)]
	return n != nil && n.file == h.file, nil
}

func (h *leanHandle) Truncate(size int64) error {
	if err := h.mayChange(OpTruncate, size, size); err != nil {
		return err
	}
	h.file.truncate(size)
	return nil
}

func (h *leanHandle) Allocate(size int64) error {
	if err := h.mayChange(OpAllocate, size, size); err != nil {
		return err
	}
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	h.file.grow(size)
	return nil
}

func (h *leanHandle) Reserve(size int64) error { return h.Allocate(size) }

func (h *leanHandle) Sync() error { return h.may(OpSync, 0) }

// Map always fails: a mapping would need the file's memory in one piece, which then could not grow without being copied.
func (h *leanHandle) Map(size int64) (Mapping, error) {
	if err := h.may(OpMap, size); err != nil {
		return nil, err
	}
	if size == 0 || size > h.file.length() {
		return nil, pathError(OpMap, h.name, syscall.EINVAL)
	}
	return nil, pathError(OpMap, h.name, ErrMapUnsupported)
}

func (h *leanHandle) MapRead(size int64) (Mapping, error) { return h.Map(size) }

func (h *leanHandle) Close() error {
	if h.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: h.name, Err: fs.ErrClosed}
	}
	return nil
}
