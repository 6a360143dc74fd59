package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"

	"github.com/walnutkv/walnut/internal/vfs"
)

// segment is one store with its index.
//
// Invariant: its files stay open while users is more than 0. The log itself is one user until the segment is truncated
// or the log is closed; each reader is another.
type segment struct {
	store *store
	index *index

	users   atomic.Int32
	rebuilt *atomic.Uint64
}

// newSegment returns a segment that the log uses. Wrong index entries that readers meet are counted in rebuilt.
func newSegment(s *store, x *index, rebuilt *atomic.Uint64) *segment {
	g := &segment{store: s, index: x, rebuilt: rebuilt}
	g.users.Store(1)
	return g
}

func (g *segment) base() uint64 { return g.store.head.base }

// count returns how many records the segment has, written or being written. Only the submit lock's holder may ask for
// the active segment's.
func (g *segment) count() uint32 { return uint32(g.store.next - g.store.head.base) }

// release gives up one use, and closes the files after the last one.
func (g *segment) release() error {
	if g.users.Add(-1) > 0 {
		return nil
	}
	return errors.Join(g.store.unmap(), g.store.file.Close(), g.index.close())
}

// read returns the payload of a record that was written.
func (g *segment) read(offset uint64) ([]byte, error) {
	if position, ok := g.index.get(uint32(offset - g.base())); ok {
		if payload, err := g.store.readFrame(position, offset); err == nil {
			return payload, nil
		}
	}
	position, err := g.search(offset)
	if err != nil {
		return nil, err
	}
	payload, err := g.store.readFrame(position, offset)
	if err != nil {
		return nil, readError(g.store.path, position, offset, err)
	}
	return payload, nil
}

// find returns the position of a record that was written.
func (g *segment) find(offset uint64) (int64, error) {
	if offset == g.base() {
		return headSize, nil
	}
	if position, ok := g.index.get(uint32(offset - g.base())); ok && g.isRecord(position, offset) {
		return position, nil
	}
	return g.search(offset)
}

// isRecord reports whether the header of this record stands at this position.
func (g *segment) isRecord(position int64, offset uint64) bool {
	var encoded [frameHeadSize]byte
	if _, err := g.store.file.ReadAt(encoded[:], position); err != nil {
		return false
	}
	head, err := decodeFrameHead(encoded[:], g.store.head.salt, position)
	return err == nil && head.kind == kindRecord && head.offset(g.base()) == offset
}

// search finds a record by going through the store, because the index is wrong, and corrects the index on the way.
func (g *segment) search(offset uint64) (int64, error) {
	positions, err := g.store.positions(g.store.written.Load())
	if i := offset - g.base(); i < uint64(len(positions)) {
		g.index.correct(positions)
		g.rebuilt.Add(1)
		return int64(positions[i]), nil
	}
	if err == nil {
		err = corrupt(g.store.path, 0, offset, fmt.Errorf("the segment has %d records", len(positions)))
	}
	return 0, err
}

// readError says where a read failed: with a *CorruptError where the bytes are at fault.
func readError(path string, position int64, offset uint64, err error) error {
	if isScanStop(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(path, position, offset, err)
	}
	return fmt.Errorf("read %s at position %d: %w", path, position, err)
}

// openSealedIndex opens the index of a sealed segment, and rebuilds it from the store where it doesn't fit; same
// reports that it did fit.
func openSealedIndex(fs vfs.FS, s *store, readOnly bool) (x *index, same bool, err error) {
	count := uint32(s.next - s.head.base)
	path := joinName(filepath.Dir(s.path), indexName(s.head.base))
	if readOnly {
		if x = openIndexReadOnly(fs, path); x.check(count, s.end) {
			return x, true, nil
		}
		if err := x.close(); err != nil {
			return nil, false, err
		}
		x, err = newMemoryIndex(path), nil
	} else if x, err = openIndex(fs, path); err != nil {
		return nil, false, err
	}
	if !readOnly && x.check(count, s.end) {
		return x, true, nil
	}
	positions, err := s.positions(s.end)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, false, errors.Join(err, x.close())
	}
	if x, _, err = x.fillAnyway(positions); err == nil {
		err = x.trim(count)
	}
	return x, false, err
}

// positions reads where the records in the first end bytes stand. An error comes with those in front of it.
func (s *store) positions(end int64) ([]uint32, error) {
	sc := s.scan(end)
	var positions []uint32
	for sc.position < end {
		f, err := sc.frame()
		if err != nil {
			return positions, readError(s.path, sc.position, sc.next, err)
		}
		if f.kind == kindRecord {
			positions = append(positions, uint32(f.position))
		}
	}
	return positions, nil
}
