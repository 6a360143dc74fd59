package vfs

// SetTornNeighbours makes Crash assume a disk that writes whole sectors of the given size in bytes, and that may leave any
// bytes in a sector whose writing a power cut interrupted. So a write that was not synced can damage its neighbours, bytes
// that are durable included, up to the ends of the sectors that it touches. 0, the default, is a disk that doesn't do that.
// Only policies under which writes tear are affected: TornTail, OneLost, Sectors and Mixed. Lengths and names never are.
func (m *Mem) SetTornNeighbours(sectorSize int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tornNeighbours = sectorSize
}

// tore notes that a power cut interrupted the write of the byte at off.
func (p *powerCut) tore(off int64) {
	if p.neighbours > 0 {
		p.interrupted = append(p.interrupted, off)
	}
}

// damageNeighbours leaves other bytes in some of the sectors whose writing was interrupted.
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

// garbage is what a disk leaves in a sector: zeros, or bytes that nobody wrote.
func (p *powerCut) garbage(size int64) []byte {
	data := make([]byte, size)
	if p.coin() {
		for i := range data {
			data[i] = byte(p.rng.Uint32())
		}
	}
	return data
}
