package wal

import (
	"runtime"

	"github.com/walnutkv/walnut/internal/vfs"
)

// In the modes that sync seldom the active store is mapped, and records are stored through the mapping: that gives them to the
// kernel for a fraction of what a system call costs. A large record, and each where files can't be mapped, is a write.

// writesThroughMap says whether this system's fsync covers what was stored through a shared mapping, as Linux's does.
const writesThroughMap = runtime.GOOS == "linux"

// defaultWriteFrom is the size of a payload from which a call costs less than the pages that a mapping faults in: with 64 KiB
// two thirds (BenchmarkAppend), with 4 KiB as much.
const defaultWriteFrom = 8 << 10

// scratchMax is the size above which a buffer isn't kept for the next frame or group.
const scratchMax = 8 << 20

// mapAll sees to it that everything allocated is mapped.
func (s *store) mapAll(writeFrom int) (err error) {
	size := s.allocated.Load()
	if s.mapped >= size {
		return nil
	}
	if err := s.unmap(); err != nil {
		return err
	}
	if s.mapping, err = s.file.Map(size); err == nil {
		s.mapped, s.writeFrom = size, writeFrom
	}
	return err
}

// unmap gives the mapping up, if there is one. What was stored through it is the kernel's.
func (s *store) unmap() error {
	if s.mapping == nil {
		return nil
	}
	mapping := s.mapping
	s.mapping, s.mapped = nil, 0
	return mapping.Close()
}

// give gives a frame to the kernel, at the store's end: through the mapping where it is small and mapped, or else by a write.
func (s *store) give(kind frameKind, payload []byte, sum uint32) error {
	if len(payload) < s.writeFrom && s.end+frameSize(len(payload)) <= s.mapped {
		return vfs.Guard(func() error {
			s.layOut(s.mapping.Bytes()[s.end:s.end], kind, payload, sum)
			s.written.set(s.end, s.count())
			return nil
		})
	}
	position := s.end
	buffer := s.layOut(s.scratch[:0], kind, payload, sum)
	if cap(buffer) <= scratchMax {
		s.scratch = buffer
	}
	return s.write(buffer, position, s.count())
}
