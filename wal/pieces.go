package wal

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
)

// Piece is a record, or a stretch of bytes that should hold some and doesn't check out.
type Piece struct {
	Path     string // The file; it may be one that is missing.
	Position int64  // In bytes.
	Bytes    int64  // With header and padding. A stretch has none where a file is missing or ends too soon.
	Offset   uint64 // Of the record; of the first one that a stretch should hold.
	Last     uint64 // The last record that a stretch should hold, 0 where that isn't known, Offset-1 where it holds none.
	Payload  []byte // Of the record; what stands in its place where only that is damaged. Valid until the next piece is asked for.
	Err      error  // Why a stretch doesn't check out; nil for a record.
	Unproven bool   // A stretch comes before the record, so nothing shows that it is the one that followed.
}

// Pieces returns every record that can be read, in order, and every stretch of damage between them. An error is one of the file
// system and ends it. Bytes of a tail that no power cut can be told from are no damage, and left out.
func (s *Salvage) Pieces() iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		w := &walk{Salvage: s, yield: func(p Piece) bool { return yield(p, nil) }}
		if err := w.run(); err != nil {
			yield(Piece{}, err)
		}
	}
}

// walk goes through the pieces.
type walk struct {
	*Salvage
	next    uint64          // The offset of the next record.
	damaged map[string]bool // The files in which stretches were met.
	judged  bool            // The verdict was one of them.
	yield   func(Piece) bool
	mend    func(p *part, sc *scanner) (bool, error) // Tries to mend what doesn't check out, if set.
}

// errEnough ends a walk whose pieces aren't wanted any more.
var errEnough = errors.New("enough")

func (w *walk) run() error {
	w.next, w.damaged = w.first, map[string]bool{}
	err := w.everyPart()
	if err == errEnough {
		return nil
	}
	return err
}

func (w *walk) everyPart() error {
	for i := range w.parts {
		if err := w.part(i); err != nil {
			return err
		}
	}
	if d := w.verdict; d != nil && !w.judged { // The file ends with a frame, or the next one is missing.
		piece := Piece{Path: d.Path, Position: d.Position, Offset: cmp.Or(d.Offset, w.next), Err: d.Err}
		if d.Path == w.parts[len(w.parts)-1].path {
			piece.Last = w.lastKnown()
			w.next = max(w.next, piece.Last+1)
		}
		if err := w.stretch(piece); err != nil {
			return err
		}
	}
	if err := w.missingEnd(); err != nil {
		return err
	}
	for _, base := range w.orphans {
		path := joinName(w.log.dir, storeName(base))
		if base < w.first || w.damaged[path] {
			continue
		}
		if err := w.stretch(Piece{Path: path, Offset: base, Err: errors.New("the segment is missing, though its index is there")}); err != nil {
			return err
		}
	}
	return nil
}

// missingEnd yields the records that only the last index knows, where the damaged file no longer has even their place.
func (w *walk) missingEnd() error {
	if len(w.damaged) == 0 || len(w.parts) == 0 {
		return nil
	}
	last := w.parts[len(w.parts)-1]
	if known := w.lastKnown(); known >= w.next {
		return w.stretch(Piece{Path: last.path, Position: last.size, Offset: w.next, Last: known, Err: errors.New("the index has more records than the file")})
	}
	return nil
}

// stretch yields a piece that doesn't check out.
func (w *walk) stretch(p Piece) error {
	w.damaged[p.Path] = true
	if d := w.verdict; d != nil && d.Path == p.Path && d.Position == p.Position {
		w.judged = true
	}
	if p.Last != 0 && p.Last+1 < p.Offset {
		p.Last = 0
	}
	if !w.yield(p) {
		return errEnough
	}
	return nil
}

// lastKnown returns the last record that the newest segment's index knows.
func (w *walk) lastKnown() uint64 {
	last := w.parts[len(w.parts)-1].store
	if last == nil {
		return 0
	}
	return last.head.base + uint64(w.survey.index(last).count) - 1
}

// part goes through one part, and says what is wrong between it and the one before.
func (w *walk) part(i int) error {
	p := &w.parts[i]
	whole := Piece{Path: p.path, Bytes: p.size, Offset: p.base, Err: p.err}
	if i+1 < len(w.parts) {
		whole.Last = w.parts[i+1].base - 1
	}
	gap := Piece{Path: joinName(w.log.dir, storeName(w.next)), Offset: w.next, Last: p.base - 1}
	switch {
	case p.base < w.next:
		whole.Last, whole.Err = p.base-1, fmt.Errorf("its first offset is %d, where %d comes next", p.base, w.next)
		return w.stretch(whole)
	case p.base > w.next:
		gap.Err = errors.New("the segment is missing")
	case p.store != nil && i > 0 && w.parts[i-1].store != nil && !w.follows(i):
		gap.Path, gap.Position = p.path, headPrevSaltAt
		gap.Err = fmt.Errorf("it was not made to follow %s", w.parts[i-1].path)
	}
	if gap.Err != nil {
		if err := w.stretch(gap); err != nil {
			return err
		}
	}
	if w.next = p.base; p.store != nil {
		return w.frames(i)
	}
	w.next = max(p.base, whole.Last+1)
	return w.stretch(whole)
}

// frames goes through a store's frames.
func (w *walk) frames(i int) error {
	p := &w.parts[i]
	sc, sound := p.store.scan(p.limit), true
	for sc.position < sc.limit {
		at, next, chain := sc.position, sc.next, sc.chain
		f, err := sc.frame()
		if f.kind == 0 && !isScanStop(err) {
			return fmt.Errorf("read %s at position %d: %w", p.path, at, err)
		}
		if err == nil {
			err = w.doubt(p, f, chain, sound)
		}
		if err == nil {
			if f.kind == kindRecord && !w.yield(Piece{
				Path: p.path, Position: at, Bytes: f.size(), Offset: f.offset, Last: f.offset, Payload: f.payload, Unproven: len(w.damaged) > 0,
			}) {
				return errEnough
			}
			continue
		}
		sc.position, sc.next, sc.chain = at, next, chain
		if w.mend != nil {
			mended, err := w.mend(p, sc)
			if err != nil {
				return err
			}
			if mended {
				sc.window = nil // So that the file is read again.
				continue
			}
		}
		if ended, err := w.pass(sc, p, err, i == len(w.parts)-1); err != nil || ended {
			return err
		}
		sound = false
	}
	w.next = sc.next
	return w.end(i, sc, sound)
}

// doubt says what is wrong with a frame that checks out by itself. The chain is that of the frames before it, if those are sound.
func (w *walk) doubt(p *part, f frame, chain uint32, sound bool) error {
	if d := w.verdict; d != nil && d.Path == p.path && d.Position == f.position {
		return d.Err
	}
	if f.kind == kindRecord || !sound {
		return nil
	}
	_, err := f.bounds(chain)
	return err
}

// pass goes past bytes that are no frame, to the next frame's header or the part's end, and yields them.
func (w *walk) pass(sc *scanner, p *part, why error, last bool) (ended bool, err error) {
	piece := Piece{Path: p.path, Position: sc.position, Offset: sc.next, Last: sc.next - 1, Err: why}
	if d := w.verdict; d != nil && d.Path == p.path && d.Position == sc.position {
		piece.Err = d.Err
	}
	end, head, written, err := sc.resync()
	if err != nil {
		return false, fmt.Errorf("read %s after position %d: %w", p.path, sc.position, err)
	}
	switch {
	case end == sc.position && end+head.size() > sc.limit: // The file ends inside the frame.
		piece.Bytes, piece.Last, ended = sc.limit-end, 0, true
	case end == sc.position: // Its header checks out, and what follows is damaged.
		piece.Bytes = head.size()
		payload, err := sc.view(end, int(head.size()))
		if err != nil || int64(len(payload)) < head.size() {
			return false, cmp.Or(err, errCutShort)
		}
		if head.kind == kindRecord {
			piece.Last, piece.Payload = head.offset(p.base), payload[frameHeadSize:][:head.length]
			sc.next = max(sc.next, piece.Last+1)
		}
		sc.position = end + head.size()
	case head.kind != 0:
		piece.Bytes, piece.Last = end-sc.position, head.offset(p.base)-1
		sc.position, sc.next = end, max(sc.next, head.offset(p.base))
	case last && written == sc.position && (w.verdict == nil || w.verdict.Position != sc.position):
		w.next = sc.next
		return true, nil // Nothing was ever written there.
	default:
		piece.Bytes, piece.Last, ended = written-sc.position, 0, true
	}
	if ended {
		piece.Last = w.endOf(p, last)
		w.next = max(w.next, sc.next, piece.Last+1)
	}
	return ended, w.stretch(piece)
}

// endOf returns the last record that a part should hold, 0 where that isn't known.
func (w *walk) endOf(p *part, last bool) uint64 {
	if last {
		return w.lastKnown()
	}
	for i := range w.parts[1:] {
		if &w.parts[i] == p && w.follows(i+1) {
			return w.parts[i+1].base - 1
		}
	}
	return 0
}

// end checks that a part has all that the next one was made to follow, and its seal.
func (w *walk) end(i int, sc *scanner, sound bool) error {
	if !w.follows(i + 1) {
		return nil
	}
	p, next := &w.parts[i], w.parts[i+1].store
	at := reading{end: sc.position, next: sc.next, chain: sc.chain}
	if !sound {
		at.chain = next.head.prevChain
	}
	err := p.store.judgeSealed(&at, next)
	if err == nil && p.store.head.generation == next.head.generation {
		if err = p.store.readSeal(next); err == nil || w.isRolling(i+1) {
			return nil
		}
		if w.mend != nil && isScanStop(err) {
			w.mendSeal(p, next)
			return nil
		}
	}
	if err == nil {
		return nil
	}
	piece := Piece{Path: p.path, Position: sc.position, Offset: sc.next, Last: next.head.base - 1, Err: err}
	w.next = next.head.base
	return w.stretch(piece)
}

// isRolling reports whether a roll that made the last part may have died before the seal of the one before was durable.
func (w *walk) isRolling(i int) bool {
	s := w.parts[i].store
	if i != len(w.parts)-1 || s == nil {
		return false
	}
	r, err := s.read(wholeFile, nil)
	return err == nil && r.isNew(s)
}
