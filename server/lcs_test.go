package server_test

import (
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
