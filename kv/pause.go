package kv

import "time"

const (
	pauseMost = time.Millisecond // How long a pause takes at most.
	skipsMost = 64               // How many proposals there are without one, at most, before the next is tried.
)

// pause is the wait before a proposal for the callers that the one before it has woken. Clients of a server come back some hundred
// microseconds later. If the next proposal were on its way by then, two halves of them would take turns: each entry would have half the
// commits that it could have, and each commit would wait for the other half's entry before its own.
//
// That pays as long as they come back within the time that a proposal takes. So a pause ends after that. Where fewer than half of them
// have come by then, some proposals are made without a pause, twice as many each time that it happens again.
//
// It belongs to the goroutine that proposes.
type pause struct {
	limit time.Duration
	skip  int // How many proposals are still to be made without one.
	skips int // How many there were the last time.
}

// proposed notes how long a proposal took.
func (p *pause) proposed(took time.Duration) { p.limit = min(took, pauseMost) }

// ended notes whether it paid.
func (p *pause) ended(paid bool) {
	if paid {
		p.skips = 0
		return
	}
	p.skips = min(max(1, 2*p.skips), skipsMost)
	p.skip = p.skips
}

// returning are the callers that a proposal has woken, as far as they are expected to commit again.
type returning struct {
	callers int // How many they are.
	total   int // How many commits are queued once all of them are back.
	awaited int // The same during a pause, otherwise 0: with fewer there is nothing to do.
}

// woke notes that a proposal happened. DB.mu is held.
func (ps *proposals) woke(p *proposal) {
	ps.returning = returning{callers: p.commits, total: ps.queued() + p.commits}
}

// queued returns how many commits wait for being proposed. DB.mu is held.
func (ps *proposals) queued() (commits int) {
	for _, p := range ps.queue {
		commits += p.commits
	}
	return commits
}

// arrived lets the queue be looked at, since there is another commit. DB.mu is held.
func (ps *proposals) arrived() {
	if ps.queued() >= ps.returning.awaited {
		ps.notify()
	}
}

// pause waits for the callers that the last proposal has woken, where that may pay.
func (r *Replica) pause(p *pause) {
	switch {
	case !r.expect():
		return
	case p.skip > 0:
		p.skip--
		return
	}
	timer := time.NewTimer(p.limit)
	defer timer.Stop()
	for over := false; ; {
		missing, callers := r.await()
		if missing <= 0 || over {
			p.ended(missing <= callers/2)
			return
		}
		select {
		case <-r.proposals.wake:
		case <-timer.C:
			over = true
		}
	}
}

// expect reports whether a pause is for anything. It isn't where a caller is alone.
func (r *Replica) expect() bool {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	return r.proposals.returning.total > 1
}

// await returns how many commits a pause is still waiting for, of how many. It waits for none where the next proposal is full.
func (r *Replica) await() (missing, callers int) {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	ps := &r.proposals
	if ps.ending || len(ps.queue) > 1 {
		return 0, ps.returning.callers
	}
	ps.returning.awaited = ps.returning.total
	return ps.returning.total - ps.queued(), ps.returning.callers
}
