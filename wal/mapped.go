package wal

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// writesThroughMap says whether this system's fsync covers what was stored through a shared mapping, as Linux's does.
const writesThroughMap = runtime.GOOS == "linux"

// defaultWriteFrom is the size of a payload from which a call costs less than the pages that a mapping faults in: with 64 KiB
// two thirds (BenchmarkAppend), with 4 KiB as much.
const defaultWriteFrom = 8 << 10

// In the modes that acknowledge a record once the kernel has it, the active store is mapped and records are stored
// through the mapping: that gives them to the kernel for a fraction of what a system call costs. A large record, and each
// where files can't be mapped, is a write; the kernel has the same pages for both. Either way a record is acknowledged when
// Submit returns, and no group ever forms but for marks.

// mapped returns how many bytes of the store are mapped.
func (s *store) mapped() int64 {
	if s.mapping == nil {
		return 0
	}
	return int64(len(s.mapping.Bytes()))
}

// unmap gives the mapping up, if there is one. What was stored through it is the kernel's.
func (s *store) unmap() error {
	if s.mapping == nil {
		return nil
	}
	mapping := s.mapping
	s.mapping = nil
	return mapping.Close()
}

// storeFrame lays a frame out in the mapping, at the store's end. A disk that fails, or a file that somebody cut, makes
// the processor fault: that is an error here, as it would be of a write.
func (s *store) storeFrame(kind frameKind, payload []byte, sum uint32) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		fault := recover()
		if _, isFault := fault.(interface{ Addr() uintptr }); isFault {
			err = fmt.Errorf("store through the mapping of %s at position %d: %v", s.path, s.end, fault)
		} else if fault != nil {
			panic(fault)
		}
	}()
	s.layOut(s.mapping.Bytes()[s.end:s.end], kind, payload, sum)
	s.written.Store(s.end)
	return nil
}

// giveFrame gives a frame to the kernel, at the store's end; a large one by a write.
func (s *store) giveFrame(kind frameKind, payload []byte, sum uint32) error {
	if s.mapping != nil && len(payload) < s.writeFrom {
		return s.storeFrame(kind, payload, sum)
	}
	position := s.end
	buffer := s.layOut(s.scratch[:0], kind, payload, sum)
	if cap(buffer) <= groupLimit {
		s.scratch = buffer
	}
	return s.write(buffer, position)
}

// storesThroughMap reports whether records are stored through a mapping.
func (l *Log) storesThroughMap() bool { return writesThroughMap && l.syncsSeldom() && !l.unmappable }

// mapActive sees to it that everything allocated of the active store is mapped. The submit lock is held.
func (l *Log) mapActive() {
	store := l.active.store
	size := store.allocated.Load()
	if !l.storesThroughMap() || store.mapped() >= size {
		return
	}
	err := store.unmap()
	if err == nil {
		store.mapping, err = store.file.Map(size)
		store.writeFrom = l.opts.writeFrom
	}
	if err != nil {
		l.unmappable = true
		l.opts.Logger.Warn("store can't be mapped; each record is written instead", "path", store.path, "error", err)
	}
}

// giveRecord gives a record to the kernel, which acknowledges it. There is room; the submit lock and l.mu are held.
func (l *Log) giveRecord(payload []byte, sum uint32) (offset uint64, err error) {
	segment := l.active
	store := segment.store
	if store.sealed.Load() {
		mark := bounds{first: l.first.Load(), last: store.next - 1, chain: store.chain}.encode()
		if err := store.giveFrame(kindMark, mark[:], payloadSum(mark[:])); err != nil {
			l.fail(err)
			return 0, l.failed
		}
		store.sealed.Store(false)
	}
	offset = store.next
	segment.index.put(uint32(offset-segment.base()), store.end)
	if err := store.giveFrame(kindRecord, payload, sum); err != nil {
		l.fail(err)
		return 0, l.failed
	}
	l.acknowledged.Store(offset)
	l.noteSubmitted(offset, len(payload))
	l.notify()
	l.wakeBackground()
	return offset, nil
}
