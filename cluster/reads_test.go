package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

func TestAReadOnAFollowerThatIsCutOffWaitsAndShowsNothingOld(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	off := c.follower()
	c.requireShows(off, "key", "1")
	c.net.isolate(off, true)
	c.put("key", "2")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.nodes[off].Linearizable(ctx), context.DeadlineExceeded)
	require.NoError(t, c.nodes[off].Stale(ctx, time.Hour), "it knows of something within the hour")
	err := c.nodes[off].Stale(ctx, time.Nanosecond)
	require.ErrorIs(t, err, ErrStale)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c.net.isolate(off, false)
	c.requireShows(off, "key", "2")
}

// TestAnAnswerToAnEarlierMessageIsNoAnswerToARead is of a leader that was deposed and can't hear that yet: it waits for the answer to a message
// that it has sent before. raft 1.8.0 takes that for the proof that it still leads.
func TestAnAnswerToAnEarlierMessageIsNoAnswerToARead(t *testing.T) {
	for range 5 {
		if readOnADeposedLeader(t) {
			return
		}
	}
	t.Fatal("the leader has always heard in time that it was deposed")
}

// readOnADeposedLeader reports whether the leader was as deaf as it has to be, which is a matter of time.
func readOnADeposedLeader(t *testing.T) bool {
	c := newTrioWith(t, func(o *Options) { o.Heartbeat, o.Lease = 3*time.Second, 3*time.Second })
	old := c.leader()
	var next, third string
	for _, name := range c.names {
		if name != old {
			next, third = third, name
		}
	}
	c.put("key", "1")
	c.requireShows(old, "key", "1")
	hear, hearLast := c.net.hold(third, old), c.net.hold(next, old)
	time.Sleep(600 * time.Millisecond) // Twice the interval of heartbeats: the answers to some are held.
	run := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	place := raft.ServerAddress(placed(c.nodes[next].id, c.net.address(next)))
	for asked := (time.Time{}); !c.nodes[next].Leads(); time.Sleep(time.Millisecond) {
		if time.Since(asked) > 300*time.Millisecond { // A heartbeat of the old leader may make it a follower again.
			require.NoError(t, c.nodes[third].engine().trans.TimeoutNow(raft.ServerID(c.nodes[next].id), place, run, &raft.TimeoutNowResponse{}))
			asked = time.Now()
		}
	}
	_, err := c.nodes[next].DB().Put([]byte("key"), []byte("2"))
	require.NoError(t, err)
	if !c.nodes[old].engine().leads() {
		return false
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	read := make(chan string, 1)
	go func() {
		if c.nodes[old].Linearizable(ctx) != nil {
			read <- "nothing"
			return
		}
		value, _ := c.nodes[old].DB().Get([]byte("key"))
		read <- string(value)
	}()
	time.Sleep(50 * time.Millisecond) // The question is asked now.
	hear()
	require.NotEqual(t, "1", <-read)
	hearLast()
	c.requireShows(old, "key", "2")
	return true
}

// TestAReadDoesNotWaitForALeaderThatIsDeadOnceThereIsAnother is of one that doesn't hang up: what it sends and gets is held.
func TestAReadDoesNotWaitForALeaderThatIsDeadOnceThereIsAnother(t *testing.T) {
	const long = 20 * time.Second
	c := newTrioWith(t, func(o *Options) { o.DialTimeout = long })
	c.put("key", "1")
	old := c.leader()
	var others []string
	for _, name := range c.names {
		if name != old {
			others = append(others, name)
		}
	}
	c.requireShows(others[0], "key", "1")
	for _, name := range others {
		c.net.hold(old, name)
		c.net.hold(name, old)
	}
	read := make(chan error, 1)
	began := time.Now()
	go func() { read <- c.nodes[others[0]].Linearizable(soon(t)) }()
	waitUntil(t, func() bool { return c.nodes[others[0]].Leads() || c.nodes[others[1]].Leads() })
	require.NoError(t, <-read)
	require.Less(t, time.Since(began), long*3/4)
}

func TestAStaleReadAsksNobodyWhileItKnowsEnough(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	node := c.nodes[c.follower()]
	require.NoError(t, node.Stale(soon(t), time.Minute))
	asked := node.fresh.asked
	require.NoError(t, node.Stale(soon(t), time.Minute))
	require.Equal(t, asked, node.fresh.asked)
	require.NoError(t, node.Stale(soon(t), time.Nanosecond))
	require.True(t, node.fresh.asked.After(asked))
}

func TestWhatIsKnownAgesWhileTheMachineIsSuspended(t *testing.T) {
	var f freshness
	_, _, ever := f.read(time.Now())
	require.False(t, ever)
	asked := time.Now()
	f.note(asked, 7)
	age, offset, ever := f.read(asked.Add(time.Second))
	require.Equal(t, time.Second, age)
	require.EqualValues(t, 7, offset)
	require.True(t, ever)
	f.wall = f.wall.Add(-time.Hour) // In the hour the monotonic clock stood still.
	age, _, _ = f.read(asked.Add(time.Second))
	require.Equal(t, time.Hour+time.Second, age)
}

func TestReadersShareAQuestionThatIsAskedAfterTheyCame(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Uint64
	answer := make(chan struct{})
	r := rounds{ctx: ctx, ask: func(context.Context) (uint64, error) {
		n := asked.Add(1)
		<-answer
		return n, nil
	}}
	var readers sync.WaitGroup
	read := func(want uint64) {
		readers.Go(func() {
			offset, err := r.join(t.Context())
			if err != nil || offset != want {
				t.Errorf("question %d, %v; wanted %d", offset, err, want)
			}
		})
	}
	read(1)
	waitUntil(t, func() bool { return asked.Load() == 1 })
	waiting := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.next != nil
	}
	for range 10 {
		read(2) // The first question was on its way before they came.
	}
	waitUntil(t, waiting)
	time.Sleep(10 * time.Millisecond) // Some of them may not be there yet. They would get a later question, and fail the test.
	answer <- struct{}{}
	waitUntil(t, func() bool { return asked.Load() == 2 })
	answer <- struct{}{}
	readers.Wait()

	gone, stop := context.WithCancel(t.Context())
	stop()
	read(3)
	waitUntil(t, func() bool { return asked.Load() == 3 })
	_, err := r.join(gone)
	require.ErrorIs(t, err, context.Canceled)
	close(answer)
	readers.Wait()
	cancel()
	r.close()
	_, err = r.join(t.Context())
	require.True(t, errors.Is(err, ErrClosed))
}
