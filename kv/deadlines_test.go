package kv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireDeadlines requires that the index by deadline has the tree's pairs that have one, and no other.
func requireDeadlines(t *testing.T, s *state, says string) {
	t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	s.tree.ascend(nil, nil, func(it item) bool {
		if it.hasDeadline() {
			want[string(it.key())] = true
		}
		return true
	})
	s.deadlines.ascend(math.MaxInt64, func(key []byte) bool {
		got[string(key)] = true
		return true
	})
	require.Equal(t, want, got, says)
	require.Equal(t, len(want), s.deadlines.len(), says)
}

// TestTheIndexByDeadlineIsThatOfTheTree changes states, and clones of them, in all ways there are.
func TestTheIndexByDeadlineIsThatOfTheTree(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 31))
		states := []*state{newState()}
		for step := range 60 {
			says := fmt.Sprintf("seed %d, step %d", seed, step)
			s := states[random.IntN(len(states))]
			if random.IntN(8) == 0 {
				states = append(states, s.clone())
			}
			var b Batch
			for range random.IntN(12) {
				b.PutDeadline(randomKey(random), nil, deadlineTime(int64(random.Uint64())))
			}
			b.append(randomBatch(random, 0))
			if random.IntN(40) == 0 {
				b.DeleteRange(nil, nil)
			}
			if random.IntN(2) == 0 {
				s.applyEncoded(s.offset+1, b.mutations())
			} else {
				s.apply(s.offset+1, mutationsOf(&b))
			}
			for _, s := range states {
				requireDeadlines(t, s, says)
				requireExpired(t, s, int64(random.Uint64()), says)
			}
		}
	}
}

// requireExpired requires that the index knows how many pairs have expired.
func requireExpired(t *testing.T, s *state, now int64, says string) {
	t.Helper()
	want := 0
	s.tree.ascend(nil, nil, func(it item) bool {
		if it.expired(now) {
			want++
		}
		return true
	})
	require.Equal(t, want, s.expired(now), says)
}

func TestADeadlineIsIndexedWithinItsUnit(t *testing.T) {
	const unit = deadlineKeyMask + 1
	longest := make([]byte, MaxKeySize)
	var before deadlineItem
	for i, deadline := range []int64{math.MinInt64, -3 * unit, -1, 1, 2 * unit, math.MaxInt64} {
		it := newDeadlineItem(newPair(longest, []byte("value"), deadline))
		require.LessOrEqual(t, it.from(), deadline)
		require.GreaterOrEqual(t, it.to(), deadline)
		require.EqualValues(t, unit-1, it.to()-it.from())
		require.Equal(t, longest, it.key())
		if i > 0 {
			require.True(t, before.less(it) && !it.less(before), "%d comes later", deadline)
		}
		require.False(t, it.less(it))
		before = it
	}
}

// TestAKeyThatNoWalnutWroteIsNotIndexed has a key over the limit, which replaying a strange log may bring.
func TestAKeyThatNoWalnutWroteIsNotIndexed(t *testing.T) {
	s, key := newState(), make([]byte, MaxKeySize+1)
	s.apply(1, []Mutation{newPut(key, nil, deadlineTime(10))})
	require.Zero(t, s.deadlines.len())
	require.Empty(t, lines(s.scan(Range{}, 10)))
	s.apply(2, []Mutation{{Kind: MutationDelete, Key: key}})
	require.Zero(t, s.deadlines.len())
}

// TestTheIndexTakesAtMost40BytesForAPair measures what the collector finds alive, in the two orders that fill nodes the least and
// the most evenly.
func TestTheIndexTakesAtMost40BytesForAPair(t *testing.T) {
	const pairs = 200_000
	for name, deadline := range map[string]func(i int64) int64{
		"deadlines that ascend": func(i int64) int64 { return 1 + i*deadlineKeyMask },
		"deadlines by chance":   func(int64) int64 { return int64(rand.Uint64() >> 1) },
	} {
		t.Run(name, func(t *testing.T) {
			all := make([]pair, pairs)
			for i := range all {
				all[i] = newPair(fmt.Appendf(nil, "key%09d", i), nil, deadline(int64(i)))
			}
			var d deadlines
			before := liveHeap()
			for _, p := range all {
				d.count(p, 1)
			}
			each := float64(liveHeap()-before) / pairs
			t.Logf("%.1f bytes for a pair", each)
			require.LessOrEqual(t, each, 40.0)
			require.Equal(t, pairs, d.len())
			runtime.KeepAlive(all)
		})
	}
}

func liveHeap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
