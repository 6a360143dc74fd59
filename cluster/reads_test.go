package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

func TestAStaleReadAsksNobodyWhileItKnowsEnough(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	node := c.nodes[c.follower()]
	require.NoError(t, node.Stale(soon(t), time.Minute))
	asked, _ := node.fresh.read()
	require.NoError(t, node.Stale(soon(t), time.Minute))
	again, _ := node.fresh.read()
	require.Equal(t, asked, again)
	require.NoError(t, node.Stale(soon(t), time.Nanosecond))
	again, _ = node.fresh.read()
	require.True(t, again.After(asked))
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
