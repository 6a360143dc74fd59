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
	// sweepKeys and sweepBytes are up to how many pairs a step deletes, and about how many bytes of keys, so that it holds
	// the writers' lock for a fraction of a millisecond.
	sweepKeys  = 256
	sweepBytes = 64 << 10
	// sweepEvery is how often the sweeper looks for what has expired. If it slept until the next deadline it would make a commit for
	// each, and would be late where the system's clock is set forward.
	sweepEvery = time.Second / 2
	// sweepRest is the longest rest between two steps.
	sweepRest = time.Millisecond / 2
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
}

// beginToSweep lets the sweeper work from now on, as an open store that takes commits does.
func (db *DB) beginToSweep() {
	if db.opts.ReadOnly {
		return
	}
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

// sweepAll deletes everything that has expired. While there are other commits, which share the processors and the disk with it,
// it rests after each step as long as the step took, up to sweepRest.
func (db *DB) sweepAll() error {
	for more, before := true, uint64(0); more; {
		started := time.Now()
		var offset uint64
		var err error
		if offset, more, err = db.sweep(); err != nil {
			return err
		}
		if offset != before+1 {
			time.Sleep(min(time.Since(started), sweepRest))
		}
		before = offset
	}
	return nil
}

// sweep makes one step, and returns the offset of its commit and whether it left something that has expired.
func (db *DB) sweep() (offset uint64, more bool, err error) {
	b := &db.sweeper.batch
	b.Reset()
	offset, err = db.commit(context.Background(), b, func() (*state, error) {
		seen, decided := db.undecided()
		more = b.deleteExpired(seen, db.now(), db.opts.MaxCommitSize, decided)
		return nil, nil
	})
	if err == nil {
		db.sweeper.swept.Add(uint64(b.count))
	}
	return offset, more, err
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

// deleteExpired adds deletes of pairs that have expired, as many as a step has, and reports whether there are more. It passes
// over keys that others have decided, and over one whose delete alone is over the limit of a commit, as it may be where that
// was higher before.
func (b *Batch) deleteExpired(s *state, now int64, sizeMax int, others []*decided) (more bool) {
	size := recordHeadRoom
	s.deadlines.ascend(now, func(key []byte) bool {
		if slices.ContainsFunc(others, func(d *decided) bool { return d.has(key) }) {
			return true
		}
		m := Mutation{Kind: MutationDelete, Key: key}
		next := size + mutationFieldSize(&m)
		switch {
		case b.count == 0 && next > sizeMax:
		case b.count > 0 && next > min(sweepBytes, sizeMax), b.count == sweepKeys:
			more = true
		default:
			b.add(&m)
			size = next
		}
		return !more
	})
	return more
}
