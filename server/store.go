package server

import (
	"context"
	"iter"

	"github.com/walnutkv/walnut/kv"
)

// Store is what a server serves: those methods of a *kv.DB that it calls, with their meaning.
type Store interface {
	Get(key []byte) ([]byte, error)
	View(fn func(tx *kv.Tx) error) error
	ApplyContext(ctx context.Context, b *kv.Batch) (offset uint64, err error)
	UpdateOffset(ctx context.Context, fn func(tx *kv.Tx) error) (offset uint64, err error)
	Watch(ctx context.Context, opts kv.WatchOptions) iter.Seq2[kv.Commit, error]
	At(ctx context.Context, offset uint64) (*kv.ReadView, error)
	Offset() uint64
	Checkpoint(ctx context.Context) (offset uint64, err error)
	Stats() kv.Stats
}

var _ Store = (*kv.DB)(nil)
