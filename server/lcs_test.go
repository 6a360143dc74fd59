package server_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLCSFindsTheSequenceThatRedisFinds(t *testing.T) {
	c := newClient(t)
	c.follow(
		step{"MSET a ohmytext b mynewtext", "OK"},
		step{"LCS a b", `"mytext"`},
		step{"LCS a b LEN", "6"},
		step{"LCS a b IDX", `["matches" [[[4 7] [5 8]] [[2 3] [0 1]]] "len" 6]`},
		step{"LCS a b idx minmatchlen 4", `["matches" [[[4 7] [5 8]]] "len" 6]`},
		step{"LCS a b IDX WITHMATCHLEN MINMATCHLEN -1", `["matches" [[[4 7] [5 8] 4] [[2 3] [0 1] 2]] "len" 6]`},
		step{"LCS a x", `""`},
		step{"LCS x y IDX", `["matches" [] "len" 0]`},
		step{"LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."},
		step{"LCS a b MINMATCHLEN", "-ERR syntax error"},
		step{"LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range"},
		step{"MSET a abcbdab b bdcaba", "OK"},
		step{"LCS a b IDX WITHMATCHLEN", `["matches" [[[5 6] [3 4] 2] [[3 4] [0 1] 2]] "len" 4]`},
	)
}

func TestLCSTakesNoMoreMemoryThanItsLimit(t *testing.T) {
	const tooLarge = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
	c := newClient(t)
	for key, size := range map[string]int{"a": 1 << 20, "b": 127, "c": 126} {
		require.Equal(t, "OK", c.do("SET", key, strings.Repeat(key, size)))
	}
	require.Equal(t, tooLarge, c.words("LCS a b"))
	require.Equal(t, "0", c.words("LCS a c LEN"))
	require.Equal(t, tooLarge, c.words("LCS a a"))
}

// TestLCSChoosesAmongSeveralAsASearchByTheRowsOfTheFirstDoes compares replies with a whole table of lengths, from whose end a search goes
// back: where two ways are as long, in the second value.
func TestLCSChoosesAmongSeveralAsASearchByTheRowsOfTheFirstDoes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		b := make([]byte, random.IntN(1+random.IntN(40)))
		for i := range b {
			b[i] = "abc"[random.IntN(3)]
		}
		return string(b)
	}
	c := newClient(t)
	for range 300 {
		a, b := text(), text()
		require.Equal(t, "OK", c.do("MSET", "a", a, "b", b))
		sequence, matches := commonOf(a, b)
		require.Equal(t, strconv.Quote(sequence), c.words("LCS a b"), "%q %q", a, b)
		require.Equal(t, strconv.Itoa(len(sequence)), c.words("LCS a b LEN"), "%q %q", a, b)
		want := fmt.Sprintf(`["matches" %v "len" %d]`, matches, len(sequence))
		require.Equal(t, want, c.words("LCS a b IDX WITHMATCHLEN"), "%q %q", a, b)
	}
}

// commonOf returns the longest common subsequence, and its stretches as LCS shows them.
func commonOf(a, b string) (sequence string, matches []string) {
	lengths := make([][]int, len(a)+1)
	for i := range lengths {
		lengths[i] = make([]int, len(b)+1)
		for j := 1; i > 0 && j <= len(b); j++ {
			lengths[i][j] = max(lengths[i-1][j], lengths[i][j-1])
			if a[i-1] == b[j-1] {
				lengths[i][j] = lengths[i-1][j-1] + 1
			}
		}
	}
	i, j, size := len(a), len(b), 0
	finish := func() {
		if size > 0 {
			matches = append(matches, fmt.Sprintf("[[%d %d] [%d %d] %d]", i, i+size-1, j, j+size-1, size))
			sequence = a[i:i+size] + sequence
		}
		size = 0
	}
	for i > 0 && j > 0 {
		switch {
		case a[i-1] == b[j-1]:
			i, j, size = i-1, j-1, size+1
		case lengths[i-1][j] > lengths[i][j-1]:
			finish()
			i--
		default:
			finish()
			j--
		}
	}
	finish()
	return sequence, matches
}

func TestLCSTakesTheSameMemoryForBothOrdersOfItsKeys(t *testing.T) {
	c := newClient(t)
	require.Equal(t, "OK", c.words("SET a abc"))
	require.Equal(t, "1048576", c.words("SETRANGE b 1048575 a"))
	for _, line := range []string{"LCS b a LEN", "LCS a b LEN"} {
		least := uint64(math.MaxUint64)
		for range 10 { // Others allocate, too.
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			require.Equal(t, "1", c.words(line))
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		require.Less(t, least, uint64(1<<20), "a bit for each of 3 Mi places, and a row of 3: %s", line)
	}
}
