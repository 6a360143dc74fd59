package vfs

import (
	"maps"
	"math"
	"math/rand/v2"
)

// sectorSize is the unit, in bytes, in which a disk keeps or loses a write.
const sectorSize = 512

// powerCut decides which unsynced changes survive.
type powerCut struct {
	rng     *rand.Rand
	policy  Policy
	numbers []int64 // The numbers of all unsynced changes, in order.
	point   int64   // The change at which the policy's treatment changes, by number; above all numbers for none.

	neighbours  int64   // The size of the sectors that the cut may damage when it interrupts a write; 0 for none.
	interrupted []int64 // Positions in the current file at which the cut interrupted a write.
}

// fate is what happens to a change.
type fate uint8

const (
	lost      fate = iota
	kept           // As a whole.
	torn           // Up to some byte.
	scattered      // Sector by sector.
	measured       // Only the length survives.
)

func (p *powerCut) coin() bool { return p.rng.Uint64()&1 == 0 }

// choosePoint chooses the point among the unsynced changes, or after the last.
func (p *powerCut) choosePoint() {
	p.point = math.MaxInt64
	if i := p.rng.IntN(len(p.numbers) + 1); i < len(p.numbers) {
		p.point = p.numbers[i]
	}
}

// forInode returns the powerCut that decides on one inode.
func (p *powerCut) forInode() *powerCut {
	if p.policy != Mixed {
		return p
	}
	own := *p
	own.policy = Policy(p.rng.IntN(int(Mixed)))
	own.choosePoint()
	return &own
}

// fate returns what happens to a change of a file.
func (p *powerCut) fate(number int64) fate {
	switch p.policy {
	case KeepAll, ContentOnly:
		return kept
	case LengthsOnly:
		return measured
	case TornTail:
		return p.around(number, kept, torn, lost)
	case Reverse:
		return p.around(number, lost, kept, kept)
	case OneLost:
		return p.around(number, kept, p.either(lost, scattered), kept)
	case Sectors:
		return scattered
	}
	return lost
}

func (p *powerCut) around(number int64, before, at, after fate) fate {
	switch {
	case number < p.point:
		return before
	case number == p.point:
		return at
	}
	return after
}

func (p *powerCut) either(a, b fate) fate {
	if p.coin() {
		return a
	}
	return b
}

// keepsName reports whether a change of a name survives.
func (p *powerCut) keepsName(number int64) bool {
	switch p.policy {
	case NamesOnly:
		return true
	case ContentOnly:
		return false
	}
	switch p.fate(number) {
	case lost:
		return false
	case kept, measured:
		return true
	}
	return p.coin()
}

// names returns the names in a directory after the cut.
func (p *powerCut) names(d *memDir) map[string]node {
	names := maps.Clone(d.surviving())
	stale := map[string]bool{} // Names that lost a change: no later change of theirs survives.
	for _, ch := range d.pending {
		if p.keepsName(ch.number) && !stale[ch.name] && !stale[ch.from] {
			ch.apply(names)
			continue
		}
		stale[ch.name] = true
		if ch.from != "" {
			stale[ch.from] = true
		}
	}
	return names
}

// content returns the bytes of a file after the cut.
func (p *powerCut) content(f *memFile) content {
	c := f.durable.share()
	for _, ch := range f.pending {
		switch p.fate(ch.number) {
		case kept:
			c.apply(ch)
		case torn:
			p.tear(&c, ch)
		case scattered:
			p.scatter(&c, ch)
		case measured:
			measure(&c, ch)
		}
	}
	p.damageNeighbours(&c)
	return c
}

// measure makes the file as long as the change does, without the bytes that it wrote.
func measure(c *content, ch change) {
	if ch.op == OpTruncate {
		c.resize(ch.size)
		return
	}
	c.grow(ch.end())
}

// tear makes the change up to some byte, and never as a whole.
func (p *powerCut) tear(c *content, ch change) {
	if ch.op == OpTruncate {
		if p.coin() {
			c.apply(ch)
		}
		return
	}
	n := p.rng.Int64N(ch.end() - ch.off)
	p.tore(ch.off + n)
	switch {
	case n == 0:
	case ch.op == OpWrite:
		c.write(ch.data[:n], ch.off)
	default:
		c.zero(ch.off, ch.off+n)
	}
}

// scatter makes some parts of the change.
func (p *powerCut) scatter(c *content, ch change) {
	switch {
	case ch.op == OpWrite:
		p.scatterWrite(c, ch)
	case p.coin():
		c.apply(ch)
	case ch.op == OpAllocate:
		p.tear(c, ch)
	}
}

func (p *powerCut) scatterWrite(c *content, ch change) {
	if p.coin() {
		measure(c, ch)
	}
	for off := ch.off; off < ch.end(); {
		next := sectorEnd(off, ch.end())
		if p.coin() {
			start, end := p.tearSector(off, next)
			if start > off || end < next {
				p.tore(off)
			}
			c.write(ch.data[start-ch.off:end-ch.off], start)
		}
		off = next
	}
}

// tearSector returns which bytes in the range from off to end a disk writes of a sector that it had begun to write. Mostly
// these are all, and sometimes only those before some byte or from it on, since a disk may write a sector from either end.
func (p *powerCut) tearSector(off, end int64) (start, stop int64) {
	if p.rng.IntN(8) != 0 {
		return off, end
	}
	middle := off + p.rng.Int64N(end-off)
	if middle > off && p.coin() {
		return off, middle
	}
	return middle, end
}
