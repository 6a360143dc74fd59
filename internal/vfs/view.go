package vfs

import (
	"encoding/binary"
	"sync/atomic"
)

// view is memory in which a file is mapped from its start. Goroutines store in it at any time and without a lock, as in a real
// mapping. The race detector must not see that the Mem touches it: in a real system the kernel does. A half-finished store
// that the Mem reads is what a power cut at that moment could leave.
type view struct {
	bytes  []byte
	users  int         // Mappings that are not closed.
	faulty atomic.Bool // Some page can't be accessed. Read without the mutex, so that a mapping that is sound takes no lock.
}

// limit returns how many bytes of the view lie inside the file.
func (v *view) limit(cache *content) int64 { return min(int64(len(v.bytes)), cache.size()) }

// nextDifference returns the next range at or after off in which the view differs from cache. It consists of whole sectors,
// except that equal bytes at both ends are left out. An empty range means that nothing differs before it.
//
//go:norace
func (v *view) nextDifference(cache []byte, off int64) (start, end int64) {
	limit := int64(len(cache))
	for off < limit && sameSector(v.bytes[off:sectorEnd(off, limit)], cache[off:sectorEnd(off, limit)]) {
		off = sectorEnd(off, limit)
	}
	start, end = off, off
	for end < limit && !sameSector(v.bytes[end:sectorEnd(end, limit)], cache[end:sectorEnd(end, limit)]) {
		end = sectorEnd(end, limit)
	}
	for start < end && v.bytes[start] == cache[start] {
		start++
	}
	for start < end && v.bytes[end-1] == cache[end-1] {
		end--
	}
	return start, end
}

// sameSector compares eight bytes at a time: the race detector watches the functions that compare more at once.
//
//go:norace
func sameSector(a, b []byte) bool {
	for len(a) >= 8 && len(b) >= 8 {
		if binary.NativeEndian.Uint64(a) != binary.NativeEndian.Uint64(b) {
			return false
		}
		a, b = a[8:], b[8:]
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// read copies byte by byte: the race detector watches the built-in copy even in a function that it doesn't watch.
//
//go:norace
func (v *view) read(start, end int64) []byte {
	data := make([]byte, end-start)
	for i := range data {
		data[i] = v.bytes[start+int64(i)]
	}
	return data
}

// follow makes a change in the view that is about to be made in cache. It touches no byte that the change leaves alone, since
// another goroutine may just have stored in it.
//
//go:norace
func (v *view) follow(cache *content, ch change) {
	for i := range ch.data[:max(0, min(int64(len(ch.data)), int64(len(v.bytes))-ch.off))] {
		at := ch.off + int64(i)
		if at >= cache.size() || cache.bytes[at] != ch.data[i] {
			v.bytes[at] = ch.data[i]
		}
	}
	if ch.op == OpTruncate {
		for at := ch.size; at < v.limit(cache); at++ {
			v.bytes[at] = 0
		}
	}
}

// sectorEnd returns the end of the disk sector that contains position off, or limit if that comes first.
func sectorEnd(off, limit int64) int64 { return min(limit, (off/sectorSize+1)*sectorSize) }
