package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// TestAValueGoesFromEachServerToTheOther carries values by DUMP and RESTORE.
func TestAValueGoesFromEachServerToTheOther(t *testing.T) {
	var conns [2]*resp.Conn
	for i, address := range []string{judged.Reference(t).Address, judged.Target(t, nil, nil).Address} {
		c, err := resp.Dial(address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		conns[i] = c
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for at, value := range carried(rand.New(rand.NewPCG(seed, 0))) {
		for from, c := range conns {
			to := conns[1-from]
			_, err := c.Must("SET", "from", value)
			require.NoError(t, err)
			dump, err := c.Must("DUMP", "from")
			require.NoError(t, err)
			_, err = to.Must("RESTORE", "to", "0", dump.Text, "REPLACE")
			require.NoError(t, err)
			got, err := to.Must("GET", "to")
			require.NoError(t, err)
			require.True(t, value == got.Text, "value %d, of %d bytes, from server %d", at, len(value), from)
		}
	}
}

// carried returns values that are encoded in many ways, with long and short repetitions that are near and far.
func carried(r *rand.Rand) (values []string) {
	values = append(values, "", "0", "-1", "01", "abc")
	for bits := range 63 {
		values = append(values, fmt.Sprint(int64(1)<<bits), fmt.Sprint(-1<<bits), fmt.Sprint(int64(1)<<bits-1))
	}
	for _, size := range []int{20, 21, 63, 64, 1<<14 - 1, 1 << 14, 1 << 20} {
		for _, symbols := range []int{1, 2, 16, 256} {
			var text strings.Builder
			for text.Len() < size {
				if text.Len() > 0 && r.IntN(3) == 0 {
					from := max(0, text.Len()-1-r.IntN(10_000))
					text.WriteString(text.String()[from:min(text.Len(), from+r.IntN(400))])
				}
				text.WriteByte(byte(r.IntN(symbols)))
			}
			values = append(values, text.String()[:size])
		}
	}
	return values
}

// TestOnlyTheCompressionOfADumpMayDiffer is about the rule of DUMP.
func TestOnlyTheCompressionOfADumpMayDiffer(t *testing.T) {
	version := [2]byte{10, 0}
	packed, long := sealed("\x00\xc3\x06\x15\x01xx\xe0\x0a\x00", version), strings.Repeat("x", 21)
	for _, c := range []struct {
		want          bool
		redis, judged string
	}{
		{true, packed, sealed("\x00\x15"+long, version)},
		{false, packed, sealed("\x00\x15"+long[1:]+"y", version)},
		{false, packed, sealed("\x00\x14"+long[1:], version)},
		{false, packed, sealed("\x00\x15"+long, [2]byte{9, 0})},
		{false, packed, packed[:len(packed)-1] + "?"},
		{false, sealed("\x00\x03abc", version), sealed("\x00\x40\x03abc", version)},
		{false, sealed("\x00\x15"+long, version), packed},
	} {
		a, b := resp.Reply{Kind: '$', Text: c.redis}, resp.Reply{Kind: '$', Text: c.judged}
		require.Equal(t, c.want, sameDump(a, b, 0), "%q", c)
	}
}
