package server_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// openDisk opens a store on disk, whose commits take as long as a sync.
func openDisk(t *testing.T, opts kv.Options) *kv.DB {
	t.Helper()
	db, err := kv.Open(t.TempDir(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// stressTime is how long a test does what may show a race.
func stressTime() time.Duration {
	if testing.Short() {
		return 300 * time.Millisecond
	}
	return 3 * time.Second
}

func TestWhatWasReadAfterWatchIsStillSoInExec(t *testing.T) {
	_, address := serveStore(t, openDisk(t, kv.Options{}), server.Options{})
	var over atomic.Bool
	var writers sync.WaitGroup
	for _, value := range []string{"0", "1", "0", "1", "0", "1"} {
		c := dial(t, address)
		writers.Go(func() {
			for !over.Load() {
				c.do("SET", "a", value)
				time.Sleep(time.Millisecond)
			}
		})
	}
	c := dial(t, address)
	done, refused := 0, 0
	for end := time.Now().Add(stressTime()); time.Now().Before(end); {
		require.Equal(t, "OK", c.words("WATCH a"))
		read := c.words("GET a")
		c.send(encode("MULTI") + encode("GET", "a") + encode("SET", "b", "x") + encode("EXEC"))
		require.Equal(t, "OK QUEUED QUEUED", c.reply()+" "+c.reply()+" "+c.reply())
		if reply := c.reply(); reply != "nil" {
			done++
			require.Equal(t, "["+read+" OK]", reply)
		} else {
			refused++
		}
	}
	over.Store(true)
	writers.Wait()
	t.Logf("%d transactions, %d refused", done, refused)
	require.NotZero(t, done)
}
