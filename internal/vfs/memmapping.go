package vfs

import "slices"

// memMapping is a mapping of a file of a Mem.
type memMapping struct {
	mem  *Mem
	file *memFile
	name string // The one by which the file was opened.
	view *view  // nil once it is closed.
	size int64
}

func (p *memMapping) ReadAt(b []byte, off int64) (int, error) {
	return readMapped(p.name, p.mapped(), b, off, p.touch)
}

func (p *memMapping) Bytes() []byte {
	p.touch(0, p.size)
	return p.mapped()
}

func (p *memMapping) mapped() []byte {
	if p.view == nil {
		return nil
	}
	return p.view.bytes[:p.size:p.size]
}

// touch faults if a page in the range from off to end can't be accessed.
func (p *memMapping) touch(off, end int64) {
	if p.view == nil || !p.view.faulty.Load() {
		return
	}
	p.mem.mu.Lock()
	defer p.mem.mu.Unlock()
	if at, found := p.file.faultFrom(off, end); found {
		panic(memFault(at))
	}
}

func (p *memMapping) Close() error {
	p.mem.mu.Lock()
	defer p.mem.mu.Unlock()
	if p.view == nil {
		return nil
	}
	p.file.collect(p.mem)
	p.view.users--
	if p.view.users == 0 {
		p.file.views = slices.DeleteFunc(p.file.views, func(v *view) bool { return v == p.view })
	}
	p.view = nil
	delete(p.mem.inUse, p)
	return nil
}
