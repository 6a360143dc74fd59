package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// memHandle is an open file of a Mem.
type memHandle struct {
	mem      *Mem
	file     *memFile
	name     string // The one by which it was opened, for hooks and errors.
	readOnly bool
	closed   bool // Guarded by the Mem's mutex.
	seen     int  // How many of the file's failed syncs it has reported, or was opened after. Guarded likewise.
}

// do does a call's work, unless the handle is closed. It collects first what was stored through mappings.
func (h *memHandle) do(c Call, work func() error) error {
	c.Name = h.name
	return h.mem.do(c, func() error { return h.use(work) })
}

func (h *memHandle) use(work func() error) error {
	if h.closed {
		return fs.ErrClosed
	}
	h.file.collect(h.mem)
	return work()
}

// change does the work of a call that lets the file reach to end.
func (h *memHandle) change(c Call, end int64, work func() error) error {
	return h.do(c, func() error { return h.mayChange(end, work) })
}

func (h *memHandle) mayChange(end int64, work func() error) error {
	switch {
	case h.readOnly:
		return syscall.EBADF
	case end < 0:
		return syscall.EINVAL
	case end > fileSizeMax:
		return syscall.EFBIG
	}
	return work()
}

func (h *memHandle) ReadAt(p []byte, off int64) (n int, err error) {
	err = h.do(Call{Op: OpRead, Off: off, Len: int64(len(p))}, func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		n = copy(p, h.file.cache.bytes[min(off, h.file.cache.size()):])
		if bad, found := h.file.badFrom(off, off+int64(n)); found {
			n = int(max(0, bad-off))
			return syscall.EIO
		}
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (h *memHandle) WriteAt(p []byte, off int64) (n int, err error) {
	call, err := h.mem.enter(Call{Op: OpWrite, Name: h.name, Off: off, Len: int64(len(p))})
	var short *ShortWrite
	if errors.As(err, &short) {
		p = p[:max(0, min(short.Bytes, len(p)))]
	} else if err != nil {
		return 0, pathError(OpWrite, h.name, err)
	}
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	end := off + int64(len(p))
	if off < 0 {
		end = off
	}
	failed := h.use(func() error {
		return h.mayChange(end, func() error {
			h.mem.hold(call)
			return h.write(p, off)
		})
	})
	if failed != nil {
		return 0, pathError(OpWrite, h.name, failed)
	}
	return len(p), pathError(OpWrite, h.name, err)
}

func (h *memHandle) write(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	h.file.collect(h.mem) // Again, since the write may have been held back.
	if err := h.mem.room(h.file, off, off+int64(len(p))); err != nil {
		return err
	}
	h.mem.record(h.file, change{op: OpWrite, off: off, data: bytes.Clone(p)})
	return nil
}

func (h *memHandle) Truncate(size int64) error {
	return h.change(Call{Op: OpTruncate, Len: size}, size, func() error {
		h.mem.record(h.file, change{op: OpTruncate, size: size})
		return nil
	})
}

// Reserve is Allocate: a Mem has only one kind of space.
func (h *memHandle) Reserve(size int64) error { return h.Allocate(size) }

func (h *memHandle) Allocate(size int64) error {
	return h.change(Call{Op: OpAllocate, Len: size}, size, func() error {
		old := h.file.cache.size()
		if size <= old {
			return nil
		}
		if err := h.mem.room(h.file, old, size); err != nil {
			return err
		}
		h.mem.record(h.file, change{op: OpAllocate, off: old, size: size})
		return nil
	})
}

func (h *memHandle) Sync() error {
	_, err := h.mem.enter(Call{Op: OpSync, Name: h.name})
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	failed := h.use(func() error {
		switch {
		case err != nil:
			h.file.failures++
		case h.seen < h.file.failures:
			err = syscall.EIO
		}
		h.seen = h.file.failures
		if err == nil {
			h.file.sync()
		}
		h.file.pending = nil // A sync that failed drops the changes for good.
		return err
	})
	return pathError(OpSync, h.name, failed)
}

func (h *memHandle) Size() (int64, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if h.closed {
		return 0, &fs.PathError{Op: "size", Path: h.name, Err: fs.ErrClosed}
	}
	return h.file.cache.size(), nil
}

func (h *memHandle) HasName(name string) (bool, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if h.closed {
		return false, &fs.PathError{Op: "stat", Path: h.name, Err: fs.ErrClosed}
	}
	named, err := h.mem.find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return named == node(h.file), pathError(OpOpen, name, err)
}

func (h *memHandle) Map(size int64) (Mapping, error) {
	var mapping *memMapping
	err := h.do(Call{Op: OpMap, Len: size}, func() error {
		if size <= 0 || size > h.file.cache.size() {
			return syscall.EINVAL
		}
		v := h.file.viewOf(size)
		v.users++
		mapping = &memMapping{mem: h.mem, file: h.file, name: h.name, view: v, size: size}
		h.mem.inUse.add(mapping, "mapping", h.name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return mapping, nil
}

func (h *memHandle) MapRead(size int64) (Mapping, error) { return h.Map(size) }

func (h *memHandle) Close() error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if h.closed {
		return &fs.PathError{Op: "close", Path: h.name, Err: fs.ErrClosed}
	}
	h.closed = true
	delete(h.mem.inUse, h)
	return nil
}
