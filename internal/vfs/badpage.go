package vfs

import "fmt"

// memFault is a fault in a mapping of a Mem, at a position in the file. Like a real fault it is a runtime.Error with an address.
type memFault int64

// RuntimeError makes it a runtime.Error.
func (memFault) RuntimeError() {}

// Addr returns the position in the file, since a Mem has no addresses.
func (at memFault) Addr() uintptr { return uintptr(at) }

func (at memFault) Error() string {
	return fmt.Sprintf("fault at position %d of a mapped file", int64(at))
}

// SetBadPage makes a page of a file unreadable, as a bad sector would, or readable again. Pages are 4 KiB, numbered from 0.
// Reading a bad page fails with EIO, and an access through a mapping faults. Writing to the page doesn't mend it; cutting it
// off with Truncate does. It stays bad in the states that Crash, Exit and Clone return.
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

// badFrom finds the first byte in the range from off to end that lies in a bad page.
func (f *memFile) badFrom(off, end int64) (at int64, found bool) {
	for page := off / blockSize; off < end && len(f.bad) > 0 && page < blocksIn(end); page++ {
		if f.bad[page] {
			return max(off, page*blockSize), true
		}
	}
	return 0, false
}

// faultFrom finds the first byte in the range from off to end whose access through a mapping faults. The rest of the file's
// last page can be accessed.
func (f *memFile) faultFrom(off, end int64) (at int64, found bool) {
	inside := blocksIn(f.cache.size()) * blockSize
	if at, found = f.badFrom(off, min(end, inside)); found {
		return at, true
	}
	return max(off, inside), end > inside
}

// checkViews records in each view whether some access to it faults.
func (f *memFile) checkViews() {
	for _, v := range f.views {
		_, faulty := f.faultFrom(0, int64(len(v.bytes)))
		v.faulty.Store(faulty)
	}
}
