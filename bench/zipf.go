package main

import (
	"math"
	"math/rand/v2"
)

// zipfTheta is YCSB's constant: how much more often the first of n keys is asked for than the others.
const zipfTheta = 0.99

// zipfDraws is how many ranks are drawn before a measurement, so that the power function isn't part of it. Workers go
// around in them from different places.
const zipfDraws = 1 << 20

// drawZipf returns ranks from 0 to n-1, of which rank r comes with a probability in proportion to 1/(r+1)^zipfTheta, by the
// approximation of Gray et al. that YCSB uses. A rank is a pair's number: which keys are popular is random, since keys are.
func drawZipf(n uint64, rng *rand.Rand) []uint32 {
	total := 0.0
	for i := uint64(1); i <= n; i++ {
		total += math.Pow(float64(i), -zipfTheta)
	}
	second := 1 + math.Pow(0.5, zipfTheta)
	eta := (1 - math.Pow(2/float64(n), 1-zipfTheta)) / (1 - second/total)
	ranks := make([]uint32, zipfDraws)
	for i := range ranks {
		u := rng.Float64()
		switch scaled := u * total; {
		case scaled < 1:
			ranks[i] = 0
		case scaled < second:
			ranks[i] = uint32(min(1, n-1))
		default:
			rank := uint64(float64(n) * math.Pow(eta*u-eta+1, 1/(1-zipfTheta)))
			ranks[i] = uint32(min(rank, n-1))
		}
	}
	return ranks
}
