package vfs

import "fmt"

// memFault is the fault of a page of a Mem, by its position in the file. Like the runtime's own it is an error with an address.
type memFault int64

// RuntimeError marks the error as the runtime's, as those of real faults are.
func (memFault) RuntimeError() {}

// Addr is the position in the file: a Mem has no addresses.
func (at memFault) Addr() uintptr { return uintptr(at) }

func (at memFault) Error() string {
	return fmt.Sprintf("fault at position %d of a mapped file", int64(at))
}

// SetBadPage makes a page of a file unreadable, as a bad sector does, or readable again. A page is 4 KiB; page 0 is the
// file's first. A read of a bad page fails with EIO, an access through a mapping faults, and a write doesn't mend it. A bad
// page stays bad in the states that Crash, Exit and Clone return; one that a Truncate cuts off is forgotten.
func (m *Mem) SetBadPage(name string, page int64, bad bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.findFile(name)
	if err != nil {
		return pathError(OpOpen, name, err)
	}
	if f.bad == nil {
		f.bad = map[int64]bool{}
	}
	delete(f.bad, page)
	if bad {
		f.bad[page] = true
	}
	f.trim()
	return nil
}

// badFrom returns where in the range from off to end the first byte is that can't be read.
func (f *memFile) badFrom(off, end int64) (at int64, found bool) {
	for page := off / blockSize; off < end && len(f.bad) > 0 && page < blocksIn(end); page++ {
		if f.bad[page] {
			return max(off, page*blockSize), true
		}
	}
	return 0, false
}

// faultFrom returns where in the range from off to end the first byte is whose access through a mapping faults. The rest of
// the file's last page is accessible.
func (f *memFile) faultFrom(off, end int64) (at int64, found bool) {
	inside := blocksIn(f.cache.size()) * blockSize
	if at, found = f.badFrom(off, min(end, inside)); found {
		return at, true
	}
	return max(off, inside), end > inside
}

// checkViews notes of each view whether some access to it faults.
func (f *memFile) checkViews() {
	for _, v := range f.views {
		_, faulty := f.faultFrom(0, int64(len(v.bytes)))
		v.faulty.Store(faulty)
	}
}
