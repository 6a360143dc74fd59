package cluster

import "sync"

// asks counts what waits for raft's answers, so that Close can wait for them while more may come.
type asks struct {
	mu      sync.Mutex
	waiting int
	idle    chan struct{} // Closed once nothing waits; nil where nobody cares.
}

// start runs a function that waits for an answer.
func (a *asks) start(wait func()) {
	a.mu.Lock()
	a.waiting++
	a.mu.Unlock()
	go func() {
		defer a.end()
		wait()
	}()
}

func (a *asks) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	if a.waiting == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// settled returns a channel that is closed once nothing waits.
func (a *asks) settled() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	settled := a.idle
	if a.waiting == 0 {
		close(a.idle)
		a.idle = nil
	}
	return settled
}
