package server_test

import (
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// TestCommandsThatTakeLongAreNoOneCommit has an index that takes 1 ms for each pair, so that 8 of them take longer than a group's transaction may.
func TestCommandsThatTakeLongAreNoOneCommit(t *testing.T) {
	slow := kv.Index{Name: "slow", Keys: func(_, _ []byte) iter.Seq[[]byte] {
		time.Sleep(time.Millisecond)
		return nil
	}}
	incr := func(n int) string { return strings.Repeat(encode("INCR", "n"), n) }
	for _, row := range []struct {
		name    string
		sent    string
		replies int
		commits uint64
	}{
		{"alone", incr(16), 16, 2},
		{"in a transaction that has arrived whole", encode("MULTI") + incr(16) + encode("EXEC"), 18, 1},
		{"each transaction is one", strings.Repeat(encode("MULTI")+incr(8)+encode("EXEC"), 2), 20, 2},
		{"in a transaction that has arrived in parts", incr(16) + encode("EXEC"), 17, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := openStore(t, kv.Options{Indexes: []kv.Index{slow}})
			_, address := serveStore(t, db, server.Options{})
			c := dial(t, address)
			if strings.HasSuffix(row.name, "parts") {
				require.Equal(t, "OK", c.words("MULTI"))
			}
			before := db.Offset()
			c.send(row.sent)
			last := c.replies(row.replies)[row.replies-1]
			require.True(t, strings.HasSuffix(strings.Trim(last, "]"), "16"), last)
			require.Equal(t, row.commits, db.Offset()-before)
		})
	}
}
