package kv

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAnOverlayKnowsTheLastMutationOfEachKey gives random mutations to overlays that sort what they gather seldom and often, with a
// snapshot and without, and compares what they say about every key with a model that applies one after the other.
func TestAnOverlayKnowsTheLastMutationOfEachKey(t *testing.T) {
	for seed := range viewSeeds(150) {
		random := rand.New(rand.NewPCG(seed, 41))
		alone, reverse := seed%2 == 0, random.IntN(2) == 0
		o := newOverlay(span{[]byte("k03"), []byte("k97")}, reverse, alone, math.MaxInt64)
		values, lost := map[string]string{}, map[string]bool{}
		for range random.IntN(300) {
			o.limit = []int64{1, 1000, math.MaxInt64}[random.IntN(3)]
			key := fmt.Appendf(nil, "k%02d", random.IntN(100))
			m := Mutation{Kind: MutationPut, Key: key, Value: fmt.Append(nil, random.Uint32())}
			switch random.IntN(8) {
			case 0:
				m.Kind = MutationDelete
			case 1:
				m.Kind = MutationDeleteRange
				if m.End = fmt.Appendf(nil, "k%02d", random.IntN(120)); random.IntN(10) == 0 {
					m.Key, m.End = nil, m.End[:random.IntN(2)*3]
				}
			case 2:
				m.Deadline = time.Unix(0, math.MinInt64)
			}
			o.take(m)
			for i := range 100 {
				switch key := fmt.Sprintf("k%02d", i); {
				case m.Kind == MutationDeleteRange && (span{m.Key, m.End}).has([]byte(key)):
					delete(values, key)
					lost[key] = true
				case m.Kind == MutationDelete && key == string(m.Key):
					values[key] = "deleted"
				case m.Kind == MutationPut && key == string(m.Key):
					values[key] = string(m.Value)
				}
			}
		}
		o.finish()
		want := slices.DeleteFunc(append([]string{}, slices.Sorted(maps.Keys(values))...), func(key string) bool {
			return !o.part.has([]byte(key)) || alone && values[key] == "deleted"
		})
		got := make([]string, 0, len(o.pairs))
		for _, p := range o.pairs {
			got = append(got, string(p.key()))
			if p.isTombstone() {
				require.Equal(t, "deleted", values[string(p.key())], "seed %d, key %q", seed, p.key())
			} else {
				require.Equal(t, values[string(p.key())], string(p.value()), "seed %d, key %q", seed, p.key())
			}
		}
		if reverse {
			slices.Reverse(want)
		}
		require.Equal(t, want, got, "seed %d", seed)
		for i := 3; i < 97 && !alone; i++ {
			key := fmt.Appendf(nil, "k%02d", i)
			if _, found := values[string(key)]; !found {
				require.Equal(t, lost[string(key)], o.hasLost(key), "seed %d, key %q", seed, key)
			}
		}
	}
}

// TestAnOverlayOfOverwritesStaysSmall overwrites few pairs with far more bytes than they take.
func TestAnOverlayOfOverwritesStaysSmall(t *testing.T) {
	o := newOverlay(span{}, false, true, math.MaxInt64)
	value, most := bytes.Repeat([]byte("v"), 10_000), 0
	for i := range 10_000 {
		o.take(Mutation{Kind: MutationPut, Key: fmt.Append(nil, i%100), Value: value})
		most = max(most, len(o.pairs)+len(o.later))
	}
	require.Less(t, most, 2*overlayLater/len(value))
}

// TestManyRangeDeletesAreSortedSeldom deletes far more ranges apart from each other than an overlay may take.
func TestManyRangeDeletesAreSortedSeldom(t *testing.T) {
	o := newOverlay(span{}, false, false, 1<<20)
	limits := map[int64]bool{}
	for i := range 100_000 {
		key := fmt.Appendf(nil, "%06d", i)
		o.take(Mutation{Kind: MutationDeleteRange, Key: key, End: append(key, 0)})
		limits[o.limit] = true
	}
	o.finish()
	require.Len(t, o.lost, 100_000)
	require.Less(t, len(limits), 10)
	require.True(t, o.hasLost([]byte("099999")))
	require.False(t, o.hasLost([]byte("0999991")))
}
