package wal

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/walnutkv/walnut/internal/vfs"
)

// store is one store file: a header, then frames. It alone writes its own state.
//
// Invariants while it is the active segment's: bytes before durable were covered by a sync that succeeded; bytes before written
// are in the file, and those from there to end in the group being formed; the file's length, durably, leaves room for a seal
// after end, so a store that ends sooner was cut by something other than a crash. The log's submit lock guards end, next,
// chain, recordEnd, proven and mapping.
type store struct {
	file      vfs.File
	path      string
	head      storeHead
	headChain uint32
	saltSum   uint32 // Of the salt in head.

	end       int64  // Where the next frame goes.
	next      uint64 // The offset of the next record.
	chain     uint32 // Of every frame before end.
	recordEnd int64  // The end of the last record's frame.
	proven    int64  // The newest frame's watermark.

	seldomSynced bool        // Set once, where a sync is not part of every append.
	mapping      vfs.Mapping // Of the active store, where records are stored through it; nil otherwise.
	mapped       int64       // How many bytes are mapped.
	writeFrom    int         // The size of a payload from which a frame isn't stored through the mapping.
	scratch      []byte      // Where a frame is laid out that isn't stored through a mapping.

	sealed    atomic.Bool  // A seal stands at end.
	allocated atomic.Int64 // The file's length as far as it is durable.
	written   extent
	durable   extent // Set by sync alone, so that it can't speak for another store.

	syncMu sync.Mutex // Held around every sync, so that none can succeed after one that failed.
	failed error      // The first sync that failed, for good. Guarded by syncMu.
	growMu sync.Mutex // Held around every growth and shortening.
	final  bool       // Another segment follows, so the store grows no more. Guarded by growMu.
}

// extent is a part of a store from its start: a position, and how many records lie before it. Both are read and set as one.
type extent struct{ packed atomic.Uint64 }

// The upper bits are the position in units of frameAlign.
const extentShift = 32

// storeSizeMax is more than any store has: a segment takes MaxSegmentSize, or a batch of that size, and what has to follow. A file may be
// much longer than what is in it, and to read it all would take for ever.
const storeSizeMax = 2 << 30

// checkSize refuses a file that is too long to be a store.
func checkSize(path string, size int64) error {
	if size > storeSizeMax {
		return corrupt(path, storeSizeMax, 0, fmt.Errorf("the file has %d bytes, more than any store", size))
	}
	return nil
}

func (e *extent) set(position int64, records uint32) {
	e.packed.Store(uint64(position/frameAlign)<<extentShift | uint64(records))
}

func (e *extent) position() int64 { return int64(e.packed.Load()>>extentShift) * frameAlign }
func (e *extent) records() uint64 { return e.packed.Load() & (1<<extentShift - 1) }

// newStore returns a store without frames.
func newStore(file vfs.File, path string, head storeHead, encoded []byte) *store {
	s := &store{file: file, path: path, head: head, headChain: headChain(encoded), saltSum: sumUint64(0, head.salt)}
	s.cutAt(headSize, head.base, s.headChain)
	return s
}

// openStore opens a store file that has its final name and reads its header.
func openStore(fs vfs.FS, path string, readOnly bool) (*store, error) {
	open := fs.Open
	if readOnly {
		open = fs.OpenRead
	}
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	encoded := make([]byte, headSize)
	n, err := file.ReadAt(encoded, 0)
	if err != nil && err != io.EOF {
		return nil, errors.Join(fmt.Errorf("read the header of %s: %w", path, err), file.Close())
	}
	size, err := file.Size()
	if err == nil {
		err = checkSize(path, size)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	head, err := decodeStoreHead(encoded[:n])
	switch {
	case errors.Is(err, ErrVersion):
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	case err != nil:
		return nil, errors.Join(corrupt(path, 0, 0, err), file.Close())
	}
	return newStore(file, path, head, encoded), nil
}

// count returns how many records are laid out. The submit lock is held.
func (s *store) count() uint32 { return uint32(s.next - s.head.base) }

// needsMark reports whether records were laid out after the newest watermark, so that no frame proves them durable.
func (s *store) needsMark() bool { return !s.sealed.Load() && s.proven < s.recordEnd }

// layOut appends a frame to a buffer, at the position end, and moves end to its end. Room was made before.
func (s *store) layOut(buffer []byte, kind frameKind, payload []byte, sum uint32) []byte {
	buffer = s.layHead(buffer, kind, payload, sum)
	buffer = append(buffer, payload...)
	return append(buffer, zeros[:frameSize(len(payload))-frameHeadSize-int64(len(payload))]...)
}

// layHead is layOut of the frame's header alone.
func (s *store) layHead(buffer []byte, kind frameKind, payload []byte, sum uint32) []byte {
	watermark := s.durable.position()
	head := frameHead{
		kind: kind, length: len(payload), sum: sum,
		index: s.count(),
		back:  uint32((s.end - watermark) / frameAlign),
	}
	start := len(buffer)
	buffer = head.appendTo(buffer, s.saltSum, s.end)
	if kind.isSeal() {
		return buffer
	}
	s.proven = watermark
	s.chain = extendChain(s.chain, buffer[start:])
	s.end += head.size()
	if kind == kindRecord {
		s.next++
		s.recordEnd = s.end
	}
	return buffer
}

// write writes frames at their position. records is how many the store has with them.
func (s *store) write(buffer []byte, position int64, records uint32) error {
	n, err := s.file.WriteAt(buffer, position)
	if err == nil && n != len(buffer) {
		err = fmt.Errorf("wrote %d bytes of %d", n, len(buffer))
	}
	if err != nil {
		return fmt.Errorf("write %s at position %d: %w", s.path, position, err)
	}
	s.written.set(position+int64(len(buffer)), records)
	return nil
}

// sync makes everything written durable. After a failure every sync fails: the system may have dropped what it could
// not write, and would then call the next sync a success.
func (s *store) sync() error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	written := s.written.packed.Load()
	if err := s.file.Sync(); err != nil {
		s.failed = fmt.Errorf("sync %s: %w", s.path, err)
		return s.failed
	}
	s.durable.packed.Store(written)
	return nil
}

// grow makes the file at least need bytes long, durably, and want bytes where the disk has that much. A full disk is
// ErrNoSpace and changes nothing.
func (s *store) grow(need, want int64) error {
	s.growMu.Lock()
	defer s.growMu.Unlock()
	if s.final || s.allocated.Load() >= want {
		return nil
	}
	size, err := s.makeSpace(need, want)
	if err != nil {
		return noSpaceOr(err)
	}
	if err := s.sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.allocated.Store(size)
	return nil
}

// makeSpace extends the file to want bytes, or to need bytes where the disk hasn't that much, and returns which.
func (s *store) makeSpace(need, want int64) (size int64, err error) {
	extend := s.file.Allocate
	if s.seldomSynced {
		extend = s.file.Reserve
	}
	err = extend(want)
	if vfs.IsNoSpace(err) && need < want && need > s.allocated.Load() {
		want, err = need, extend(need)
	}
	return want, err
}

// cutAt moves the end back to a position before which everything is durable. What comes after it is no longer the store's.
func (s *store) cutAt(end int64, next uint64, chain uint32) {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	s.end, s.next, s.chain = end, next, chain
	s.recordEnd, s.proven = end, end
	s.sealed.Store(false)
	s.written.set(end, s.count())
	s.durable.set(end, s.count())
}

// giveBack frees the space after the end of a store that won't grow any more. A store that can't be shortened keeps it.
func (s *store) giveBack() {
	_ = s.unmap()
	s.growMu.Lock()
	defer s.growMu.Unlock()
	if s.final {
		return // It has been cut before, and a reader may be in what follows.
	}
	s.final = true
	if size := s.end + boundsFrameSize; size < s.allocated.Load() && s.file.Truncate(size) == nil {
		s.allocated.Store(size)
	}
}

// seal ends the store with a seal at end and cuts what was allocated after it, except for what a closed store keeps in
// reserve. Every record must be durable.
func (s *store) seal(kind frameKind, first uint64) error {
	payload := bounds{first: first, chain: s.chain}.encode()
	buffer := s.layOut(nil, kind, payload[:], payloadSum(payload[:]))
	if _, err := s.file.WriteAt(buffer, s.end); err != nil {
		return fmt.Errorf("seal %s at position %d: %w", s.path, s.end, err)
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.sealed.Store(true)
	s.growMu.Lock()
	defer s.growMu.Unlock()
	size := s.end + boundsFrameSize
	if s.final = kind == kindRolled; !s.final {
		size = min(s.end+reserveSize, s.allocated.Load())
	}
	// It needs no sync: a power cut that undoes it leaves bytes that nothing reads.
	if err := s.file.Truncate(size); err != nil {
		return fmt.Errorf("cut %s after its seal, to %d bytes: %w", s.path, size, err)
	}
	s.allocated.Store(size)
	return nil
}

// noSpaceOr marks an error as ErrNoSpace where the disk is full, and as ErrFailed otherwise.
func noSpaceOr(err error) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}
