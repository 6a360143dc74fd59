package kv

import (
	"context"
	"fmt"

	"github.com/walnutkv/walnut/wal"
)

const (
	// apartStep is how many bytes of a large batch are applied before it makes up for other commits.
	apartStep = 64 << 10
	// missedMost is how many bytes of other commits a large one makes up for while they wait. If there are more it does so
	// beside them, missedRounds times at most: making up for a commit takes less time than making it.
	missedMost   = 64 << 10
	missedRounds = 16
	// preparedBytes is the size from which a commit is on the disk before it has an offset.
	preparedBytes = 4 << 20
)

// apart is a large commit that is being applied. That takes long, and other writers must not wait for it. So it is applied
// to a clone of head before it has an offset. Other commits go on meanwhile, and come before it: the clone makes up for them,
// except for the keys that the large commit decides.
type apart struct {
	state    *state // Head as it was, the commits since, and as much of the large one as is applied.
	decided  *decided
	prepared *wal.Prepared // Where the commit is on the disk already.
	missed   []byte        // The mutations of commits that state doesn't have yet. DB.mu guards it.
	spare    []byte        // Memory for more of them.
}

// wantsApart reports whether a batch should be applied apart: it is large, or the tree should be tightened with it.
func (db *DB) wantsApart(b *Batch) bool {
	return b.isLong() || b.ranges > 0 && db.visible.holdsMany(b) ||
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
	defer db.endApart(work)
	work.decided = newDecided(b)
	work.state.tree.tighten()
	rest := b.mutations()
	for round := 0; ; {
		rest = work.apply(rest)
		if len(rest) == 0 && round == 0 {
			work.prepared = db.prepare(b)
		}
		if err := db.lockForCommit(ctx, b); err != nil {
			return 0, err
		}
		missed := work.missed
		if len(rest) == 0 && (len(missed) <= missedMost || round == missedRounds) {
			defer db.mu.Unlock()
			work.makeUpFor(missed)
			db.apart = nil
			return db.give(b, work.state, work.prepared)
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
	db.inflight.Add(1) // Until endApart: Close waits, since the record may be written ahead.
	db.apart = &apart{state: db.head().clone()}
	return db.apart, nil
}

// endApart is called however the commit ended.
func (db *DB) endApart(work *apart) {
	defer db.inflight.Done()
	db.mu.Lock()
	db.apart = nil
	db.mu.Unlock()
	if work.prepared != nil {
		work.prepared.Discard()
	}
}

// prepare writes a very large commit to the disk ahead. Where it can't, the commit has to try what others do, and says why.
func (db *DB) prepare(b *Batch) *wal.Prepared {
	if len(b.record) < preparedBytes {
		return nil
	}
	prepared, err := db.log.Prepare(b.recordAt(db.now()))
	if err != nil {
		db.opts.Logger.Debug("commit can't be written ahead", "bytes", len(b.record), "error", err)
	}
	return prepared
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
