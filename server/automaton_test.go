package server

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// hardPatterns begin to match long texts of one letter at each place, and go on for almost all of the pattern.
var hardPatterns = []string{
	"*" + strings.Repeat("a", globMax-2) + "b",
	"*" + strings.Repeat("?a", globMax/2-1) + "b",
	"*" + strings.Repeat("[ab]", globMax/4-1) + "c",
	"*[" + strings.Repeat("b", globMax-4) + "]b",
	"*" + strings.Repeat("a*", globMax/2-1) + "b",
	"a*" + strings.Repeat("?a*", globMax/8) + strings.Repeat("a", globMax/2) + "b",
}

// TestTheWorstPatternIsMatchedQuickly takes the best of several times. Trying every place takes a second for such a text.
func TestTheWorstPatternIsMatchedQuickly(t *testing.T) {
	text := bytes.Repeat([]byte("a"), 4*kv.MaxKeySize)
	for _, pattern := range hardPatterns {
		best := time.Hour
		for range 3 {
			start := time.Now()
			require.False(t, matchGlob([]byte(pattern), text), "%.20q", pattern)
			best = min(best, time.Since(start))
		}
		require.Less(t, best, 400*time.Millisecond, "%.20q", pattern)
		t.Logf("%.20q %v", pattern, best)
	}
}

func TestAHardPatternMatchesWhatItSays(t *testing.T) {
	for _, pattern := range hardPatterns {
		text := bytes.Repeat([]byte("a"), 20_000)
		last := pattern[len(pattern)-1]
		for _, row := range []struct {
			at   int
			want bool
		}{{len(text) - 1, true}, {10_000, false}} {
			one := bytes.Clone(text)
			one[row.at] = last
			if strings.HasSuffix(pattern, "b]b") {
				one[row.at-1] = 'b'
			}
			require.Equal(t, row.want, matchGlob([]byte(pattern), one), "%.20q, %d", pattern, row.at)
			require.Equal(t, true, matchGlob([]byte(pattern+"*"), one), "%.20q, %d", pattern, row.at)
		}
	}
}

func TestAnAutomatonMatchesAsTryingEverythingDoes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func(letters string, most int) []byte {
		b := make([]byte, random.IntN(most))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return b
	}
	for range 3000 {
		pattern, key := append([]byte("*"), text(`aaaabbc**??[]^-\`, 12)...), text("aabc", 12)
		require.Equal(t, matchSlowly(pattern, key), newAutomaton(pattern).matches(key), "pattern %q, key %q", pattern, key)
	}
}
