package server_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// TestAPipelineOfFewBytesDoesNotGrowFarPastTheMemoryThatThereMayBe has commands of 50 bytes that make values of 4 MiB.
func TestAPipelineOfFewBytesDoesNotGrowFarPastTheMemoryThatThereMayBe(t *testing.T) {
	for name, around := range map[string][2]string{"alone": {}, "in transactions": {encode("MULTI"), encode("EXEC")}} {
		t.Run(name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			runtime.GC() // What lived at the last one may be garbage of other tests.
			srv, address := serveStore(t, db, server.Options{})
			c := dial(t, address)
			require.Equal(t, "OK", c.words(fmt.Sprint("CONFIG SET maxmemory ", srv.Stats().Memory+16<<20)))
			var pipeline strings.Builder
			const commands = 80
			for i := range commands {
				pipeline.WriteString(around[0] + encode("SETRANGE", fmt.Sprint("k", i), fmt.Sprint(4<<20-1), "x") + around[1])
			}
			c.send(pipeline.String() + encode("ECHO", "end"))
			refused := 0
			for reply := ""; reply != `"end"`; reply = c.reply() {
				if reply == "-"+outOfMemory {
					refused++
				}
			}
			require.Greater(t, refused, commands*3/4)
			require.EqualValues(t, commands-refused, db.Stats().Keys, "each is done or refused")
		})
	}
}
