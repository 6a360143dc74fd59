package vfs

import (
	"slices"
	"sync"
)

// heldWrite is a write that a Mem will hold back.
type heldWrite struct {
	match   func(Call) bool
	begun   chan struct{} // Closed when the write has begun.
	release chan struct{} // Closed when it may land.
}

// HoldWrite holds back the next WriteAt that match accepts, as a kernel may do with a write that it has begun: the write
// blocks its caller, and lands when release is called. Close of its file neither waits for it nor cancels it, so it can land
// in a file that was closed and opened again. It reaches the names that the file has then, and takes space then.
//
// begun is closed once the write is held. match is called under the Mem's lock and must not use the Mem. Every further write
// to hold back takes a further call of HoldWrite. A second call of release does nothing.
func (m *Mem) HoldWrite(match func(Call) bool) (begun <-chan struct{}, release func()) {
	w := &heldWrite{match: match, begun: make(chan struct{}), release: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, w)
	return w.begun, sync.OnceFunc(func() { close(w.release) })
}

// hold blocks a write that is to be held back. It unlocks the Mem meanwhile.
func (m *Mem) hold(c Call) {
	i := slices.IndexFunc(m.held, func(w *heldWrite) bool { return w.match(c) })
	if i < 0 {
		return
	}
	w := m.held[i]
	m.held = slices.Delete(m.held, i, i+1)
	m.mu.Unlock()
	defer m.mu.Lock()
	close(w.begun)
	<-w.release
}
