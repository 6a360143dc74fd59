package kv

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStepsOfASweepKeepPaceWithOtherCommits lets a step take a while, and looks at the size of the next.
func TestStepsOfASweepKeepPaceWithOtherCommits(t *testing.T) {
	for _, c := range []struct {
		sentence string
		mode     SyncMode
		indexes  int
		others   bool
		took     time.Duration
		least    int
		most     int
	}{
		{"nothing else commits", SyncAlways, 0, false, 0, sweepMost, sweepMost},
		{"nothing else commits, relaxed", SyncNever, 0, false, 0, sweepMost, sweepMost},
		{"durable commits take a while", SyncAlways, 0, true, 400 * time.Microsecond, 50, sweepGroup},
		{"with three indexes each delete counts for four", SyncAlways, 3, true, 400 * time.Microsecond, sweepLeast, sweepGroup},
		{"durable commits take long", SyncAlways, 0, true, 20 * time.Millisecond, sweepGroup, sweepGroup},
		{"relaxed ones leave the processors late", SyncNever, 0, true, 20 * time.Millisecond, sweepMost, sweepMost},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			db, _ := openByHand(t, Options{Sync: c.mode})
			db.opts.Indexes = make([]Index, c.indexes)
			p := db.newPace()
			p.before = 7
			p.since = p.since.Add(-c.took)
			offset := uint64(8)
			if c.others {
				offset++
			}
			p.stepped(offset)
			require.Equal(t, c.others, p.joins)
			require.GreaterOrEqual(t, p.keys, c.least)
			require.LessOrEqual(t, p.keys, c.most)
			db.opts.Indexes = nil
		})
	}
}

func TestASweepRestsWhereItsStepsComeFast(t *testing.T) {
	db, _ := openByHand(t, Options{Sync: SyncNever})
	db.committing.Add(1) // A writer, which each step keeps from its turn.
	defer db.committing.Add(-1)
	p, started := db.newPace(), time.Now()
	const steps, keys = 40, 100
	for i := range uint64(steps) {
		p.keys = keys
		p.stepped(i + 1)
	}
	require.Greater(t, time.Since(started), steps*keys*sweepCost*sweepShare-sweepNap)
}
