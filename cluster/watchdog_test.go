package cluster

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// sickLog is a log whose disk can be made sick.
type sickLog struct {
	entryLog
	mu     sync.Mutex
	refuse error         // What an append answers.
	late   bool          // It does so once the entries are in the log.
	hangs  chan struct{} // What an append waits for.
}

func (l *sickLog) Append(committed uint64, entries []kv.Entry) error {
	l.mu.Lock()
	refuse, late, hangs := l.refuse, l.late, l.hangs
	l.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	if refuse != nil && !late {
		return refuse
	}
	return cmp.Or(l.entryLog.Append(committed, entries), refuse)
}

// fallIll makes it sick, or well again.
func (l *sickLog) fallIll(refuse error, hangs chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse, l.late, l.hangs = refuse, false, hangs
}

// fail lets each append fail from now on, with its entries in the log or without.
func (l *sickLog) fail(late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse, l.late = kv.ErrFailed, late
}

// heal makes it well again, and lets go on what hangs.
func (l *sickLog) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hangs != nil {
		close(l.hangs)
	}
	l.refuse, l.hangs = nil, nil
}

// hang lets it hang until the function that is returned is called, at the latest when the test has ended.
func (l *sickLog) hang(t *testing.T) (heal func()) {
	l.fallIll(nil, make(chan struct{}))
	t.Cleanup(l.heal)
	return l.heal
}

// newSickTrio is a cluster whose nodes have such logs.
func newSickTrio(t *testing.T) (*trio, map[string]*sickLog) {
	t.Helper()
	return newSickTrioWith(t, time.Second)
}

func newSickTrioWith(t *testing.T, slow time.Duration) (*trio, map[string]*sickLog) {
	t.Helper()
	logs := map[string]*sickLog{}
	return newTrioWith(t, func(o *Options) {
		log := &sickLog{}
		logs[o.Node] = log
		o.SlowSync = slow
		o.disk = func(on entryLog) entryLog {
			log.entryLog = on
			return log
		}
	}), logs
}

func TestALeaderWhoseDiskHangsIsReplaced(t *testing.T) {
	c, logs := newSickTrio(t)
	c.put("before", "1")
	sick := c.leader()
	heal := logs[sick].hang(t)
	_, err := c.nodes[sick].DB().Put([]byte("open"), nil)
	require.ErrorIs(t, err, kv.ErrUndecided)
	require.ErrorIs(t, c.nodes[sick].Ready(soon(t)), ErrStopped)
	require.ErrorIs(t, c.nodes[sick].Linearizable(soon(t)), ErrStopped)
	c.put("after", "2")
	require.NotEqual(t, sick, c.leader())
	heal()
	c.stop(sick)
	c.open(sick)
	c.requireShows(sick, "after", "2")
	c.requireAlike()
}

func TestANodeWhoseLogHasFailedStopsVoting(t *testing.T) {
	c, logs := newSickTrio(t)
	sick := c.follower()
	logs[sick].fallIll(kv.ErrFailed, nil)
	c.put("key", "1")
	waitUntil(t, func() bool { return errors.Is(c.nodes[sick].Ready(soon(t)), ErrStopped) })
	c.put("key", "2")
	logs[sick].fallIll(nil, nil)
	c.stop(sick)
	c.open(sick)
	c.requireShows(sick, "key", "2")
}

func TestAFullDiskLosesTheLeadershipAndNothingElse(t *testing.T) {
	c, logs := newSickTrio(t)
	c.put("key", "1")
	full := c.leader()
	logs[full].fallIll(kv.ErrNoSpace, nil)
	_, err := c.nodes[full].DB().Put([]byte("key"), []byte("refused"))
	require.ErrorIs(t, err, kv.ErrNotLeader)
	require.ErrorIs(t, err, kv.ErrNoSpace)
	waitUntil(t, func() bool { return errors.Is(c.nodes[full].Ready(soon(t)), kv.ErrNoSpace) })
	c.put("key", "2")
	require.NotEqual(t, full, c.leader())
	logs[full].fallIll(nil, nil)
	c.put("key", "3")
	c.requireShows(full, "key", "3")
	require.NoError(t, c.nodes[full].Ready(soon(t)))
	c.requireAlike()
}

// TestALeaderThatHangsServesNothingOld is of one that doesn't hear that it was deposed: it hangs, cut off, and goes on to believe that it
// leads.
func TestALeaderThatHangsServesNothingOld(t *testing.T) {
	c, logs := newSickTrioWith(t, time.Minute)
	c.put("key", "1")
	old := c.leader()
	c.requireShows(old, "key", "1")
	heal := logs[old].hang(t)
	c.nodes[old].engine().raft.Apply([]byte("what it hangs on"), time.Second)
	waitUntil(t, func() bool { return c.nodes[old].watch.longest(time.Now()) > 0 })
	c.net.isolate(old, true)
	others := &trio{t: t, names: c.names, net: c.net, nodes: map[string]*Cluster{}}
	for name, node := range c.nodes {
		if name != old {
			others.nodes[name] = node
		}
	}
	others.put("key", "2")
	require.True(t, c.nodes[old].Leads(), "or so it believes")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.nodes[old].Linearizable(ctx), context.DeadlineExceeded)
	heal()
	c.net.isolate(old, false)
	c.requireShows(old, "key", "2")
}
