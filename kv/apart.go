package kv

import (
	"context"
	"fmt"
)

const (
	// apartStep is how many bytes of a large batch are applied before it makes up for other commits.
	apartStep = 64 << 10
	// missedMost is how many bytes of other commits a large one makes up for while they wait. If there are more it does so
	// beside them, missedRounds times at most: making up for a commit takes less time than making it.
	missedMost   = 64 << 10
	missedRounds = 16
)

// apart is a large commit that is being applied. That takes long, and other writers must not wait for it. So it is applied
// to a clone of head before it has an offset. Other commits go on meanwhile, and come before it: the clone makes up for them,
// except for the keys that the large commit decides.
//
// DB.mu guards missed. All else belongs to one goroutine.
type apart struct {
	state   *state // Head as it was, the commits since, and as much of the large one as is applied.
	decided *decided
	missed  []byte // The mutations of commits that state doesn't have yet.
	spare   []byte // Memory for more of them.
}

// wantsApart reports whether a batch should be applied apart: it is large, or the tree should be tightened with it.
func (db *DB) wantsApart(b *Batch) bool {
	return b.count > inPlaceMutations || len(b.record) > inPlaceBytes || b.ranges > 0 && db.visible.holdsMany(b) ||
		db.visible.loose.Load() && b.count > 0 && len(db.apartTurn) == 0
}

// submitApart is submit for a large batch. There is one at a time.
func (db *DB) submitApart(ctx context.Context, b *Batch) (offset uint64, err error) {
	select {
	case db.apartTurn <- struct{}{}:
		defer func() { <-db.apartTurn }()
	case <-ctx.Done():
		return 0, fmt.Errorf("kv: commit refused, nothing was changed: %w", ctx.Err())
	}
	work, err := db.beginApart(ctx, b)
	if err != nil {
		return 0, err
	}
	defer db.endApart()
	work.decided = newDecided(b)
	work.state.tree.tighten()
	rest := b.mutations()
	for round := 0; ; {
		rest = work.apply(rest)
		if len(rest) == 0 && round == 0 {
			_ = db.log.MakeRoom(len(b.record)) // An error is for the log to repeat when it is given the record.
		}
		if err := db.lockForCommit(ctx, b); err != nil {
			return 0, err
		}
		missed := work.missed
		if len(rest) == 0 && (len(missed) <= missedMost || round == missedRounds) {
			defer db.mu.Unlock()
			work.makeUpFor(missed)
			db.apart = nil
			return db.give(b, work.state)
		}
		work.missed, work.spare = work.spare[:0], missed
		db.mu.Unlock()
		work.makeUpFor(missed)
		if len(rest) == 0 {
			round++
		}
	}
}

// beginApart begins to take note of other commits.
func (db *DB) beginApart(ctx context.Context, b *Batch) (*apart, error) {
	if err := db.lockForCommit(ctx, b); err != nil {
		return nil, err
	}
	defer db.mu.Unlock()
	if err := db.checkSize(b.recordAt(db.now())); err != nil {
		return nil, err
	}
	db.apart = &apart{state: db.head().clone()}
	return db.apart, nil
}

// endApart ends that, however the commit ended.
func (db *DB) endApart() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.apart = nil
}

// apply applies the next step of the large batch, and returns the rest.
func (a *apart) apply(mutations []byte) (rest []byte) {
	rest = mutations
	for len(rest) > 0 && len(mutations)-len(rest) < apartStep {
		var m Mutation
		rest = m.next(rest)
		a.state.mutate(&m)
	}
	return rest
}

// makeUpFor applies mutations as if they had come before the large batch.
func (a *apart) makeUpFor(missed []byte) {
	for len(missed) > 0 {
		var m Mutation
		switch missed = m.next(missed); {
		case m.Kind == MutationDeleteRange:
			a.state.removeRange(m.Key, m.End, a.decided.has)
		case !a.decided.has(m.Key):
			a.state.mutate(&m)
		}
	}
}
