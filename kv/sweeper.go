package kv

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sweepBytes is about how many bytes of keys a step has at most.
	sweepBytes = 64 << 10
	// sweepEvery is how often the sweeper looks for what has expired. If it slept until the next deadline it would make a commit for
	// each, and would be late where the system's clock is set forward.
	sweepEvery = time.Second / 2
	// sweepJoin is how long a step waits for another commit to sync it. It doesn't sync alone while there are others: they would
	// wait for that sync, and then for their own.
	sweepJoin = 2 * time.Millisecond
	// sweepRetry is how long it pauses after a commit that was refused, as on a full disk.
	sweepRetry = 2 * time.Second
)

// sweeper deletes the pairs that have expired, in small steps. Each step is an ordinary commit, so watchers, followers, backups
// and a start see it as they see any other. It takes its keys from the index of what is visible, under the writers' lock, and leaves
// out those that a commit has decided which isn't visible yet. So it deletes no pair that was put again, and needs no clone of
// head, which every step would then have to copy nodes for.
//
// Its goroutine is there while there are pairs with deadlines: a store without them pays a look at a pointer for each commit.
// It ends when the store is closed or has failed.
type sweeper struct {
	running bool // The goroutine is there, or there must be none any more. visibleState.mu guards it.
	byHand  bool // There is no goroutine: a test calls sweep. visibleState.mu guards it.
	done    sync.WaitGroup
	swept   atomic.Uint64 // Pairs deleted.
	batch   Batch         // Of the goroutine, or the test.

	awaits   uint64        // The offset of a step that waits for another commit's sync; 0 if none does. DB.mu guards it.
	landed   chan struct{} // Gets a token when that has landed.
	patience time.Duration // sweepJoin, but in tests.
}

// beginToSweep lets the sweeper work from now on, as an open store that takes commits does.
func (db *DB) beginToSweep() {
	if db.opts.ReadOnly {
		return
	}
	db.sweeper.landed, db.sweeper.patience = make(chan struct{}, 1), sweepJoin
	v := &db.visible
	v.mu.Lock()
	defer v.mu.Unlock()
	db.sweeper.byHand = db.opts.sweepByHand
	if v.sweep = db.startSweeper; v.current.deadlines.len() > 0 {
		v.sweep()
	}
}

// startSweeper starts the goroutine once a state with deadlines is visible. The caller holds visible.mu.
func (db *DB) startSweeper() {
	s := &db.sweeper
	if s.running || s.byHand {
		return
	}
	db.closing.Lock()
	defer db.closing.Unlock()
	if !db.closed {
		s.running = true
		s.done.Go(db.runSweeper)
	}
}

// runSweeper sweeps until nothing has a deadline, the store is being closed, or it has failed.
func (db *DB) runSweeper() {
	for pause := sweepEvery; ; {
		select {
		case <-db.checkpoints.ctx.Done():
			return
		case <-time.After(pause):
		}
		due, over := db.lookForExpired()
		if over {
			return
		}
		pause = sweepEvery
		if due {
			switch err := db.sweepAll(); {
			case errors.Is(err, ErrClosed), errors.Is(err, ErrFailed):
				return
			case err != nil: // It may pass, as a full disk and too many open files do.
				pause = sweepRetry
			}
		}
	}
}

// lookForExpired reports whether something has expired, or else whether the goroutine is over since nothing has a deadline.
func (db *DB) lookForExpired() (due, over bool) {
	v, s := &db.visible, &db.sweeper
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current == nil || s.byHand {
		return false, true
	}
	s.running = v.current.deadlines.len() > 0
	return s.running && v.current.deadlines.next() <= db.now(), !s.running
}

// sweepAll deletes everything that has expired.
func (db *DB) sweepAll() error {
	p := db.newPace()
	for {
		offset, more, err := db.sweep(p.keys, p.joins)
		if err != nil || !more {
			return err
		}
		p.stepped(offset)
	}
}

// sweep makes one step of up to the given number of pairs, and returns the offset of its commit and whether it left something that has expired.
// Where it joins others, it lets another commit sync it if there is one soon. While an index is loading it may have to wait, as any commit
// does, before it takes a lock that readers need.
func (db *DB) sweep(keys int, joins bool) (offset uint64, more bool, err error) {
	if err := db.visible.overdue.Load().waitFor(db.checkpoints.ctx); err != nil {
		return 0, false, ErrClosed
	}
	s := &db.sweeper
	b := &s.batch
	b.Reset()
	db.committing.Add(1)
	defer db.committing.Add(-1)
	joins = joins && !db.relaxed() && db.replica == nil
	step := func() (*state, error) {
		seen, decided := db.undecided()
		more = b.deleteExpired(seen, db.now(), keys, db.opts.MaxCommitSize, decided)
		if joins = joins && b.count > 0; joins {
			s.awaits = db.last + 1
		}
		return nil, nil
	}
	if db.replica != nil {
		offset, err = db.replica.commit(context.Background(), b, step)
	} else if offset, err = db.submit(context.Background(), b, step); err == nil {
		if joins {
			s.join()
		}
		err = db.await(context.Background(), offset)
	}
	if err == nil {
		s.swept.Add(uint64(b.count))
	}
	return offset, more, err
}

// join waits, though not for long, until the step that awaits says has landed.
func (s *sweeper) join() {
	late := time.NewTimer(s.patience)
	defer late.Stop()
	select {
	case <-s.landed:
	case <-late.C:
	}
}

// hasLanded notes that commits up to an offset have landed, and reports whether a step waits for that. The caller holds DB.mu.
func (s *sweeper) hasLanded(last uint64) bool {
	if s.awaits == 0 || s.awaits > last {
		return false
	}
	s.awaits = 0
	return true
}

// wake wakes a step that waits. A step that was late leaves its token to a later one, which then waits as any commit does.
func (s *sweeper) wake() {
	select {
	case s.landed <- struct{}{}:
	default:
	}
}

// undecided returns the newest state that there is without making one, and what the commits decide that are to follow it. Their
// keys are left for a later step. The caller holds mu.
func (db *DB) undecided() (seen *state, later []*decided) {
	db.visible.mu.RLock() // Waits for landed, as head does.
	seen = db.visible.current
	db.visible.mu.RUnlock()
	for _, l := range db.layers {
		if l.state != nil {
			seen, later = l.state, nil
		} else {
			later = append(later, newDecided(&l.batch))
		}
	}
	return seen, later
}

// deleteExpired adds deletes of pairs that have expired, as many as a step may have, and reports whether there are more. It passes
// over keys that others have decided, and over one whose delete alone is over the limit of a commit, as it may be where that
// was higher before.
func (b *Batch) deleteExpired(s *state, now int64, keys, sizeMax int, others []*decided) (more bool) {
	size := recordHeadRoom
	s.deadlines.ascend(now, func(key []byte) bool {
		if slices.ContainsFunc(others, func(d *decided) bool { return d.has(key) }) {
			return true
		}
		m := Mutation{Kind: MutationDelete, Key: key}
		next := size + mutationFieldSize(&m)
		switch {
		case b.count == 0 && next > sizeMax:
		case b.count > 0 && next > min(sweepBytes, sizeMax), b.count == keys:
			more = true
		default:
			b.add(&m)
			size = next
		}
		return !more
	})
	return more
}
