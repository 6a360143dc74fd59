package kv

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"

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
	db.apart = &apart{state: db.head().clone()}
	return db.apart, nil
}

// endApart is called however the commit ended.
func (db *DB) endApart(work *apart) {
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

// decided says which keys a batch decides: after it their pairs are what it made of them, whatever was there before. It keeps
// no keys but their positions in the batch, since a batch may have millions of mutations that are no longer than a word.
type decided struct {
	mutations []byte
	slots     []uint32 // Of puts and deletes, by the hash of the key: one more than their position; 0 is none.
	ranges    []extent // Of range deletes, by their starts.
	seed      maphash.Seed
}

// extent is the position of a range delete, and that of the one which reaches farthest of it and all before it.
type extent struct{ from, to uint32 }

func newDecided(b *Batch) *decided {
	d := &decided{mutations: b.mutations(), seed: maphash.MakeSeed()}
	d.slots = make([]uint32, 1<<bits.Len(uint(b.count-b.ranges)*4/3+1))
	for rest := d.mutations; len(rest) > 0; {
		position := uint32(len(d.mutations) - len(rest))
		var m Mutation
		switch rest = m.next(rest); {
		case m.Kind != MutationDeleteRange:
			d.slots[d.slot(m.Key)] = position + 1
		case len(m.End) == 0 || bytes.Compare(m.Key, m.End) < 0:
			d.ranges = append(d.ranges, extent{position, position})
		}
	}
	slices.SortFunc(d.ranges, func(a, b extent) int { return bytes.Compare(d.at(a.from).Key, d.at(b.from).Key) })
	for i := 1; i < len(d.ranges); i++ {
		before := d.ranges[i-1].to
		end, farthest := d.at(d.ranges[i].to).End, d.at(before).End
		if len(farthest) == 0 || len(end) > 0 && bytes.Compare(end, farthest) <= 0 {
			d.ranges[i].to = before
		}
	}
	return d
}

func (d *decided) at(position uint32) (m Mutation) {
	m.next(d.mutations[position:])
	return m
}

// slot returns the slot of a key, which is empty where no mutation has the key.
func (d *decided) slot(key []byte) int {
	last := len(d.slots) - 1
	i := int(maphash.Bytes(d.seed, key)) & last
	for d.slots[i] != 0 && !bytes.Equal(d.at(d.slots[i]-1).Key, key) {
		i = (i + 1) & last
	}
	return i
}

func (d *decided) has(key []byte) bool {
	if d.slots[d.slot(key)] != 0 {
		return true
	}
	after := sort.Search(len(d.ranges), func(i int) bool { return bytes.Compare(d.at(d.ranges[i].from).Key, key) > 0 })
	if after == 0 {
		return false
	}
	end := d.at(d.ranges[after-1].to).End
	return len(end) == 0 || bytes.Compare(key, end) < 0
}
