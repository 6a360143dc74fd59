package vfs

// SetTornNeighbours makes Crash assume a disk that writes whole sectors of the given size in bytes. If a power cut interrupts
// the writing of a sector, all bytes of the sector may be damaged. So an unsynced write may damage its neighbours up to the
// ends of the sectors that it touches, even if they are durable. 0, the default, turns the assumption off. It affects only
// the policies under which writes tear: TornTail, OneLost, Sectors and Mixed. It doesn't affect lengths and names.
func (m *Mem) SetTornNeighbours(sectorSize int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tornNeighbours = sectorSize
}

// tore records that the power cut interrupted the write of the byte at off.
func (p *powerCut) tore(off int64) {
	if p.neighbours > 0 {
		p.interrupted = append(p.interrupted, off)
	}
}

// damageNeighbours damages some of the sectors whose writing was interrupted.
func (p *powerCut) damageNeighbours(c *content) {
	for _, off := range p.interrupted {
		start := off - off%p.neighbours
		end := min(start+p.neighbours, c.size())
		if start < end && p.coin() {
			start, end = p.tearSector(start, end)
			c.write(p.garbage(end-start), start)
		}
	}
	p.interrupted = nil
}

// garbage returns zeros, or random bytes.
func (p *powerCut) garbage(size int64) []byte {
	data := make([]byte, size)
	if p.coin() {
		for i := range data {
			data[i] = byte(p.rng.Uint32())
		}
	}
	return data
}
