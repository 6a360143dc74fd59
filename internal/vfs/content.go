package vfs

import "slices"

// content is the bytes of a file. Two contents may share one array, which makes a crash state cheap. A content that shares
// its array copies it before the first change.
type content struct {
	bytes  []byte
	shared bool
}

// share returns a content with the same bytes. A later change of either doesn't show in the other.
func (c *content) share() content {
	c.shared = true
	return *c
}

func (c *content) size() int64 { return int64(len(c.bytes)) }

// apply makes a change.
func (c *content) apply(ch change) {
	switch ch.op {
	case OpWrite:
		c.write(ch.data, ch.off)
	case OpAllocate:
		c.zero(ch.off, ch.size)
	case OpTruncate:
		c.resize(ch.size)
	}
}

// write changes the bytes at off. Bytes between the old end and off read as zeros.
func (c *content) write(p []byte, off int64) {
	end := off + int64(len(p))
	c.grow(end)
	c.own()
	copy(c.bytes[off:end], p)
}

// zero writes zeros in the range from off to end.
func (c *content) zero(off, end int64) {
	if inside := min(end, c.size()); off < inside {
		c.own()
		clear(c.bytes[off:inside])
	}
	c.grow(end)
}

// grow makes the length at least size.
func (c *content) grow(size int64) {
	if size > c.size() {
		c.resize(size)
	}
}

// own copies the bytes if they are shared, so that they can be changed.
func (c *content) own() {
	if c.shared {
		c.bytes, c.shared = slices.Clone(c.bytes), false
	}
}

// resize sets the length. Added bytes read as zeros.
func (c *content) resize(size int64) {
	old := c.size()
	switch {
	case size <= old:
		c.bytes = c.bytes[:size]
	case size <= int64(cap(c.bytes)) && !c.shared:
		c.bytes = c.bytes[:size]
		clear(c.bytes[old:])
	default:
		// Reserve half as much again, so that a file that grows by many small writes is copied few times.
		grown := make([]byte, size, max(size, old+old/2))
		copy(grown, c.bytes)
		c.bytes, c.shared = grown, false
	}
}
