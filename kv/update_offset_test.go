package kv

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestAnUpdateReturnsTheOffsetOfItsCommit(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		opts := manual(vfs.NewMem())
		opts.Sync = mode
		db := openStore(t, storeDir, opts)
		offset, err := db.UpdateOffset(t.Context(), func(*Tx) error { return nil })
		require.NoError(t, err)
		require.Zero(t, offset, "nothing was there before")
		put(t, db, "k", "v")
		offset, err = db.UpdateOffset(t.Context(), func(tx *Tx) error { return tx.Put([]byte("k"), []byte("w")) })
		require.NoError(t, err)
		require.EqualValues(t, 2, offset)
		require.Equal(t, offset, db.Offset())
		offset, err = db.UpdateOffset(t.Context(), func(*Tx) error { return nil })
		require.NoError(t, err)
		require.EqualValues(t, 2, offset, "a function that wrote nothing gets the last one")
		offset, err = db.UpdateOffset(t.Context(), func(*Tx) error { return errMind })
		require.Equal(t, errMind, err)
		require.Zero(t, offset)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		offset, err = db.UpdateOffset(ctx, func(tx *Tx) error { return tx.Put([]byte("k"), nil) })
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, offset)
		requireHolds(t, db, "k=w")
	}
}
