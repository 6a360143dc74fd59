package server_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
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
	began := time.Now()
	// On a busy machine a short time may have room for one transaction, which is refused.
	for done == 0 && time.Since(began) < time.Minute || time.Since(began) < stressTime() {
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

// gatedStore is a store whose batches wait for a token each.
type gatedStore struct {
	*kv.DB
	came, goes, over chan struct{}
}

// serveGated serves such a store until the test ends, when nothing waits any more.
func serveGated(t *testing.T) (store *gatedStore, address string) {
	t.Helper()
	store = &gatedStore{openStore(t, kv.Options{}), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	_, address = serveStore(t, store, server.Options{})
	t.Cleanup(func() { close(store.over) })
	return store, address
}

// ApplyContext waits before it applies.
func (g *gatedStore) ApplyContext(ctx context.Context, b *kv.Batch) (uint64, error) {
	select {
	case g.came <- struct{}{}:
	case <-g.over:
	}
	select {
	case <-g.goes:
	case <-g.over:
	}
	return g.DB.ApplyContext(ctx, b)
}

func TestWatchWaitsForBlindWritesThatAreNotDecided(t *testing.T) {
	store, address := serveGated(t)
	_, err := store.Put([]byte("a"), []byte("0"))
	require.NoError(t, err)
	for _, value := range []string{"1", "0"} {
		dial(t, address).send(encode("SET", "a", value))
		<-store.came
	}
	c := dial(t, address)
	c.send(encode("WATCH", "a"))
	time.Sleep(20 * time.Millisecond)
	for offset := range uint64(2) { // The first is seen by a client that doesn't wait, and the second takes it back.
		store.goes <- struct{}{}
		require.Eventually(t, func() bool { return store.Offset() == offset+2 }, 10*time.Second, time.Millisecond)
		c.send(encode("GET", "a"))
		time.Sleep(20 * time.Millisecond)
	}
	require.Equal(t, "OK", c.reply())
	read := c.replies(2)[0]
	c.send(pipeline("MULTI;GET a;EXEC"))
	require.Equal(t, "["+read+"]", c.replies(3)[2])
}

func TestBlindWritesGoOnWhileWatchWaits(t *testing.T) {
	store, address := serveGated(t)
	first, watcher, second := dial(t, address), dial(t, address), dial(t, address)
	first.send(encode("SET", "a", "1"))
	<-store.came
	watcher.send(encode("WATCH", "a"))
	time.Sleep(20 * time.Millisecond)
	require.Equal(t, "OK", second.words("SET b 1"), "in a transaction")
	store.goes <- struct{}{}
	require.Equal(t, "OK", first.reply())
	require.Equal(t, "OK", watcher.reply())
}

// number returns the number in a reply, 0 for a pair that isn't there.
func number(t *testing.T, reply string) int {
	t.Helper()
	if reply == "nil" {
		return 0
	}
	n, err := strconv.Atoi(strings.Trim(reply, `"`))
	require.NoError(t, err)
	return n
}

// giveUp ends a transaction that has begun, in one of the ways that there are. It returns the client to go on with.
func giveUp(t *testing.T, c *client, address string, way int) *client {
	t.Helper()
	switch way % 5 {
	case 0:
		require.Equal(t, "OK", c.words("UNWATCH"))
	case 1:
		c.send(pipeline("MULTI;SET x 1;DISCARD"))
		require.Equal(t, []string{"OK", "QUEUED", "OK"}, c.replies(3))
	case 2:
		require.Equal(t, "RESET", c.words("RESET"))
	case 3:
		require.Equal(t, "OK", c.words("QUIT"))
		return dial(t, address)
	default:
		require.NoError(t, c.conn.Close())
		return dial(t, address)
	}
	return c
}

func TestTransfersBetweenAccountsKeepTheirSum(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	_, address := serveStore(t, openDisk(t, kv.Options{}), server.Options{})
	accounts := strings.Fields("a1 a2 a3 a4")
	for _, account := range accounts {
		require.Equal(t, "OK", dial(t, address).do("SET", account, "100"))
	}
	var clients sync.WaitGroup
	var done, refused atomic.Int64
	end := time.Now().Add(stressTime())
	for i := range 6 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		c := dial(t, address)
		clients.Go(func() {
			for time.Now().Before(end) {
				from, to := accounts[random.IntN(4)], accounts[random.IntN(4)]
				if from == to {
					continue
				}
				c.send(encode("WATCH", from, to) + encode("GET", from) + encode("GET", to))
				require.Equal(t, "OK", c.reply())
				has, gets := number(t, c.reply()), number(t, c.reply())
				if random.IntN(8) == 0 {
					c = giveUp(t, c, address, random.IntN(5))
					continue
				}
				sum := random.IntN(20)
				c.send(encode("MULTI") + encode("SET", from, strconv.Itoa(has-sum)) + encode("SET", to, strconv.Itoa(gets+sum)) +
					encode("EXEC"))
				require.Equal(t, []string{"OK", "QUEUED", "QUEUED"}, c.replies(3))
				if reply := c.reply(); reply == "nil" {
					refused.Add(1)
				} else {
					require.Equal(t, "[OK OK]", reply)
					done.Add(1)
				}
			}
		})
	}
	auditor := dial(t, address)
	for time.Now().Before(end) {
		for _, look := range []string{"MULTI;GET a1;GET a2;GET a3;GET a4;EXEC", "PING;PING;PING;PING;PING;KV.PREFIX a"} {
			auditor.send(pipeline(look))
			reply := auditor.replies(6)[5]
			sum := 0
			for _, word := range strings.Fields(strings.Trim(reply, "[]")) {
				if !strings.HasPrefix(word, `"a`) {
					sum += number(t, word)
				}
			}
			require.Equal(t, 400, sum, reply)
		}
	}
	clients.Wait()
	t.Logf("%d transfers, %d refused", done.Load(), refused.Load())
	require.NotZero(t, done.Load())
}

func TestNoIncrementIsLost(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	_, address := serveStore(t, openDisk(t, kv.Options{}), server.Options{})
	var clients sync.WaitGroup
	var done, taken atomic.Int64
	end := time.Now().Add(stressTime())
	for i := range 6 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		c := dial(t, address)
		clients.Go(func() {
			for time.Now().Before(end) {
				require.Equal(t, "OK", c.words("WATCH n"))
				next := strconv.Itoa(number(t, c.words("GET n")) + 1)
				if random.IntN(8) == 0 {
					c = giveUp(t, c, address, random.IntN(5))
					continue
				}
				// A second transaction in the pipeline, which watches nothing any more.
				c.send(pipeline("MULTI;SET n " + next + ";EXEC;MULTI;SET other " + next + ";EXEC"))
				replies := c.replies(6)
				if replies[2] == "[OK]" {
					done.Add(1)
				} else {
					require.Equal(t, "nil", replies[2])
				}
				require.Equal(t, "[OK]", replies[5])
			}
		})
	}
	sweeper := dial(t, address)
	for i := 0; time.Now().Before(end); i++ { // It takes what was counted, and ranges beside that.
		sweeper.send(pipeline("KV.DELRANGE a n;KV.DELRANGE o z;MULTI;GET n;KV.DELRANGE n o;EXEC"))
		replies := sweeper.replies(6)
		had, _, _ := strings.Cut(strings.Trim(replies[5], "[]"), " ")
		taken.Add(int64(number(t, had)))
		time.Sleep(10 * time.Millisecond)
	}
	clients.Wait()
	t.Logf("%d increments, %d of them taken", done.Load(), taken.Load())
	require.Equal(t, int(done.Load()-taken.Load()), number(t, sweeper.words("GET n")))
	require.NotZero(t, done.Load())
}

func TestAWatchedKeyThatExpiresHasChanged(t *testing.T) {
	for _, test := range []struct {
		name      string
		ttl, wait time.Duration
		want      string
	}{
		{"it expires while it is watched", 30 * time.Millisecond, 60 * time.Millisecond, "nil"},
		{"it had expired, and is deleted meanwhile", time.Nanosecond, time.Second, "[OK]"},
		{"it expires later", time.Hour, 10 * time.Millisecond, "[OK]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			_, address := serveStore(t, db, server.Options{})
			_, err := db.PutTTL([]byte("a"), nil, test.ttl)
			require.NoError(t, err)
			c := dial(t, address)
			require.Equal(t, "OK", c.words("WATCH a"))
			time.Sleep(test.wait)
			c.send(pipeline("MULTI;SET b 1;EXEC"))
			require.Equal(t, test.want, c.replies(3)[2])
		})
	}
}

func TestNothingIsWatchedForAConnectionThatHasEnded(t *testing.T) {
	srv, address := serveStore(t, openStore(t, kv.Options{}), server.Options{})
	for way := range 5 {
		c := dial(t, address)
		require.Equal(t, "OK", c.words("WATCH a b a"))
		require.Equal(t, "OK", c.words("WATCH b c"))
		require.EqualValues(t, 3, server.Watches(srv))
		giveUp(t, c, address, way)
		require.Eventually(t, func() bool { return server.Watches(srv) == 0 }, 10*time.Second, time.Millisecond)
	}
}
