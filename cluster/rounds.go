package cluster

import (
	"context"
	"sync"
)

// rounds lets many readers share one question to the leader. A reader that comes while a question is on its way waits for the next one: an
// answer counts only for those which were there when it was asked.
type rounds struct {
	ask func(ctx context.Context) (offset uint64, err error)
	ctx context.Context // Done when the node is closed.

	mu      sync.Mutex
	running bool
	closed  bool
	next    *round
	lives   sync.WaitGroup
}

// round is one question.
type round struct {
	done   chan struct{} // Closed when the answer is there.
	offset uint64
	err    error
}

// join returns the answer to the next question.
func (r *rounds) join(ctx context.Context) (offset uint64, err error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return 0, ErrClosed
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	mine := r.next
	if !r.running {
		r.running = true
		r.lives.Go(r.run)
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.offset, mine.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// run asks until nobody waits.
func (r *rounds) run() {
	for {
		r.mu.Lock()
		now := r.next
		r.next = nil
		if r.running = now != nil; !r.running {
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		now.offset, now.err = r.ask(r.ctx)
		close(now.done)
	}
}

// close ends asking, once the context is done, and waits for that.
func (r *rounds) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.lives.Wait()
}
