package vfs

import (
	"slices"
	"sync"
)

// heldWrite is a write that a Mem holds back.
type heldWrite struct {
	match   func(Call) bool
	begun   chan struct{} // Closed when the write has begun.
	release chan struct{} // Closed when it may land.
}

// HoldWrite holds back the next WriteAt that match accepts, as a kernel may delay a write that it has begun. The write blocks
// its caller until release is called, and lands then. Close of the file neither waits for it nor cancels it, so it can land
// after the file was opened again. It takes its space when it lands.
//
// begun is closed once the write is held. match is called with the Mem locked and must not use it. One call of HoldWrite
// holds one write. A second call of release does nothing.
func (m *Mem) HoldWrite(match func(Call) bool) (begun <-chan struct{}, release func()) {
	w := &heldWrite{match: match, begun: make(chan struct{}), release: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, w)
	return w.begun, sync.OnceFunc(func() { close(w.release) })
}

// hold blocks if the write is to be held back. It unlocks the Mem while it waits.
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
