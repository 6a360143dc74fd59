package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// newQueue returns a queue in memory, and a function that moves its time.
func newQueue(t *testing.T) (*queue, func(time.Duration)) {
	t.Helper()
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()) }
	q := &queue{db: db, lease: time.Minute, backoff: time.Second, maxAttempts: 3, now: clock}
	return q, func(by time.Duration) { now.Add(int64(by)) }
}

func mustTake(t *testing.T, q *queue) job {
	t.Helper()
	j, err := q.take(t.Context())
	require.NoError(t, err)
	return j
}

func TestJobsAreTakenInTheirOrder(t *testing.T) {
	q, pass := newQueue(t)
	_, err := q.take(t.Context())
	require.ErrorIs(t, err, errNone)
	for _, payload := range []string{"a", "b", "c"} {
		require.NoError(t, q.push(t.Context(), payload))
		pass(time.Nanosecond)
	}
	for _, want := range []string{"a", "b", "c"} {
		j := mustTake(t, q)
		require.Equal(t, want, j.Payload)
		require.NoError(t, q.settle(t.Context(), j, nil))
	}
	left, err := q.db.Count(kv.Range{Prefix: waiting})
	require.NoError(t, err)
	require.Zero(t, left)
}

func TestAJobWhoseWorkerDiedComesBack(t *testing.T) {
	q, pass := newQueue(t)
	require.NoError(t, q.push(t.Context(), "a"))
	lost := mustTake(t, q)
	_, err := q.take(t.Context())
	require.ErrorIs(t, err, errNone, "it is leased")
	pass(q.lease)
	again := mustTake(t, q)
	require.Equal(t, 2, again.Attempt)
	require.ErrorIs(t, q.settle(t.Context(), lost, nil), errLost, "the first worker was too slow")
	require.NoError(t, q.settle(t.Context(), again, nil))
}

func TestAJobThatFailsIsTriedLaterAndThenPutAside(t *testing.T) {
	q, pass := newQueue(t)
	require.NoError(t, q.push(t.Context(), "a"))
	for _, wait := range []time.Duration{q.backoff, 2 * q.backoff} {
		require.NoError(t, q.retry(t.Context(), mustTake(t, q)))
		pass(wait - 1)
		_, err := q.take(t.Context())
		require.ErrorIs(t, err, errNone)
		pass(1)
	}
	require.NoError(t, q.retry(t.Context(), mustTake(t, q)))
	pass(time.Hour)
	_, err := q.take(t.Context())
	require.ErrorIs(t, err, errNone)
	_, value, err := q.db.First(kv.Range{Prefix: dead})
	require.NoError(t, err)
	require.JSONEq(t, `{"Number":1,"Attempt":3,"Payload":"a"}`, string(value))
}

func TestEveryJobIsDoneByManyWorkersWhileOthersAreAdded(t *testing.T) {
	q, _ := newQueue(t)
	q.now = time.Now
	q.backoff = time.Millisecond
	require.NoError(t, q.push(t.Context(), "0"))
	var mu sync.Mutex
	done, failed := map[string]int{}, map[string]bool{}
	err := q.drain(t.Context(), 8, func(ctx context.Context, j job) error {
		mu.Lock()
		defer mu.Unlock()
		if !failed[j.Payload] { // Each fails once.
			failed[j.Payload] = true
			return errors.New("not yet")
		}
		done[j.Payload]++
		if len(j.Payload) < 7 { // Each makes two others.
			return errors.Join(q.push(ctx, j.Payload+"0"), q.push(ctx, j.Payload+"1"))
		}
		return nil
	})
	require.NoError(t, err)
	require.Len(t, done, 127)
	for payload, times := range done {
		require.Equal(t, 1, times, payload)
	}
}

func TestAWaitingWorkerIsWokenByAJob(t *testing.T) {
	q, _ := newQueue(t)
	woken := make(chan error)
	go func() { woken <- q.wait(t.Context()) }()
	select {
	case err := <-woken:
		t.Fatalf("woken without a job: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	require.NoError(t, q.push(t.Context(), "a"))
	require.NoError(t, <-woken)
	ctx, cancel := context.WithCancel(t.Context())
	mustTake(t, q)
	go func() { woken <- q.wait(ctx) }()
	cancel()
	require.ErrorIs(t, <-woken, context.Canceled)
}

func TestAJobThatAStopInterruptsIsGivenBack(t *testing.T) {
	q, _ := newQueue(t)
	require.NoError(t, q.push(t.Context(), "a"))
	ctx, stop := context.WithCancel(t.Context())
	require.NoError(t, q.drain(ctx, 1, func(ctx context.Context, _ job) error {
		stop()
		<-ctx.Done()
		return ctx.Err()
	}))
	require.Equal(t, 1, mustTake(t, q).Attempt)
}

func TestTheCommandGoesOnWhereItStopped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorContains(t, run(t.Context(), dir, 0, strings.NewReader("a\n"), new(bytes.Buffer)), "want 1 or more")
	require.ErrorIs(t, run(stopped, dir, 1, strings.NewReader("early\n"), new(bytes.Buffer)), context.Canceled)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), dir, 2, strings.NewReader("mail ada\nfail\nmail bob\n"), &out))
	require.ElementsMatch(t, []string{"done: mail ada", "done: mail bob"}, strings.Split(strings.TrimSpace(out.String()), "\n"))
	db, err := kv.Open(dir, kv.Options{ReadOnly: true})
	require.NoError(t, err)
	defer db.Close()
	aside, err := db.Count(kv.Range{Prefix: dead})
	require.NoError(t, err)
	require.Equal(t, 1, aside)
}
