package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCountersCountInSixtyFourBits(t *testing.T) {
	const notInteger = "-ERR value is not an integer or out of range"
	const overflow = "-ERR increment or decrement would overflow"
	play(t, []scene{
		{"a counter begins with 0 and keeps its deadline", []step{
			{"INCR n", "1"},
			{"EXPIRE n 100", "1"},
			{"INCRBY n 41", "42"},
			{"DECR n", "41"},
			{"DECRBY n 50", "-9"},
			{"TTL n", "100"},
			{"GET n", `"-9"`},
		}},
		{"what isn't written as an integer is none", []step{
			{"MSET a 007 b +1 c 1.0 d '' e 9223372036854775808 f -0", "OK"},
			{"INCR a", notInteger},
			{"INCR b", notInteger},
			{"INCR c", notInteger},
			{"INCR d", notInteger},
			{"INCR e", notInteger},
			{"INCR f", notInteger},
			{"INCRBY n x", notInteger},
			{"DECRBY n 1.5", notInteger},
		}},
		{"nothing wraps around", []step{
			{"SET n 9223372036854775807", "OK"},
			{"INCR n", overflow},
			{"INCRBY n -9223372036854775808", "-1"},
			{"DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
			{"DECRBY n 9223372036854775807", "-9223372036854775808"},
			{"DECR n", overflow},
		}},
	})
}

// Each result is that of redis-server 7.0.15 on amd64.
func TestFloatsAreAddedAsRedisDoes(t *testing.T) {
	const notFloat = "-ERR value is not a valid float"
	const notFinite = "-ERR increment would produce NaN or Infinity"
	for _, c := range []struct{ before, amount, want string }{
		{"0", "0.1", `"0.1"`},
		{"3.0", "0.5", `"3.5"`},
		{"5.0e3", "2.0e2", `"5200"`},
		{"0.1", "0.2", `"0.3"`},
		{"1", "-1", `"0"`},
		{"-0.1", "0.1", `"0"`},
		{"-1e-20", "0", `"0"`},
		{"0", "1e30", `"1000000000000000000024696061952"`},
		{"0", "3.0e-20", `"0"`},
		{"0", "0x1p4", `"16"`},
		{"0", "0x1.8", `"1.5"`},
		{"0", ".5", `"0.5"`},
		{"0", "+5.", `"5"`},
		{"0", "1e-4950", `"0"`},
		{"1", "0e99999999999999999999", `"1"`},
		{"1", "-0.0E-99999999999999999999", `"1"`},
		{"1", "0x0p9999999999999999999", `"1"`},
		{"0", "3.6e-4951", `"0"`},
		{"0", "-1.9e-4951", `"0"`},
		{"0", "0x1p-16445", `"0"`},
		{"0", "0x1p-16446", notFloat},
		{"0", "1e-2147483648", notFloat},
		{"0", "1e-700000000", notFloat},
		{"0", "inf", notFinite},
		{"-infinity", "1", notFinite},
		{"1e4932", "1e4932", notFinite},
		{"0", "1e4933", notFloat},
		{"0", "1e-5000", notFloat},
		{"0", "1e1000000000", notFloat},
		{"0", "nan", notFloat},
		{"x", "1", notFloat},
		{"0", "", notFloat},
		{"0", "0x", notFloat},
		{"0", "1e", notFloat},
		{"0", "1.2.3", notFloat},
		{"0", "1_0", notFloat},
		{"0", " 1", notFloat},
		{"0", strings.Repeat("1", 5<<10), notFloat},
	} {
		client := newClient(t)
		client.do("SET", "f", c.before, "EX", "100")
		require.Equal(t, c.want, client.do("INCRBYFLOAT", "f", c.amount), "%s and %s", c.before, c.amount)
		require.Equal(t, "100", client.do("TTL", "f"))
	}
	require.Equal(t, `"1.5"`, newClient(t).words("INCRBYFLOAT new 1.5"))
}
