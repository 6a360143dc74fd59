package wal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/walnutkv/walnut/internal/vfs"
)

// store is one store file: a header, then frames.
//
// Invariants while it is the active segment's:
//   - bytes in front of durable were covered by a sync that succeeded;
//   - bytes in front of written are in the file; bytes between written and end are in the group being formed;
//   - the file's length, durably, is at least end plus room for a seal: space is made, and synced, before frames are
//     laid out in it. So a store that ends nearer behind its last frame was cut by somebody else.
//
// end, next, chain and mapping are guarded by the log's submit lock.
type store struct {
	file      vfs.File
	path      string
	head      storeHead
	headChain uint32

	end   int64  // Where the next frame goes.
	next  uint64 // The offset of the next record.
	chain uint32 // Of every frame in front of end.

	scratch      []byte      // Where a frame is laid out that isn't stored through a mapping.
	writeFrom    int         // The size of a payload from which a frame isn't stored through the mapping.
	seldomSynced bool        // Set once, where a sync is not part of every append.
	mapping      vfs.Mapping // Of the active store, where records are stored through it; nil otherwise.

	sealed    atomic.Bool  // A seal stands at end.
	allocated atomic.Int64 // The file's length as far as it is durable.
	written   atomic.Int64
	durable   atomic.Int64

	syncMu sync.Mutex // Held around every sync, so that none can succeed after one that failed.
	failed error      // The first sync that failed, for good. Guarded by syncMu.
	growMu sync.Mutex // Held around every growth and shortening.
	rolled bool       // The store grows no more. Guarded by growMu.
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
	encoded, err := readHead(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the header of %s: %w", path, err), file.Close())
	}
	head, err := decodeStoreHead(encoded)
	switch {
	case errors.Is(err, ErrVersion):
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	case err != nil:
		return nil, errors.Join(corrupt(path, 0, 0, err), file.Close())
	}
	chain := headChain(encoded)
	return &store{file: file, path: path, head: head, headChain: chain, end: headSize, next: head.base, chain: chain}, nil
}

// createStore makes a store with space for its first frames. It is made under a temporary name and renamed once it is
// durable, so that a file with a store's name always has a whole header and room for a seal.
func createStore(fs vfs.FS, dir string, head storeHead, size int64, seldomSynced bool) (*store, error) {
	path := joinName(dir, storeName(head.base))
	file, err := createFile(fs, path+temporarySuffix)
	if err != nil {
		return nil, err
	}
	s := &store{file: file, path: path, head: head, end: headSize, next: head.base, seldomSynced: seldomSynced}
	encoded := head.append(nil)
	s.headChain = headChain(encoded)
	s.chain = s.headChain
	if err := s.prepare(encoded, size); err != nil {
		return nil, errors.Join(err, file.Close(), fs.Remove(path+temporarySuffix))
	}
	if err := publishName(fs, dir, path+temporarySuffix, path); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrFailed, err), file.Close())
	}
	return s, nil
}

// prepare allocates a new store's first space and writes its header.
func (s *store) prepare(encoded []byte, size int64) error {
	if err := s.makeSpace(size); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(encoded, 0); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.allocated.Store(size)
	s.written.Store(headSize)
	s.durable.Store(headSize)
	return nil
}

// layOut appends a frame to a group's buffer, at the position end, and moves end behind it. Room was made before.
func (s *store) layOut(buffer []byte, kind frameKind, payload []byte, sum uint32) []byte {
	head := frameHead{
		kind: kind, length: len(payload), sum: sum,
		index: uint32(s.next - s.head.base),
		back:  uint32((s.end - s.durable.Load()) / frameAlign),
	}
	start := len(buffer)
	buffer = head.append(buffer, s.head.salt, s.end)
	buffer = append(buffer, payload...)
	buffer = append(buffer, zeroPadding[:head.size()-frameHeadSize-int64(len(payload))]...)
	if kind.isSeal() {
		return buffer
	}
	s.chain = extendChain(s.chain, buffer[start:])
	s.end += head.size()
	if kind == kindRecord {
		s.next++
	}
	return buffer
}

// layOutBounds is layOut of a mark or a seal.
func (s *store) layOutBounds(buffer []byte, kind frameKind, first, last uint64) []byte {
	payload := bounds{first: first, last: last, chain: s.chain}.encode()
	return s.layOut(buffer, kind, payload[:], payloadSum(payload[:]))
}

// write writes a group's frames at their position.
func (s *store) write(buffer []byte, position int64) error {
	n, err := s.file.WriteAt(buffer, position)
	if err == nil && n != len(buffer) {
		err = fmt.Errorf("wrote %d bytes of %d", n, len(buffer))
	}
	if err != nil {
		return fmt.Errorf("write %s at position %d: %w", s.path, position, err)
	}
	s.written.Store(position + int64(len(buffer)))
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
	written := s.written.Load()
	if err := s.file.Sync(); err != nil {
		s.failed = fmt.Errorf("sync %s: %w", s.path, err)
		return s.failed
	}
	s.durable.Store(written)
	return nil
}

// grow makes the file at least size bytes long, durably. A full disk is ErrNoSpace and changes nothing.
func (s *store) grow(size int64) error {
	s.growMu.Lock()
	defer s.growMu.Unlock()
	if s.rolled || s.allocated.Load() >= size {
		return nil
	}
	if err := s.makeSpace(size); err != nil {
		return noSpaceOr(err)
	}
	if err := s.sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.allocated.Store(size)
	return nil
}

// makeSpace extends the file in the way that suits how often it is synced.
func (s *store) makeSpace(size int64) error {
	if s.seldomSynced {
		return s.file.Reserve(size)
	}
	return s.file.Allocate(size)
}

// seal ends the store with a seal at end and cuts off what was allocated behind it. Every record must be durable.
func (s *store) seal(kind frameKind, first, last uint64) error {
	buffer := s.layOutBounds(nil, kind, first, last)
	if err := s.write(buffer, s.end); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.sealed.Store(true)
	s.growMu.Lock()
	defer s.growMu.Unlock()
	s.rolled = kind == kindRolled
	return s.trim()
}

// trim cuts the file behind the seal. It needs no sync: a power cut that undoes it leaves zeros.
func (s *store) trim() error {
	size := s.end + boundsFrameSize
	if err := s.file.Truncate(size); err != nil {
		return fmt.Errorf("trim %s to %d bytes: %w", s.path, size, err)
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
