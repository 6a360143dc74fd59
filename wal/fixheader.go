package wal

import (
	"errors"

	"github.com/walnutkv/walnut/internal/vfs"
)

// rebuildHeader makes a store's header again from what its neighbours and its index say of it. The chain of all its frames starts with the
// header's checksum, so a later witness of that chain shows whether each byte is right.
func (s *Salvage) rebuildHeader(i int) error {
	p := &s.parts[i]
	encoded, err := s.readBytes(joinName(s.log.dir, indexName(p.base)), indexHeadSize)
	var index indexHead
	if err == nil {
		index, _ = decodeIndexHead(encoded) // Without one, the next segment may say enough.
	}
	var next *store
	if i+1 < len(s.parts) {
		next = s.parts[i+1].store
	}
	head, ok := s.guessHeader(i, index, next)
	if !ok {
		return nil
	}
	file, err := s.mended.OpenRead(p.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // It was only read.
	for _, of := range s.beside(i) {
		for _, as := range s.beside(i) {
			head.generation, head.first = of.generation, as.first
			isRight, err := isHeaderOf(file, p, head, index, next)
			if err != nil {
				return err
			}
			if isRight {
				s.add(Fix{Path: p.path, Bytes: head.appendTo(nil), Why: "the header is damaged, and the segments beside it and the chain of its frames say all that was in it"})
				return nil
			}
		}
	}
	return nil
}

// guessHeader returns a header but for its generation and first offset; ok is false where too little is known.
func (s *Salvage) guessHeader(i int, index indexHead, next *store) (head storeHead, ok bool) {
	head.id, ok = s.ID()
	head.base, head.salt = s.parts[i].base, index.salt
	if next != nil && next.head.prevSalt != 0 {
		head.salt = next.head.prevSalt
	}
	if head.salt == 0 || !ok {
		return head, false
	}
	if i == 0 {
		return head, head.base == 1 // Nothing came before.
	}
	before := s.parts[i-1].store
	if before == nil {
		return head, false
	}
	r, err := before.read(wholeFile, nil)
	head.prevSalt, head.prevEnd, head.prevChain = before.head.salt, r.end, r.chain
	return head, err == nil && r.seal == kindRolled && r.next == head.base
}

// beside returns the headers of the segments beside one.
func (s *Salvage) beside(i int) (heads []storeHead) {
	for _, j := range []int{i - 1, i + 1} {
		if j >= 0 && j < len(s.parts) && s.parts[j].store != nil {
			heads = append(heads, s.parts[j].store.head)
		}
	}
	return heads
}

// isHeaderOf reports whether the chain that starts with a header is the one that a witness knows: the seal, the next segment, or the index.
func isHeaderOf(file vfs.File, p *part, head storeHead, index indexHead, next *store) (bool, error) {
	encoded := head.appendTo(nil)
	if _, err := decodeStoreHead(encoded); err != nil {
		return false, nil // It makes no sense, so it isn't the one.
	}
	limit := int64(wholeFile)
	if next != nil {
		limit = next.head.prevEnd
	}
	r, err := newStore(file, p.path, head, encoded).read(limit, nil)
	if err != nil {
		if errors.Is(err, ErrCorrupt) { // A mark or seal knows another chain.
			err = nil
		}
		return false, err
	}
	follows := next != nil && r.end == next.head.prevEnd && r.chain == next.head.prevChain
	return r.seal != 0 || follows || index.end == r.end && index.chain == r.chain, nil
}
