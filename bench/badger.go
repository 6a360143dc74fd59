//go:build !fewpeers

package main

import (
	"errors"
	"io"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

var badgerPeer = Peer{
	Name: "badger", Module: "github.com/dgraph-io/badger/v4", OpenStore: openBadger, Only: "W1|W2|W3|W4|T1/ttl|W8/heap|W9|W10",
}

type badgerStore struct {
	unsupported
	db *badger.DB
}

// openBadger leaves compression out, since values are incompressible; with it Badger needs its block cache, without it the
// mapped tables are the cache.
func openBadger(dir string, settings Settings) Store {
	db, err := badger.Open(badger.DefaultOptions(dir).
		WithSyncWrites(settings.Mode == Durable).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithMetricsEnabled(false).
		WithLogger(nil))
	check(err)
	return badgerStore{db: db}
}

func (s badgerStore) Put(key, value []byte) {
	check(s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) }))
}

func (s badgerStore) Batch(pairs []Pair) { s.BatchUntil(pairs, time.Time{}) }

func (s badgerStore) BatchUntil(pairs []Pair, deadline time.Time) {
	check(s.db.Update(func(txn *badger.Txn) error {
		for _, pair := range pairs {
			entry := badger.NewEntry(pair.Key, pair.Value)
			if !deadline.IsZero() {
				entry.WithTTL(time.Until(deadline))
			}
			check(txn.SetEntry(entry))
		}
		return nil
	}))
}

func (s badgerStore) Get(key []byte, use func(value []byte)) bool {
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		return item.Value(func(value []byte) error { use(value); return nil })
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false
	}
	check(err)
	return true
}

func (s badgerStore) Scan(start []byte, limit int, visit func(key, value []byte)) {
	check(s.db.View(func(txn *badger.Txn) error {
		pairs := txn.NewIterator(badger.DefaultIteratorOptions)
		defer pairs.Close()
		visited := 0
		for pairs.Seek(start); pairs.Valid() && (limit == 0 || visited < limit); pairs.Next() {
			item := pairs.Item()
			check(item.Value(func(value []byte) error { visit(item.Key(), value); return nil }))
			visited++
		}
		return nil
	}))
}

// Count has to scan, and Badger hides expired pairs, which it drops from its files when it merges them.
func (s badgerStore) Count() (count int) {
	check(s.db.View(func(txn *badger.Txn) error {
		pairs := txn.NewIterator(badger.IteratorOptions{})
		defer pairs.Close()
		for pairs.Rewind(); pairs.Valid(); pairs.Next() {
			count++
		}
		return nil
	}))
	return count
}

func (s badgerStore) Backup(w io.Writer) {
	_, err := s.db.Backup(w, 0)
	check(err)
}

func (s badgerStore) Close() { check(s.db.Close()) }
