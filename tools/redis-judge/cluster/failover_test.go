package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counting is a client that increments its counter until it is stopped.
type counting struct {
	name   string
	last   int64          // The highest reply.
	done   int            // How many there were.
	errs   map[string]int // What was answered instead, and how often.
	waited time.Duration  // The longest time between two replies.
	latest atomic.Int64   // When the last one came, in nanoseconds since 1970.
}

// count lets a client count.
func (w *counting) count(ctx context.Context, incr increment) {
	key, answered := "counter of "+w.name, time.Now()
	for ctx.Err() == nil {
		n, err := incr(context.Background(), key)
		if err != nil {
			w.errs[err.Error()]++
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if n <= w.last {
			w.errs[fmt.Sprintf("after %d the counter is %d", w.last, n)]++
		}
		w.done, w.last, w.waited = w.done+1, n, max(w.waited, time.Since(answered))
		answered = time.Now()
		w.latest.Store(answered.UnixNano())
		time.Sleep(time.Millisecond)
	}
	w.waited = max(w.waited, time.Since(answered))
}

// countDuring lets clients of each kind count while something happens, and a second before and after that.
func (c *trio) countDuring(happen func(all []*counting)) (all []*counting) {
	ctx, stop := context.WithCancel(c.t.Context())
	var working sync.WaitGroup
	for name, incr := range c.everyClient() {
		w := &counting{name: name, errs: map[string]int{}}
		all = append(all, w)
		working.Go(func() { w.count(ctx, incr) })
	}
	time.Sleep(time.Second)
	happen(all)
	time.Sleep(time.Second)
	stop()
	working.Wait()
	return all
}

// requireCounted shows that everything that was acknowledged is in the counters.
func (c *trio) requireCounted(all []*counting) {
	leader, err := c.Leader()
	require.NoError(c.t, err)
	client := c.plain(c.Nodes[leader].Address)
	for _, w := range all {
		n, err := client.Get(c.t.Context(), "counter of "+w.name).Int64()
		require.NoError(c.t, err)
		c.t.Logf("%-26s %4d done, %4d counted, waited for %s at most", w.name, w.done, n, w.waited.Round(time.Millisecond))
		for text, times := range w.errs {
			c.t.Logf("  %d times: %s", times, text)
		}
		require.GreaterOrEqual(c.t, n, w.last, w.name)
		require.GreaterOrEqual(c.t, n, int64(w.done), w.name)
	}
}

// TestATransferFailsNothing lets another node lead, several times, while clients write: each command is done once, and no client sees an error.
func TestATransferFailsNothing(t *testing.T) {
	c := start(t)
	all := c.countDuring(func([]*counting) {
		for range 3 {
			from, err := c.Leader()
			require.NoError(t, err)
			require.NoError(t, c.Transfer(from, (from+1+rand.IntN(2))%len(c.Nodes)))
			time.Sleep(time.Second)
		}
	})
	c.requireCounted(all)
	for _, w := range all {
		require.Empty(t, w.errs, w.name)
		require.EqualValues(t, w.done, w.last, "%s: each is done once", w.name)
		require.Less(t, w.waited, 5*time.Second, w.name)
	}
}

// goesOnWithin is after how long each client has to have replies again. With the default options another node leads within 4 s.
const goesOnWithin = 10 * time.Second

// ofTheKilled is the client that has the first leader as its only node.
const ofTheKilled = "a plain client, node 2"

// TestClientsGoOnWhenTheLeaderIsKilled kills the leader while clients write. Those that had it as their node alone get errors until it is
// back. A command may be done twice, since go-redis sends it again where the connection ends, but nothing that was acknowledged is lost.
func TestClientsGoOnWhenTheLeaderIsKilled(t *testing.T) {
	c := start(t)
	killed := c.Nodes[c.leader]
	all := c.countDuring(func(all []*counting) {
		require.NoError(t, killed.Kill())
		_, err := c.Leader()
		require.NoError(t, err)
		elected := time.Now().UnixNano()
		for _, w := range all {
			if w.name != ofTheKilled {
				require.Eventually(t, func() bool { return w.latest.Load() > elected }, goesOnWithin, 10*time.Millisecond, w.name)
			}
		}
	})
	require.NoError(t, killed.Start())
	c.requireCounted(all)
	for _, w := range all {
		if w.name == ofTheKilled {
			require.NotEmpty(t, w.errs, "its node was killed")
			continue
		}
		require.Less(t, w.waited, goesOnWithin, w.name)
		for text := range w.errs {
			require.True(t, mayFail(text), "%s: %s", w.name, text)
		}
	}
}

// mayFail reports whether a client may see an error when the leader dies: what is undecided, and that no connection can be had.
func mayFail(text string) bool {
	for _, one := range []string{"UNDECIDED", "CLUSTERDOWN", "EOF", "connection re", "i/o timeout", "broken pipe"} {
		if strings.Contains(text, one) {
			return true
		}
	}
	return false
}
