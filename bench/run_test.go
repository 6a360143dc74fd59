package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEveryWorkloadMeasuresEveryPeer does in this process, with a few pairs, what the runner has children do.
func TestEveryWorkloadMeasuresEveryPeer(t *testing.T) {
	for _, workload := range workloads {
		for _, peer := range peers {
			if !peer.takes(workload) {
				continue
			}
			t.Run(workload.ID()+"/"+peer.Name, func(t *testing.T) {
				spec := Spec{
					Workload: workload.ID(), Peer: peer.Name, Dir: t.TempDir(), Pairs: 300, Seed: 1, Round: 1,
					Time: 5 * time.Millisecond, Warmup: time.Millisecond,
				}
				if workload.Killed {
					t.Skip("a kill needs a child: TestComparisonMeasuresInChildrenAndCleansUp")
				}
				r, err := newRun(spec)
				require.NoError(t, err)
				if workload.prepare != nil {
					require.NoError(t, workload.prepare(r))
				}
				m, err := r.measure()
				require.NoError(t, err)
				requireFigure(t, m)
				require.Equal(t, workload.Unit, m.Unit)
			})
		}
	}
}

func TestFillingStopsAtTheDataSetOrSaysThatItDidNot(t *testing.T) {
	for _, test := range []struct {
		about, want string
		time        time.Duration
	}{
		{"enough time", "", time.Minute},
		{"no time", "stopped after ", time.Nanosecond},
	} {
		t.Run(test.about, func(t *testing.T) {
			r, err := newRun(Spec{
				Workload: "W2/random/goroutines=1", Peer: "walnut", Dir: t.TempDir(), Pairs: 500, Time: test.time,
			})
			require.NoError(t, err)
			m, err := r.measure()
			require.NoError(t, err)
			require.Contains(t, m.Notes, test.want)
			require.Equal(t, test.want == "", m.Operations == 500)
		})
	}
}

func TestAStoreThatLostPairsIsNotedAfterOpening(t *testing.T) {
	r, err := newRun(Spec{Workload: "W7/clean/goroutines=1", Peer: "walnut", Dir: t.TempDir(), Pairs: 10})
	require.NoError(t, err)
	require.NoError(t, fillStore(r))
	r.Pairs, r.data.pairs = 20, 20 // As if twice as many had been put.
	m, err := r.measure()
	require.NoError(t, err)
	require.Equal(t, "10 of 20 pairs that were looked for are lost", m.Notes)
}

func TestKeysAreDistinctAndOrderedOnesAscend(t *testing.T) {
	data := dataset{pairs: 10_000, seed: 7}
	seen := map[[keySize]byte]bool{}
	var key, before [keySize]byte
	for i := range data.pairs {
		data.key(key[:], i)
		require.False(t, seen[key], "pair %d", i)
		seen[key] = true
	}
	for i := range data.pairs {
		data.orderedKey(key[:], i)
		require.Negative(t, bytes.Compare(before[:], key[:]), "pair %d", i)
		before = key
	}
	require.Greater(t, before[0], byte(0xf0), "keys spread over all of the key space")
}

func TestWorkersShareFreshPairsWithoutGapOrRepetition(t *testing.T) {
	workers := crew(dataset{pairs: 1}, Workload{Goroutines: 3})
	var taken []uint64
	for range 4 {
		for _, w := range workers {
			taken = append(taken, w.fresh())
		}
	}
	slices.Sort(taken)
	require.Equal(t, []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, taken)
}

func TestZipfianRanksComeAsOftenAsTheLawSays(t *testing.T) {
	const n = 1000
	counts := make([]float64, n)
	for _, rank := range drawZipf(n, rand.New(rand.NewPCG(1, 2))) {
		counts[rank]++
	}
	total := 0.0
	for i := 1; i <= n; i++ {
		total += math.Pow(float64(i), -zipfTheta)
	}
	for _, rank := range []int{0, 1, 9, 99, 999} {
		want := zipfDraws * math.Pow(float64(rank+1), -zipfTheta) / total
		require.InEpsilon(t, want, counts[rank], 0.2, "rank %d", rank)
	}
}

func TestZipfianRanksStayInsideTheSmallestDataSets(t *testing.T) {
	for n := uint64(1); n <= 3; n++ {
		require.Less(t, uint64(slices.Max(drawZipf(n, rand.New(rand.NewPCG(1, 2))))), n)
	}
}

func TestHistogramIsRightToA32nd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var counted, other histogram
	all := make([]time.Duration, 10_000)
	for i := range all {
		all[i] = time.Duration(math.Exp(rng.Float64() * 25)) // From a nanosecond to more than a minute.
		if i%2 == 0 {
			counted.add(all[i])
		} else {
			other.add(all[i])
		}
	}
	counted.merge(&other)
	slices.Sort(all)
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, int(share*float64(len(all)))-1)]
		require.InEpsilon(t, float64(want)+1, float64(counted.quantile(share))+1, 1.0/32, "quantile %v", share)
	}
	require.Equal(t, all[len(all)-1], counted.max)
}

func TestHistogramTakesWhatIsEmptyNegativeOrHuge(t *testing.T) {
	var h histogram
	require.Zero(t, h.quantile(0.5))
	h.add(-1)
	h.add(math.MaxInt64)
	require.Zero(t, h.quantile(0.5))
	require.InEpsilon(t, float64(math.MaxInt64), float64(h.quantile(1)), 1.0/32)
}

func TestDriveEndsAtTheFirstError(t *testing.T) {
	workers := crew(dataset{pairs: 1}, Workload{Goroutines: 4})
	_, err := drive(workers, func(w *worker) (int, error) {
		if w.next == 2 {
			return 0, errUnsupported
		}
		return 1, nil
	}, bounds{time: time.Hour})
	require.ErrorIs(t, err, errUnsupported)
}

func TestDriveDoesAsManyOperationsAsAskedFor(t *testing.T) {
	for _, operations := range []int64{1, 3, 4, 101} {
		total, err := drive(crew(dataset{pairs: 1}, Workload{Goroutines: 4}), func(*worker) (int, error) { return 2, nil },
			bounds{operations: operations})
		require.NoError(t, err)
		require.Equal(t, operations, total.operations)
		require.Equal(t, 2*operations, total.keys)
	}
}
