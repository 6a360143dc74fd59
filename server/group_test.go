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

// TestCommandsThatTakeLongAreNoOneCommit has an index that takes 6 ms for each pair, which is more than a group's transaction may.
func TestCommandsThatTakeLongAreNoOneCommit(t *testing.T) {
	slow := kv.Index{Name: "slow", Keys: func(_, _ []byte) iter.Seq[[]byte] {
		time.Sleep(6 * time.Millisecond)
		return nil
	}}
	for _, row := range []struct {
		name    string
		sent    string
		replies int
		commits uint64
	}{
		{"alone", strings.Repeat(encode("INCR", "n"), 4), 4, 4},
		{"in a transaction that has arrived whole", encode("MULTI") + strings.Repeat(encode("INCR", "n"), 4) + encode("EXEC"), 6, 1},
		{"each transaction is one", strings.Repeat(encode("MULTI")+strings.Repeat(encode("INCR", "n"), 2)+encode("EXEC"), 2), 8, 2},
		{"in a transaction that has arrived in parts", encode("ECHO", "part") + strings.Repeat(encode("INCR", "n"), 4) + encode("EXEC"), 6, 1},
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
			require.Contains(t, []string{"4", "[1 2 3 4]", "[3 4]", `["part" 1 2 3 4]`}, last)
			require.Equal(t, row.commits, db.Offset()-before)
		})
	}
}
