//go:build !fewpeers

package main

import (
	"io"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

var badgerPeer = Peer{
	Name: "badger", Module: "github.com/dgraph-io/badger/v4", OpenStore: openBadger, Only: "W1|W2|W3|W4|W8/heap|W9|W10",
}

type badgerStore struct {
	unsupported
	db *badger.DB
}

// openBadger leaves compression out, since values are incompressible; with it Badger needs its block cache, without it the
// mapped tables are the cache.
func openBadger(dir string, settings Settings) (Store, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).
		WithSyncWrites(settings.Mode == Durable).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithMetricsEnabled(false).
		WithLogger(nil))
	return &badgerStore{db: db}, err
}

func (s *badgerStore) Put(key, value []byte) error {
	return s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) })
}

func (s *badgerStore) Batch(pairs []Pair) error {
	return s.db.Update(func(txn *badger.Txn) error { return putAll(pairs, txn.Set) })
}

func (s *badgerStore) Get(key []byte, use func(value []byte)) error {
	return s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return notFound(err, badger.ErrKeyNotFound)
		}
		return item.Value(func(value []byte) error { use(value); return nil })
	})
}

func (s *badgerStore) Backup(w io.Writer) error {
	_, err := s.db.Backup(w, 0)
	return err
}

func (s *badgerStore) Close() error { return s.db.Close() }
