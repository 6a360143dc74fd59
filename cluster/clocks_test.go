package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// logged keeps what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func TestAClockThatIsAnHourOffIsWarnedOfOnceAnHour(t *testing.T) {
	logs := map[string]*logged{}
	c := newTrioWith(t, func(o *Options) {
		if logs[o.Node] == nil {
			logs[o.Node] = &logged{}
		}
		o.Logger = slog.New(slog.NewTextHandler(logs[o.Node], nil))
		if o.Node == "a" {
			o.now = func() time.Time { return time.Now().Add(time.Hour) }
		}
	})
	for _, leader := range []string{"b", "a"} {
		require.NoError(t, c.nodes[leader].Transfer(soon(t), leader))
		waitUntil(t, func() bool { return c.nodes[leader].Leads() && c.nodes["c"].Leader().Name == leader })
		waitUntil(t, func() bool { return c.nodes["a"].Leader().Name == leader && c.nodes["b"].Leader().Name == leader })
		for range 3 {
			for _, name := range c.names {
				c.nodes[name].compareClocks(soon(t))
			}
		}
		want := map[string]time.Duration{"b": -time.Hour, "a": time.Hour}[leader]
		odd := map[string]string{"b": "a", "a": "b"}[leader]
		require.InDelta(t, want.Seconds(), c.nodes[odd].Status().ClockAhead.Seconds(), 60)
		require.Zero(t, c.nodes[leader].Status().ClockAhead)
	}
	const warning = "clock and this node's are apart"
	require.Equal(t, []int{1, 1, 1}, []int{logs["a"].count(warning), logs["b"].count(warning), logs["c"].count(warning)})
	k := &c.nodes["a"].clocks
	require.False(t, k.note(time.Hour))
	k.mu.Lock()
	k.warned = time.Now().Add(-clocksWarned)
	k.mu.Unlock()
	require.True(t, k.note(time.Hour), "an hour later")
	require.False(t, k.note(time.Second))
}
