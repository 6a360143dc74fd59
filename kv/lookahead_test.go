package kv

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// pairsInMemory returns pairs of 128 bytes, one beside the other.
func pairsInMemory(count int) []pair {
	const size = 128
	memory := make([]byte, count*size)
	pairs := make([]pair, count)
	for i := range pairs {
		pairs[i] = pair{first: &memory[i*size], keySize: 16, valueSize: size - 16}
	}
	return pairs
}

// shuffled returns the pairs in another order.
func shuffled(t *testing.T, pairs []pair) []pair {
	t.Helper()
	mixed := append([]pair(nil), pairs...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	return mixed
}

// walk gives pairs to a lookahead until it wants no more, and returns what it handed on before it had to stop.
func walk(pairs []pair, stopAfter int) (got []pair, l *lookahead) {
	l = newLookahead(func(p pair) bool {
		got = append(got, p)
		return len(got) != stopAfter
	})
	for _, p := range pairs {
		if !l.take(p) {
			break
		}
	}
	l.flush()
	return got, l
}

func TestLookaheadHandsOnEveryPairOnceInOrder(t *testing.T) {
	const most = 3*directPairs + 5
	ordered := pairsInMemory(most)
	for name, pairs := range map[string][]pair{
		"that lie in order":  ordered,
		"that lie anyhow":    shuffled(t, ordered),
		"that lie both ways": append(shuffled(t, ordered[:100]), ordered[100:]...),
	} {
		t.Run(name, func(t *testing.T) {
			for count := range most {
				got, _ := walk(pairs[:count], 0)
				require.Len(t, got, count)
				require.Equal(t, append([]pair(nil), pairs[:count]...), got)
			}
		})
	}
}

func TestLookaheadHandsOnNothingAfterAStop(t *testing.T) {
	ordered := pairsInMemory(2 * directPairs)
	for name, pairs := range map[string][]pair{"that lie in order": ordered, "that lie anyhow": shuffled(t, ordered)} {
		t.Run(name, func(t *testing.T) {
			for stopAfter := 1; stopAfter <= len(pairs); stopAfter++ {
				got, _ := walk(pairs, stopAfter)
				require.Len(t, got, stopAfter)
			}
		})
	}
}

func TestLookaheadGathersOnlyWherePairsLieApart(t *testing.T) {
	ordered := pairsInMemory(10 * directPairs)
	_, l := walk(ordered[:3*lookaheadMin], 0)
	require.Positive(t, l.direct, "pairs that lie in order are handed on at once")
	_, l = walk(shuffled(t, ordered), 0)
	require.Zero(t, l.direct)
	require.Equal(t, lookaheadMax, l.size, "a longer walk gathers more")

	l = newLookahead(func(pair) bool { return true })
	for _, p := range ordered[:lookaheadMin] {
		l.take(p)
	}
	require.Equal(t, directPairs, l.direct)
	for _, p := range shuffled(t, ordered)[:directPairs+2*lookaheadMax] {
		l.take(p)
	}
	require.Zero(t, l.direct, "and it is looked again after some")
}

func TestTouchTellsPairsBesideEachOtherFromOthers(t *testing.T) {
	pairs := pairsInMemory(1000)
	far := func(step int) (chosen []pair) {
		for i := range 8 {
			chosen = append(chosen, pairs[i*step])
		}
		return chosen
	}
	for _, c := range []struct {
		sentence string
		pairs    []pair
		inOrder  bool
	}{
		{"no pair lies beside another", nil, false},
		{"one pair alone doesn't either", pairs[:1], false},
		{"each lies after the one before", pairs[:8], true},
		{"each lies before the one before it", []pair{pairs[3], pairs[2], pairs[1], pairs[0]}, true},
		{"each lies half a page further", far(16), true},
		{"each lies two pages further", far(64), false},
		{"empty pairs are no harm", []pair{{}, {}}, false},
	} {
		t.Run(c.sentence, func(t *testing.T) { require.Equal(t, c.inOrder, touch(c.pairs)) })
	}
}

func TestScanIsTheSameHoweverPairsLieInMemory(t *testing.T) {
	const count = 2000
	db, _ := openMem(t)
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(count) {
		_, err := db.Put(fmt.Appendf(nil, "key%04d", i), fmt.Appendf(nil, "value%d", i))
		require.NoError(t, err)
	}
	for _, reverse := range []bool{false, true} {
		for _, limit := range []int{0, 1, lookaheadMin - 1, lookaheadMin, 5, 100, directPairs, count, count + 1} {
			got := 0
			for key, value := range db.Scan(Range{Start: []byte("key0003"), End: []byte("key1990"), Reverse: reverse, Limit: limit}) {
				i := 3 + got
				if reverse {
					i = 1989 - got
				}
				require.Equal(t, fmt.Sprintf("key%04d", i), string(key))
				require.Equal(t, fmt.Sprintf("value%d", i), string(value))
				got++
			}
			want := 1987
			if limit > 0 {
				want = min(limit, want)
			}
			require.Equal(t, want, got, "limit %d, reverse %v", limit, reverse)
		}
	}
}
