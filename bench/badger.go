//go:build !fewpeers

package main

import (
	"errors"
	"io"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

var badgerPeer = Peer{Name: "badger", Module: "github.com/dgraph-io/badger/v4", OpenStore: openBadger}

type badgerStore struct{ db *badger.DB }

// openBadger leaves compression out, since values are incompressible; with it Badger needs its block cache, without it
// the mapped tables are the cache.
func openBadger(dir string, settings Settings) (Store, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).
		WithSyncWrites(settings.Mode == Durable).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithMetricsEnabled(false).
		WithLogger(nil))
	if err != nil {
		return nil, err
	}
	return &badgerStore{db}, nil
}

func (s *badgerStore) Put(key, value []byte) error {
	return s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) })
}

func (s *badgerStore) Get(key []byte, use func(value []byte)) error {
	return s.db.View(func(txn *badger.Txn) error { return badgerGet(txn, key, use) })
}

func badgerGet(txn *badger.Txn, key []byte, use func(value []byte)) error {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	return item.Value(func(value []byte) error { use(value); return nil })
}

func (s *badgerStore) Batch(pairs []Pair) error {
	return s.db.Update(func(txn *badger.Txn) error {
		for _, pair := range pairs {
			if err := txn.Set(pair.Key, pair.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *badgerStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	return s.db.View(func(txn *badger.Txn) error {
		iteratorOptions := badger.DefaultIteratorOptions
		if limit > 0 {
			iteratorOptions.PrefetchSize = min(limit, iteratorOptions.PrefetchSize)
		}
		iterator := txn.NewIterator(iteratorOptions)
		defer iterator.Close()
		visited := 0
		for iterator.Seek(start); iterator.Valid() && (limit == 0 || visited < limit); iterator.Next() {
			item := iterator.Item()
			if err := item.Value(func(value []byte) error { visit(item.Key(), value); return nil }); err != nil {
				return err
			}
			visited++
		}
		return nil
	})
}

// Update tries again where another transaction came between, as Badger's documentation says one should.
func (s *badgerStore) Update(key []byte, change func(old []byte) []byte) error {
	for {
		err := s.db.Update(func(txn *badger.Txn) error {
			var changed []byte
			err := badgerGet(txn, key, func(value []byte) { changed = change(value) })
			if errors.Is(err, errNotFound) {
				changed, err = change(nil), nil
			}
			if err != nil {
				return err
			}
			return txn.Set(key, changed)
		})
		if !errors.Is(err, badger.ErrConflict) {
			return err
		}
	}
}

func (s *badgerStore) Backup(w io.Writer) error {
	_, err := s.db.Backup(w, 0)
	return err
}

func (s *badgerStore) Sync() error  { return s.db.Sync() }
func (s *badgerStore) Close() error { return s.db.Close() }
