package wal

import (
	"errors"
	"fmt"
)

// reading is what one pass over a store's frames found: where they end, and why. Recovery, Check, read-only opens and archives
// all judge by it, so that they can't disagree.
type reading struct {
	size      int64     // The file's length in bytes.
	end       int64     // After the last frame that checks out, or where the seal stands.
	next      uint64    // The offset of the next record.
	chain     uint32    // Of the frames before end.
	recordEnd int64     // The end of the last record's frame.
	proven    int64     // Everything before it was durable: some frame's watermark says so.
	first     uint64    // The log's first offset, as the newest mark or seal has it.
	seal      frameKind // What stands at end, 0 where it is no seal.
	stop      error     // Why no frame follows; nil where the seal or the limit is why.
	proof     int64     // A later frame that was built when the bytes at end were durable; 0 where there is none.
	written   int64     // The end of the last byte that isn't zero.
}

// cutFrom is where bytes begin that belong to no frame.
func (r *reading) cutFrom() int64 {
	if r.seal != 0 {
		return r.end + boundsFrameSize
	}
	return r.end
}

// isNew reports whether a roll that made a store may have died before the seal of the one before was durable: there is nothing but the
// record that it may have begun with. That the seal can be read proves nothing, since it may be in the page cache only.
func (r *reading) isNew(s *store) bool {
	return r.next <= s.head.base+1 && r.proven == headSize && r.seal == 0
}

// wholeFile asks for a pass that only the file's end limits.
const wholeFile = -1

// read reads a store's frames up to a position, and fills an index that isn't nil with the records' positions. The error is
// one of the disk, or a mark or seal that contradicts the frames before it.
//
// A live writer may add to the store meanwhile. So what a pass has come to is looked at again before it counts: a later frame
// proves that the bytes at the end were durable before that frame was seen, so they must check out when they are read after it.
func (s *store) read(limit int64, keep *index) (reading, error) {
	size, err := s.file.Size()
	if err == nil {
		err = checkSize(s.path, size)
	}
	if err != nil {
		return reading{}, err
	}
	p := &pass{store: s, keep: keep, whole: limit == wholeFile, reading: reading{first: s.head.first, proven: headSize, recordEnd: headSize}}
	if p.size = size; p.whole || limit > size {
		limit = size
	}
	p.scanner = s.scan(limit)
	seen := int64(0)
	for {
		if err := p.frames(); err != nil {
			return p.reading, err
		}
		changed, err := p.lookAgain()
		if err != nil {
			return p.reading, fmt.Errorf("read %s after position %d: %w", s.path, p.end, err)
		}
		if !changed && (p.proof == 0 || p.position == seen) {
			return p.reading, nil
		}
		seen = p.position
		p.window = nil // So that the file is read again.
	}
}

// pass is a reading that is being made.
type pass struct {
	reading
	*scanner

	store *store
	keep  *index
	whole bool
}

// frames reads frames up to the limit, a seal, or the first that doesn't check out.
func (p *pass) frames() error {
	p.seal, p.stop, p.proof = 0, nil, 0
	for p.position < p.limit {
		chain := p.scanner.chain
		f, err := p.frame()
		if err != nil && !isScanStop(err) {
			return fmt.Errorf("read %s at position %d: %w", p.store.path, p.position, err)
		}
		if err != nil {
			p.stop = err
			break
		}
		if err := p.take(f, chain); err != nil {
			return err
		}
		if f.kind.isSeal() {
			p.seal = f.kind
			p.position = f.position
			break
		}
	}
	if p.stop == nil && p.seal == 0 && p.whole {
		p.stop = errCutShort
	}
	p.end, p.reading.next, p.reading.chain = p.position, p.scanner.next, p.scanner.chain
	return nil
}

// take notes what a frame says. The chain is that of the frames before it.
func (p *pass) take(f frame, chain uint32) error {
	p.proven = max(p.proven, f.watermark(f.position))
	if f.kind == kindRecord {
		if p.keep != nil {
			p.keep.add(f.position, chain)
		}
		p.recordEnd = p.position
		return nil
	}
	b, err := f.bounds(chain)
	if err != nil {
		return corrupt(p.store.path, f.position, f.offset, err)
	}
	p.first = b.first
	return nil
}

// lookAgain looks at what follows the end, and reports whether the file's length has changed since.
func (p *pass) lookAgain() (changed bool, err error) {
	if !p.whole {
		return false, nil
	}
	if p.proof, p.written, err = p.evidence(); err != nil {
		return false, err
	}
	size, err := p.store.file.Size()
	changed = size != p.size
	p.size, p.limit = size, size
	return changed, err
}

// bounds decodes what a mark or seal says, and checks it against the chain of the frames before it.
func (f frame) bounds(chain uint32) (bounds, error) {
	b, err := decodeBounds(f.payload)
	if err == nil && (b.chain != chain || b.first == 0 || b.first > f.offset) {
		err = fmt.Errorf("%s says chain %08x and first offset %d where the chain is %08x and the next offset %d", f.kind, b.chain, b.first, chain, f.offset)
	}
	return b, err
}

// judgeEnd tells a torn end of a log's last store from damage. The witness is what its index says, nothing where it has none.
func (s *store) judgeEnd(r *reading, witness indexHead) error {
	switch {
	case errors.Is(r.stop, errCutShort), r.stop != nil && r.size-r.end < boundsFrameSize:
		return corrupt(s.path, r.end, r.next, fmt.Errorf("the file ends at %d, where no power cut can end it: it was cut afterwards", r.size))
	case witness.nextSalt != 0:
		next := s.head.base + uint64(witness.count)
		return corrupt(siblingPath(s, storeName(next)), 0, next, errors.New("the segment is missing, though the index of the one before says that it follows"))
	case r.seal == kindRolled:
		return corrupt(siblingPath(s, storeName(r.next)), 0, r.next, errors.New("the segment is missing, though the one before it was followed by it"))
	case r.proof != 0 && r.stop == nil:
		return corrupt(s.path, r.end, r.next, fmt.Errorf("an old seal stands here, though the frame at %d was written when it was durable", r.proof))
	case r.proof != 0:
		return corrupt(s.path, r.end, r.next, fmt.Errorf("%w, though the frame at %d was written when it was durable", r.stop, r.proof))
	case r.stop != nil && r.end < witness.end:
		return corrupt(s.path, r.end, r.next, fmt.Errorf("%w, though the index says that the store was durable up to %d", r.stop, witness.end))
	}
	return nil
}

// judgeSealed says what is wrong with a store that another one follows, read up to the place where that one's header says that
// it follows. Everything before it was durable when the follower was made, so whatever doesn't check out is damage.
func (s *store) judgeSealed(r *reading, next *store) error {
	if r.stop == nil && r.seal == 0 && r.end == next.head.prevEnd && r.next == next.head.base && r.chain == next.head.prevChain {
		return nil
	}
	if r.stop != nil {
		return corrupt(s.path, r.end, r.next, r.stop)
	}
	return corrupt(s.path, r.end, r.next, fmt.Errorf("it ends at position %d, offset %d with chain %08x, but %s was made to follow position %d, offset %d and chain %08x",
		r.end, r.next-1, r.chain, storeName(next.head.base), next.head.prevEnd, next.head.base-1, next.head.prevChain))
}

// readSeal looks for the seal at the place where the next segment's header says that it follows.
func (s *store) readSeal(next *store) error {
	return s.sealAt(next.head.prevEnd, next.head.base, next.head.prevChain)
}

// sealAt looks for a roll's seal at the place where a store is said to end. It proves what is before it without reading that.
func (s *store) sealAt(end int64, next uint64, chain uint32) error {
	f, err := s.scanFrom(end, next, end+boundsFrameSize).frame()
	switch {
	case err != nil:
		return err
	case f.kind != kindRolled:
		return fmt.Errorf("a %s stands there: %w", f.kind, errNotFrame)
	}
	if _, err := f.bounds(chain); err != nil {
		return fmt.Errorf("%w: %w", errNotFrame, err)
	}
	return nil
}

// endWith notes where the store ends: where the next one follows.
func (s *store) endWith(next *store) {
	s.cutAt(next.head.prevEnd, next.head.base, next.head.prevChain)
	s.sealed.Store(s.head.generation == next.head.generation)
}
