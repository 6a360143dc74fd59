package wal

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// durableIn returns the last durable offset, whether or not it was acknowledged.
func durableIn(l *Log) uint64 {
	s := l.segments.activeStore.Load()
	return s.head.base - 1 + s.durable.records()
}

func TestLandedIsCalledInOrderAfterTheSyncAndBeforeAnybodyIsWoken(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	var l *Log
	var landed, calls, running atomic.Uint64
	opts.Landed = func(last uint64) {
		if running.Add(1) != 1 {
			t.Error("two calls at a time")
		}
		if last <= landed.Load() || durableIn(l) < last {
			t.Errorf("landed %d after %d, durable %d", last, landed.Load(), l.Durable())
		}
		landed.Store(last)
		calls.Add(1)
		running.Add(^uint64(0))
	}
	l = openTest(t, opts)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				offset, group, err := l.Submit([]byte("record"))
				if err != nil || group > offset {
					t.Errorf("offset %d, group %d, error %v", offset, group, err)
				}
				if err := l.Wait(offset); err != nil || landed.Load() < offset {
					t.Errorf("wait for %d: landed %d, error %v", offset, landed.Load(), err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1600, landed.Load())
	require.LessOrEqual(t, calls.Load(), uint64(1600))
}

func TestARollInsideALockThatLandedTakesDoesNotWaitForLanded(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	var mu sync.Mutex // As a store's lock, which is held while it submits.
	opts.Landed = func(uint64) {
		mu.Lock()
		defer mu.Unlock()
	}
	l := openTest(t, opts)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				mu.Lock()
				offset, _, err := l.Submit(make([]byte, 300))
				mu.Unlock()
				if err := errors.Join(err, l.Wait(offset)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Greater(t, len(l.Segments()), 10)
}

// TestGroupsThatOverlapAreAllUsedAgain: of the groups that were in use at a time only one was kept. The next ones grew their
// memory from nothing, twice as many bytes as an append has.
func TestGroupsThatOverlapAreAllUsedAgain(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	entered, release := make(chan struct{}, 2), make(chan struct{})
	opts.Landed = func(uint64) { entered <- struct{}{}; <-release }
	l := openTest(t, opts)
	var waits sync.WaitGroup
	submit := func() {
		offset, _, err := l.Submit([]byte("record"))
		require.NoError(t, err)
		waits.Go(func() { require.NoError(t, l.Wait(offset)) })
	}
	submit()
	<-entered // The first group has landed.
	submit()
	require.Eventually(t, func() bool { return durableIn(l) == 2 }, time.Second, time.Millisecond) // So has the second one.
	close(release)
	waits.Wait()
	require.Eventually(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.shown == l.landed }, time.Second, time.Millisecond)
	require.Len(t, l.spares, 2)
	for _, g := range l.spares {
		require.NotZero(t, cap(g.buffer))
	}
	require.NoError(t, l.Close())
}
