package kv

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TestStatesArePublishedAheadOnlyWhileReadersAsk: readers find each state published; without readers commits are applied in
// place again.
func TestStatesArePublishedAheadOnlyWhileReadersAsk(t *testing.T) {
	var v visibleState
	v.start(newState())
	offset := uint64(0)
	commit := func() {
		offset++
		v.mu.Lock()
		defer v.mu.Unlock()
		v.show(layerOf(offset, func(b *Batch) { b.Put([]byte("k"), nil) }))
	}
	commit()
	require.False(t, v.published.Load() != nil, "a writer alone publishes nothing")
	for range 3 {
		require.NotNil(t, v.load(), "a reader asks")
		for ahead := 1; ahead < publishAhead; ahead++ {
			held := v.load()
			commit()
			require.True(t, v.published.Load() != nil, "state %d after the reader", ahead)
			require.NotSame(t, held, v.load(), "what was published isn't changed")
			require.Equal(t, offset, v.load().offset)
		}
		commit()
		require.False(t, v.published.Load() != nil, "a reader has to ask again")
	}
	alone := v.current
	for range 2 * publishAhead {
		commit()
		require.False(t, v.published.Load() != nil)
		require.Same(t, alone, v.current, "with no reader a commit is applied in place")
	}
}

func TestAwaitEndsOnceTheCommitIsVisibleOrNeverWillBe(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.Sync = SyncNever
	db := openStore(t, storeDir, opts)
	ended := make(chan error, 1)
	wait := func(ctx context.Context, offset uint64) {
		go func() { ended <- db.visible.await(ctx, offset) }()
		waitUntil(t, func() bool { db.visible.mu.RLock(); defer db.visible.mu.RUnlock(); return db.visible.awaited != nil })
	}
	wait(t.Context(), 1)
	put(t, db, "k", "v")
	require.NoError(t, <-ended)
	ctx, cancel := context.WithCancel(t.Context())
	wait(ctx, 2)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	wait(t.Context(), 2)
	require.NoError(t, db.Close())
	require.ErrorIs(t, <-ended, ErrClosed)
	require.ErrorIs(t, db.visible.await(t.Context(), 1), ErrClosed)
}
