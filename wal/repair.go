package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Cut is what a Repair takes from the log: a part of a file, or all of it. A copy is in the quarantine before that.
type Cut struct {
	Path       string
	Position   int64
	Bytes      int64
	Quarantine string // The copy's path.
}

// Repair makes a log of a damaged directory again. Salvage plans it, and Apply of the Salvage does it.
type Repair struct {
	Fixes []Fix // These come first.
	Cuts  []Cut

	head   storeHead // Of the segment with which the log goes on; without a base where none is needed.
	holder *part     // The segment that it follows; nil where the log starts over.
	end    reading   // Where it follows.
	cut    []part    // The files that go.
}

// Begins reports whether a new segment begins, with which the log goes on or starts over.
func (r Repair) Begins() bool { return r.head.base != 0 }

// Keep plans to keep the records from first, which must be a segment's base, to last, all of which must be readable. Everything else
// is cut. Nothing is where the log is sound and has just these records.
func (s *Salvage) Keep(first, last uint64) (Repair, error) {
	r := Repair{Fixes: s.fixes}
	for i := range s.parts {
		switch p := &s.parts[i]; {
		case p.store == nil, p.base < first, p.base > last:
			r.cut = append(r.cut, *p)
		default:
			r.holder = p
		}
	}
	if sound, err := s.isSound(); err != nil || sound && first == s.first {
		r.cut, r.holder = nil, nil
		return s.withCuts(r, err)
	}
	if r.holder == nil || last < first {
		return r, fmt.Errorf("keep records %d to %d of %s: %w", first, last, s.log.dir, ErrOutOfRange)
	}
	held := r.holder.store
	sc, proven := held.scan(r.holder.limit), int64(headSize)
	for sc.next <= last {
		f, err := sc.frame()
		if err != nil {
			return r, readError(held.path, sc.position, sc.next, err)
		}
		proven = max(proven, f.watermark(f.position))
	}
	r.end = reading{end: sc.position, next: sc.next, chain: sc.chain, proven: min(proven, sc.position)}
	r.head = storeHead{
		id: held.head.id, base: last + 1, first: first, generation: s.nextGeneration(),
		prevSalt: held.head.salt, prevEnd: sc.position, prevChain: sc.chain,
	}
	return s.withCuts(r, nil)
}

// StartOver plans to cut the whole log. Its next record then gets the given offset. id is the log's identity, and what ID returns where
// that is known.
func (s *Salvage) StartOver(id [16]byte, first uint64) (Repair, error) {
	r := Repair{Fixes: s.fixes, cut: slices.Clone(s.parts), head: storeHead{id: id, base: first, first: first, generation: s.nextGeneration()}}
	if first == 0 || first > maxReset {
		return r, fmt.Errorf("start over with offset %d: %w", first, ErrOutOfRange)
	}
	return s.withCuts(r, nil)
}

// isSound reports whether there is no stretch of damage.
func (s *Salvage) isSound() (bool, error) {
	for p, err := range s.Pieces() {
		if err != nil || p.Err != nil {
			return false, err
		}
	}
	return len(s.parts) > 0, nil
}

// nextGeneration is one more than that of any segment.
func (s *Salvage) nextGeneration() (next uint64) {
	for _, f := range s.survey.found {
		next = max(next, f.head.generation+1)
	}
	return next
}

// withCuts adds what is cut, as far as it has bytes.
func (s *Salvage) withCuts(r Repair, err error) (Repair, error) {
	if err != nil {
		return r, err
	}
	r.cut = append(r.cut, s.strays...)
	for _, p := range r.cut {
		if err := s.addCut(&r, p, 0, p.size); err != nil {
			return r, err
		}
	}
	if r.holder != nil {
		from, to, err := s.rest(r.holder, r.end.end)
		if err == nil && to > from {
			err = s.addCut(&r, *r.holder, from, to)
		}
		return r, err
	}
	return r, nil
}

// addCut adds a part of a file.
func (s *Salvage) addCut(r *Repair, p part, from, to int64) error {
	name, err := s.quarantineName(p, from, to)
	if err == nil {
		r.Cuts = append(r.Cuts, Cut{Path: p.path, Position: from, Bytes: to - from, Quarantine: name})
	}
	return err
}

// quarantineName returns the path of the copy of a part of a file.
func (s *Salvage) quarantineName(p part, from, to int64) (name string, err error) {
	err = s.withFile(p, func(f *store) error {
		sum, err := f.sum(from, to)
		name = joinName(s.log.opts.QuarantineDir, quarantineName(f.head.base, from, sum))
		return err
	})
	return name, err
}

// withFile opens a part's file, as it is, whatever its header says.
func (s *Salvage) withFile(p part, use func(f *store) error) error {
	file, err := s.mended.OpenRead(p.path)
	if err != nil {
		return err
	}
	return errors.Join(use(&store{file: file, path: p.path, head: storeHead{base: p.base}}), file.Close())
}

// rest returns what stands after a place in a file: from the first byte that is no seal's to the last that isn't zero.
func (s *Salvage) rest(p *part, from int64) (start, end int64, err error) {
	sc := p.store.scan(p.size)
	if head, _, err := sc.head(from); err == nil && head.kind.isSeal() {
		from += head.size()
	}
	end = from
	for at := from; at < p.size; at += scanChunk {
		window, err := sc.view(at, scanChunk)
		if err != nil {
			return 0, 0, err
		}
		if last := bytes.TrimRight(window, "\x00"); len(last) > 0 {
			end = at + int64(len(last))
		}
	}
	return from, end, nil
}

// Apply does what was planned. The caller holds the lock of the log, and nothing has it open. Everything that is cut is in the quarantine
// durably before anything changes. A crash leaves the damage, in some part perhaps, or the log that was planned: planning again says which.
func (s *Salvage) Apply(r Repair) error {
	err := s.keepCopies(r)
	if err == nil {
		err = s.applyFixes(r.Fixes)
	}
	if err == nil && r.holder != nil {
		err = s.makeDurable(r.holder, &r.end)
	}
	if err == nil && r.Begins() {
		err = s.goOn(r.head)
	}
	if err == nil {
		err = s.removeCut(r)
	}
	if err != nil {
		return fmt.Errorf("repair log %s: %w", s.log.dir, err)
	}
	return nil
}

// keepCopies puts everything that is cut, as it will be then, and the bytes that are changed, as they are, into the quarantine.
func (s *Salvage) keepCopies(r Repair) error {
	for _, f := range r.Fixes {
		if f.To != "" {
			continue
		}
		if err := s.keepCopy(s.log.opts.FS, s.mended.real(f.Path), s.baseOf(f.Path), f.Position, int64(len(f.Bytes))); err != nil {
			return err
		}
	}
	for _, c := range r.Cuts {
		if err := s.keepCopy(s.mended, c.Path, s.baseOf(c.Path), c.Position, c.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// keepCopy copies a part of a file to the quarantine.
func (s *Salvage) keepCopy(fsys vfs.FS, path string, base uint64, from, n int64) error {
	file, err := fsys.OpenRead(path)
	if err != nil {
		return err
	}
	_, err = s.log.quarantine(&store{file: file, path: path, head: storeHead{base: base}}, from, from+n)
	return errors.Join(err, file.Close())
}

// baseOf returns the base of the part that is in a file.
func (s *Salvage) baseOf(path string) uint64 {
	for _, p := range slices.Concat(s.parts, s.strays) {
		if p.path == path {
			return p.base
		}
	}
	return 0
}

// applyFixes does one fix after the other. Each is durable before the next one: a rename and the few bytes of a patch happen as a whole.
func (s *Salvage) applyFixes(fixes []Fix) error {
	for _, f := range fixes {
		var err error
		if f.To != "" {
			if err = s.log.opts.FS.Rename(f.Path, f.To); err == nil {
				err = s.log.opts.FS.SyncDir(s.log.dir)
			}
		} else {
			err = s.patch(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// patch changes bytes of a file.
func (s *Salvage) patch(f Fix) error {
	file, err := s.log.opts.FS.Open(f.Path)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(f.Bytes, f.Position)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// makeDurable writes again what nothing proves durable of a segment that stays: it may be in the page cache and on no disk.
func (s *Salvage) makeDurable(p *part, end *reading) error {
	file, err := s.log.opts.FS.Open(p.path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(file, end.proven), io.NewSectionReader(file, end.proven, end.end-end.proven))
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), s.log.opts.FS.SyncDir(s.log.dir))
}

// goOn makes the segment with which the log goes on. Its name is what makes it so.
func (s *Salvage) goOn(head storeHead) error {
	if err := s.log.opts.FS.MkdirAll(s.log.dir); err != nil {
		return err
	}
	head.salt = newSalt()
	made, err := s.log.createStore(head)
	if err != nil {
		return err
	}
	return made.file.Close()
}

// removeCut removes the files that were cut, indexes first, and the indexes without a store. Until then an open refuses those that it
// can't read, so that a repair which dies here is gone on with.
func (s *Salvage) removeCut(r Repair) error {
	var indexes, stores []string
	for _, p := range r.cut {
		if p.base == r.head.base {
			continue // The new segment has its name.
		}
		indexes, stores = append(indexes, indexName(p.base)), append(stores, storeName(p.base))
	}
	for _, base := range s.orphans {
		if base != r.head.base {
			indexes = append(indexes, indexName(base))
		}
	}
	return s.log.removeNames(indexes, stores)
}
