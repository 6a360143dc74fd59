package kv

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// proposalBytes is how many bytes of mutations a proposal may have before commits go into the next one. A larger commit has one alone.
const proposalBytes = 1 << 20

// proposal is a group of commits on its way through the consensus: one entry. Its layer is the state that they make, for what is committed
// on top of it.
type proposal struct {
	layer     layer
	commits   int
	mutations []byte // Of all commits, encoded.
	record    []byte // What is proposed. The consensus may keep it, so nothing changes it.

	settled  bool          // The outcome is known. DB.mu guards it.
	detached bool          // It can't be accepted any more, or not on what is visible: its layer is none of DB.layers. DB.mu guards it.
	done     chan struct{} // Closed when offset and err are set.
	offset   uint64
	err      error // A refusal, or ErrUndecided.
}

// proposals is the commit path of a replica. One proposal is in flight; commits that come meanwhile gather into the next one. Each commit
// is made on head: what is visible, with all proposals in their order on top of it.
//
// Every outcome comes from one of two places. Apply gets the record that was proposed, in the same memory: then the acceptance rule says
// whether the commits happened. Or Propose returns without that: then they were refused or, as soon as there is any doubt, are undecided.
// Where a proposal doesn't happen, those on top of it are given up before they are proposed: they may rest on what never was.
//
// Invariants: DB.mu guards everything; DB.layers are that of flying, unless it is settled or detached, and those of queue; the first of
// them was made on what is visible.
type proposals struct {
	flying    *proposal // In flight.
	queue     []*proposal
	returning returning
	wake      chan struct{}
	ending    bool
	ended     sync.WaitGroup
}

// commit is DB.commit of a replica, which lets the consensus decide. A batch that is empty waits for what its function has read.
func (r *Replica) commit(ctx context.Context, b *Batch, fill fillFunc) (offset uint64, err error) {
	p, err := r.submit(ctx, b, fill)
	if err != nil || p == nil {
		return r.db.Offset(), err
	}
	select {
	case <-p.done:
		return p.offset, p.err
	case <-ctx.Done():
		return 0, fmt.Errorf("kv: commit no longer waited for: %w: %w", ErrUndecided, ctx.Err())
	}
}

// submit puts a commit into a proposal and returns that, or what an empty one waits for: nil where that is visible.
func (r *Replica) submit(ctx context.Context, b *Batch, fill fillFunc) (p *proposal, err error) {
	db := r.db
	if err := db.lockForCommit(ctx, b); err != nil {
		return nil, err
	}
	filled := false
	defer func() {
		last := r.proposals.last()
		db.mu.Unlock()
		if !filled && last != nil { // The function panicked: what it has made known must have happened, or be refused.
			<-last.done
		}
	}()
	var worked *state
	if fill != nil {
		if worked, err = fill(); err != nil {
			filled = true
			return nil, err
		}
	}
	filled = true
	if b.count == 0 {
		return r.proposals.last(), nil
	}
	if err := db.checkSize(b.recordAt(db.now())); err != nil {
		return nil, err
	}
	return r.gather(b, worked), nil
}

// last returns the last proposal that can still be accepted.
func (ps *proposals) last() *proposal {
	if n := len(ps.queue); n > 0 {
		return ps.queue[n-1]
	}
	if p := ps.flying; p != nil && !p.settled && !p.detached {
		return p
	}
	return nil
}

// gather adds a commit to the last proposal that isn't in flight, or to another one. DB.mu is held.
func (r *Replica) gather(b *Batch, worked *state) *proposal {
	ps := &r.proposals
	p := (*proposal)(nil)
	if n := len(ps.queue); n > 0 {
		p = ps.queue[n-1]
	}
	if p == nil || len(p.mutations)+len(b.mutations()) > proposalBytes {
		p = &proposal{done: make(chan struct{})}
		ps.queue = append(ps.queue, p)
		r.db.layers = append(r.db.layers, &p.layer)
		r.db.inflight.Add(1)
	}
	p.commits++
	p.mutations = append(p.mutations, b.mutations()...)
	p.layer.add(r.db.Offset(), b, worked)
	ps.arrived()
	return p
}

func (ps *proposals) notify() {
	select {
	case ps.wake <- struct{}{}:
	default:
	}
}

// propose proposes one group after the other until the store is closed.
func (r *Replica) propose() {
	var between pause
	for range r.proposals.wake {
		for {
			runtime.Gosched() // Let commits that were woken by the last group join this one.
			r.pause(&between)
			p, over := r.take()
			if over {
				return
			}
			if p == nil {
				break
			}
			began := time.Now()
			r.settle(p, r.consensus.Propose(p.record))
			between.proposed(time.Since(began))
		}
	}
}

// take makes the next proposal the one in flight; nil where there is none. It reports whether there will be no more.
func (r *Replica) take() (p *proposal, over bool) {
	db, ps := r.db, &r.proposals
	db.mu.Lock()
	defer db.mu.Unlock()
	ps.returning = returning{} // A pause is over.
	if len(ps.queue) == 0 {
		return nil, ps.ending
	}
	p, ps.queue = ps.queue[0], ps.queue[1:]
	seen, _ := r.moment()
	p.record = newProposal(db.now(), seen.accepted, p.mutations)
	ps.flying = p
	return p, false
}

// settle ends a proposal that the consensus has answered.
func (r *Replica) settle(p *proposal, answer error) {
	db := r.db
	db.mu.Lock()
	defer db.mu.Unlock()
	r.proposals.flying = nil
	if p.settled {
		return // Apply had it, which is all that counts.
	}
	switch {
	case errors.Is(answer, ErrUndecided): // Whatever else it is.
		r.end(p, 0, fmt.Errorf("kv: commit has no outcome yet: %w", answer))
	case errors.Is(answer, ErrNotLeader), errors.Is(answer, ErrConflict):
		r.end(p, 0, fmt.Errorf("kv: commit refused, nothing was changed: %w", answer))
	case answer != nil:
		r.end(p, 0, fmt.Errorf("kv: commit has no outcome yet: %w: %w", ErrUndecided, answer))
	default:
		r.end(p, 0, fmt.Errorf("kv: commit has no outcome yet: %w: the entry that was applied isn't known as this node's", ErrUndecided))
	}
	switch {
	case p.detached:
	case errors.Is(answer, ErrNotLeader):
		r.giveUp(answer)
	default:
		r.giveUp(ErrConflict)
	}
}

// end says what came of a proposal. DB.mu is held.
func (r *Replica) end(p *proposal, offset uint64, err error) {
	p.settled, p.offset, p.err = true, offset, err
	close(p.done)
	r.db.inflight.Done()
}

// giveUp refuses the proposals that weren't proposed, since what they were made on is not what will be. The one in flight, if it was to
// come first, is left to the consensus. DB.mu is held.
func (r *Replica) giveUp(why error) {
	if r.proposals.flying != nil {
		r.proposals.flying.detached = true
	}
	for _, p := range r.proposals.queue {
		r.end(p, 0, fmt.Errorf("kv: commit refused, nothing was changed: %w: it was made on one that didn't happen", why))
	}
	r.proposals.queue, r.db.layers = nil, nil
}

// owns reports whether an entry that is applied is the proposal in flight. Only the same memory shows that: another node may propose the
// same bytes. DB.mu is held.
func (ps *proposals) owns(record []byte) bool {
	return len(record) > 0 && ps.flying != nil && !ps.flying.settled && &record[0] == &ps.flying.record[0]
}

// stop ends proposing once nothing is in flight. Nothing is committed any more.
func (ps *proposals) stop(mu *sync.Mutex) {
	mu.Lock()
	ps.ending = true
	mu.Unlock()
	ps.notify()
	ps.ended.Wait()
}
