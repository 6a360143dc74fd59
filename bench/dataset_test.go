package main

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKeysDifferAndOrderedOnesAscend(t *testing.T) {
	for _, shape := range keyShapes {
		data := dataset{pairs: 5000, seed: 3, keys: shape, valueBytes: 100}
		seen, last := map[string]bool{}, []byte{}
		for i := range data.pairs {
			key, ordered := make([]byte, data.keySize()), make([]byte, data.keySize())
			data.key(key, i)
			data.orderedKey(ordered, i)
			require.False(t, seen[string(key)], "%s key %d comes again", shape, i)
			require.Negative(t, bytes.Compare(last, ordered), "%s key %d", shape, i)
			seen[string(key)], last = true, ordered
		}
	}
}

func TestZipfianDrawsFavorTheFirst(t *testing.T) {
	counts := make([]float64, 10_000)
	for _, drawn := range (dataset{pairs: 10_000}).drawZipf(rand.New(rand.NewPCG(1, 2))) {
		counts[drawn]++
	}
	require.InDelta(t, 0.07, counts[0]/zipfDraws, 0.02)
	require.Greater(t, counts[0], 5*counts[9])
	require.Greater(t, counts[9], 5*counts[99])
	require.Positive(t, counts[9_000]+counts[9_001]+counts[9_002])
}

func TestQuantilesAreRightToA32nd(t *testing.T) {
	var h, other histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	other.merge(&h)
	for share, want := range map[float64]float64{0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		require.InEpsilon(t, want, other.quantile(share), 1.0/32)
	}
	require.Equal(t, time.Millisecond, other.max)
	require.Zero(t, (&histogram{}).quantile(0.5))
}
